"""Pure ASGI middleware: bounds request bodies, and logs one line per request without anything a user wrote."""

import time
from collections.abc import Sequence

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = structlog.get_logger("web")


class Guard:
    """Wraps the app. `unbounded` paths take bodies of any size and bound them themselves."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, unbounded: Sequence[str]) -> None:
        self._app, self._max_body_bytes, self._unbounded = app, max_body_bytes, frozenset(unbounded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, bounded and logged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", []))
                if all(name != b"x-content-type-options" for name, _ in headers):
                    headers.append((b"x-content-type-options", b"nosniff"))
                message["headers"] = headers
            await send(message)

        bounded = receive if scope["path"] in self._unbounded else self._bounded(scope, receive)
        try:
            await self._app(scope, bounded, sending)
        finally:
            self._log(scope, status, time.perf_counter() - started)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        limit, received = self._max_body_bytes, 0
        # HTTPException is what FastAPI passes on unchanged; any other exception here becomes a 400
        too_large = HTTPException(
            413, f"the body is larger than {limit} bytes; send less, or stream it to /v1/conversations/import"
        )
        declared = dict(scope["headers"]).get(b"content-length", b"0")

        async def receiving() -> Message:
            nonlocal received
            if declared.isdigit() and int(declared) > limit:
                raise too_large
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise too_large
            return message

        return receiving

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        # the route's template, not the path: a path holds ids that the app chose
        route = getattr(scope.get("route"), "path", None)
        emit = _log.warning if status >= 500 else _log.debug
        emit("request", method=scope["method"], route=route, status=status, milliseconds=round(seconds * 1000, 1))
