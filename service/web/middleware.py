"""Pure ASGI middleware, the outermost: bounds bodies, answers what nobody foresaw, and logs one line per request without
anything a user wrote.

{"level": "warning", "event": "request", "method": "GET", "route": "/v1/rounds/{round_id}", "status": 503, ...}
{"level": "error", "event": "unexpected_error", "id": "5f0c9a1e", "error": "KeyError", "place": "service/web/...py:17"}
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import Self

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.logs import place_of
from service.web.limits import IMPORT_PATH, body_limit
from service.web.problems import CLIENT_LEFT, problem, wants_page

MAX_HELD_BYTES = 256 << 20
_NOSNIFF = (b"x-content-type-options", b"nosniff")
_log = structlog.get_logger("web")


@dataclass
class Held:
    """Bytes of bodies in memory, and the most there may be."""

    most: int
    bytes: int = 0

    @classmethod
    def at_least(cls, max_body_bytes: int) -> Self:
        """Of none yet, with room for one of the largest bodies at least."""
        return cls(max(MAX_HELD_BYTES, max_body_bytes))


class Guard:
    """Wraps the app. `max_body_bytes` is what a conversation may have; other routes take less (limits.py).

    `held` counts all bodies together that are not answered yet, those of another Guard as well where two share it;
    `is_front` as in limits.py.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, held: Held, is_front: bool = False) -> None:
        self._app, self._max_body_bytes, self._held, self._is_front = app, max_body_bytes, held, is_front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, bounded and logged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        limit = body_limit(scope["path"], self._max_body_bytes, self._is_front)
        exchange = _Exchange(scope, receive, send, limit, self._held)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            await _answer_unexpected(error, scope, exchange)
        finally:
            exchange.let_go()
            _log_request(scope, exchange.outcome, time.perf_counter() - started)


class _Exchange:
    """One request and its answer, as they pass by."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int | None, held: Held) -> None:
        self._receive, self._send, self._limit, self._held = receive, send, limit, held
        self._scope = scope
        self._received = 0
        self._left = self._complete = False
        self.status = 0

    @property
    def outcome(self) -> int:
        """The status; 499 where the client did not wait for the whole answer."""
        return CLIENT_LEFT if self._left and not self._complete else self.status

    async def receive(self) -> Message:
        """The next piece of the body, while it is within what the route and all of them together may hold."""
        if self._limit is not None and not self._received:
            self._check_declared(self._limit)
        message = await self._receive()
        self._left = self._left or message["type"] == "http.disconnect"
        if self._limit is not None:  # a stream holds no more than its lines
            self._hold(len(message.get("body", b"")), self._limit)
        return message

    def let_go(self) -> None:
        """The body is read, and what was made of it is the writer's to bound."""
        self._held.bytes -= self._received

    def _check_declared(self, limit: int) -> None:
        declared = next((value for name, value in self._scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > limit:
            raise self._too_large()

    def _hold(self, size: int, limit: int) -> None:
        self._received += size
        self._held.bytes += size
        if self._received > limit:
            raise self._too_large()
        if self._held.bytes > self._held.most:
            raise HTTPException(503, "many large requests are being read already; send this again in a moment")

    async def send(self, message: Message) -> None:
        """Passes a piece of the answer on, and notes its status."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.get("headers", [])
            if _NOSNIFF not in headers:
                message["headers"] = [*headers, _NOSNIFF]
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._complete = not self._left

    def _too_large(self) -> HTTPException:
        # what FastAPI passes on unchanged; any other exception here becomes a 400
        most = f"the body is larger than {self._limit} bytes, the most that this route takes"
        hint = f", or stream it to {IMPORT_PATH}" if IMPORT_PATH.startswith(self._scope["path"]) else ""
        return HTTPException(413, f"{most}; send less{hint}")


async def _answer_unexpected(error: Exception, scope: Scope, exchange: _Exchange) -> None:
    """Answers 500 with an id that the log has; the message may quote user text, so only its kind and place are logged."""
    id = token_hex(4)
    _log.error("unexpected_error", id=id, error=type(error).__name__, place=place_of(error), method=scope["method"])
    if exchange.status:  # half of another answer is out: the server cuts the connection
        raise error
    detail = f"something went wrong here that should not have; the log names its place under the id {id}"
    await _problem(scope, detail, id)(scope, exchange.receive, exchange.send)


def _problem(scope: Scope, detail: str, id: str) -> Response:
    """The answer, a page for a browser unless pages are what went wrong."""
    request = Request(scope)
    if wants_page(request):
        with suppress(Exception):  # the same again: JSON needs nothing that could fail
            page: Response = scope["app"].state.problem_page(request, 500, detail)
            return page
    return problem(500, detail, id=id)


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    # the route's template, not the path: a path holds ids that the app chose
    route = getattr(scope.get("route"), "path", None)
    emit = _log.warning if status >= 500 else _log.debug
    emit("request", method=scope["method"], route=route, status=status, milliseconds=round(seconds * 1000, 1))
