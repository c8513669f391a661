"""Errors as RFC 9457 problem+json, each with one clear sentence; one table says which error has which status.

Routes of OpenAI's API add its error object, because OpenAI's clients read that:

{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "the model 'x' does not answer here; ...",
 "error": {"message": "the model 'x' ...", "type": "invalid_request_error", "code": "model_not_found", "param": null}}
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pipelines.errors import (
    ArtifactError,
    Busy,
    Cancelled,
    Conflict,
    InputError,
    MissingDependency,
    NotFound,
    PerennialError,
    Refused,
    TrainingError,
)
from service.chat.openai import error_body
from service.engine.client import EngineGone
from service.ingest.parse import Malformed

RETRY_AFTER_SECONDS = 1
_log = structlog.get_logger(__name__)


class Unauthorized(PerennialError):
    """No key, or one that nobody holds."""


class Forbidden(PerennialError):
    """A key without the scope, or a request that this server does not answer to."""


# the first class that fits counts: subclasses stand before their bases
STATUS: tuple[tuple[type[PerennialError], int], ...] = (
    (Malformed, 400),
    (Unauthorized, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Refused, 409),
    (Cancelled, 409),
    (InputError, 422),
    (MissingDependency, 501),
    (Busy, 503),
    (ArtifactError, 500),
    (TrainingError, 500),
    (PerennialError, 500),
)

# what OpenAI's clients read, by (error, status, OpenAI's type, code); again the first that fits counts
_OPENAI: tuple[tuple[type[PerennialError], int, str, str], ...] = (
    (Unauthorized, 401, "authentication_error", "invalid_api_key"),
    (Forbidden, 403, "permission_error", "insufficient_scope"),
    (NotFound, 404, "invalid_request_error", "model_not_found"),
    (Conflict, 409, "invalid_request_error", "conflict"),
    (Refused, 409, "invalid_request_error", "refused"),
    (InputError, 400, "invalid_request_error", "invalid_request"),
    (Busy, 503, "server_error", "busy"),
    (EngineGone, 502, "server_error", "engine_gone"),
    (PerennialError, 500, "server_error", "internal_error"),
)


def status_of(error: PerennialError) -> int:
    """The HTTP status of an error."""
    return next(status for kind, status in STATUS if isinstance(error, kind))


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    """A problem+json response; `more` are members that a route adds to it."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def register(app: FastAPI) -> None:
    """Makes the app answer every error as a problem."""
    app.add_exception_handler(PerennialError, _perennial_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(OperationalError, _database_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)


class OpenAIRoute(APIRoute):
    """A route that answers every PerennialError as OpenAI would: its problems hold OpenAI's error object too."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """The handler, with errors in OpenAI's shape."""
        handle = super().get_route_handler()

        async def handle_in_shape(request: Request) -> Response:
            try:
                return await handle(request)
            except PerennialError as error:
                return _refuse(error)
            except OperationalError:
                return _refuse(Busy("the database does not answer; send this again in a moment"))

        return handle_in_shape


def _refuse(error: PerennialError) -> JSONResponse:
    """The response to an error."""
    status, body = openai_shape(error)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return problem(status, str(error), headers, **body)


def openai_shape(error: PerennialError) -> tuple[int, dict[str, object]]:
    """The status of an error, and the member that OpenAI's clients read."""
    _, status, kind, code = next(row for row in _OPENAI if isinstance(error, row[0]))
    return status, error_body(str(error), kind, code)


async def _perennial_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PerennialError)
    status = status_of(error)
    headers = {}
    if isinstance(error, Busy):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return problem(status, str(error), headers)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 404 and detail == "Not Found":
        detail = f"there is nothing at {request.url.path[:200]}; see /openapi.json"
    if error.status_code == 405:
        detail = f"{request.method} is not allowed here; see /openapi.json"
    return problem(error.status_code, detail, dict(error.headers or {}))


async def _validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return problem(
            422, f"the body is not valid JSON: {first['ctx']['error'].lower()} (character {first['loc'][-1]})"
        )
    if first["loc"] == ("body",):
        return problem(422, "the body must be a JSON object, sent with the header Content-Type: application/json")
    place = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return problem(422, f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}")


async def _database_error(_request: Request, error: Exception) -> JSONResponse:
    _log.warning("database_unavailable", error=type(error).__name__)
    return problem(503, "the database does not answer; send this again in a moment", {"Retry-After": "1"})


async def _gone(_request: Request, _error: Exception) -> JSONResponse:
    return problem(400, "the request broke off before its end; what was not answered was not stored")


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    # the message may quote user text, so only its kind and place are logged
    _log.error("unexpected_error", error=type(error).__name__, method=request.method, where=_where(error))
    return problem(500, "something went wrong here that should not have; the log names the place")


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
