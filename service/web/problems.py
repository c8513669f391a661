"""Errors as RFC 9457 problem+json, each with one clear sentence; one table says which error has which status.

Routes of OpenAI's API add its error object, because OpenAI's clients read that:

{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "the model 'x' does not answer here; ...",
 "error": {"message": "the model 'x' ...", "type": "invalid_request_error", "code": "model_not_found", "param": null}}
"""

from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError as UnstorableValue
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from pipelines.errors import (
    ArtifactError,
    Busy,
    Cancelled,
    Conflict,
    InputError,
    MissingDependency,
    NotFound,
    PerennialError,
    QueueFull,
    Refused,
)
from pipelines.text import shorten
from service.api_keys import Forbidden
from service.chat.replies import error_body
from service.chat.reply import ClientLeft
from service.engine.client import EngineGone
from service.ingest.parse import Malformed
from service.proxy.upstream import UpstreamGone, UpstreamSilent
from service.settings import Settings
from service.sign_in import TooManyAttempts
from service.store.session import is_unavailable

RETRY_AFTER_SECONDS = 1
CLIENT_LEFT = 499  # nginx's number for a client that did not wait; only the log has it, for nobody is there to read it
_MOST_CHARACTERS = 2_000
_log = structlog.get_logger(__name__)


class Unauthorized(PerennialError):
    """No key, or one that nobody holds."""


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
    (ArtifactError, 409),  # the file of a model is gone or was changed: nothing that this service did wrong
    (MissingDependency, 501),
    (UpstreamGone, 502),
    (UpstreamSilent, 504),
    (TooManyAttempts, 429),
    (QueueFull, 429),
    (Busy, 503),
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
    (ClientLeft, CLIENT_LEFT, "invalid_request_error", "client_left"),
    (QueueFull, 429, "rate_limit_error", "queue_full"),
    (Busy, 503, "server_error", "busy"),
    (EngineGone, 502, "server_error", "engine_gone"),
    (UpstreamGone, 502, "server_error", "upstream_gone"),
    (UpstreamSilent, 504, "server_error", "upstream_silent"),
    (PerennialError, 500, "server_error", "internal_error"),
)


def status_of(error: PerennialError) -> int:
    """The HTTP status of an error."""
    return next(status for kind, status in STATUS if isinstance(error, kind))


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    """A problem+json response; `more` are members that a route adds to it.

    What a sentence quotes of a request is cut, and half a character of it replaced: neither may make the answer fail.
    """
    sentence = shorten(detail, _MOST_CHARACTERS).encode(errors="replace").decode()
    title = "Client Closed Request" if status == CLIENT_LEFT else HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": sentence, **more}
    return JSONResponse(body, status, retry_after(status) | (headers or {}), media_type="application/problem+json")


def retry_after(status: int) -> dict[str, str]:
    """The header that says when to come again, of an answer with this status."""
    return {"Retry-After": str(RETRY_AFTER_SECONDS)} if status in (429, 503) else {}


Page = Callable[[Request, int, str], Response]


def register(app: FastAPI, page: Page) -> None:
    """Makes the app answer every error as a problem; what is none of these is the Guard's (middleware.py).

    `page` shows an address that there is not, and what was not foreseen, to whoever reads it in a browser.
    """
    app.state.problem_page = page
    for kind, handle in _HANDLERS:
        app.add_exception_handler(kind, handle)


async def answer(request: Request, error: Exception) -> Response:
    """The problem for an error of a route that FastAPI does not know of.

    Raises:
        Exception: this one, where it is none of those that are answered.
    """
    handle = next((handle for kind, handle in _HANDLERS if isinstance(error, kind)), None)
    if handle is None:
        raise error
    return await handle(request, error)


def about_database(error: SQLAlchemyError) -> PerennialError:
    """The error that a client is told in place of one of the database's.

    Raises:
        SQLAlchemyError: this one, where neither the database nor a value that it cannot hold is to blame.
    """
    if is_unavailable(error) or isinstance(error, PoolTimeout):
        _log.warning("database_unavailable", error=type(error).__name__)
        return Busy("the database does not answer; send this again in a moment")
    if isinstance(error, UnstorableValue):
        return InputError("the database refused this; a text or number in it cannot be stored or looked for")
    raise error


class OpenAIRoute(APIRoute):
    """A route that answers every PerennialError as OpenAI would: its problems hold OpenAI's error object too."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """The handler, with errors in OpenAI's shape."""
        handle = super().get_route_handler()

        async def handle_in_shape(request: Request) -> Response:
            try:
                return await handle(request)
            except PerennialError as error:
                return refuse_as_openai(request, error)
            except SQLAlchemyError as error:
                return refuse_as_openai(request, about_database(error))

        return handle_in_shape


def refuse_as_openai(request: Request, error: PerennialError) -> JSONResponse:
    """The response to an error where OpenAI's clients may ask."""
    sentence = _sentence(request, error)
    status, body = openai_shape(error, sentence)
    return problem(status, sentence, _headers(error), **body)


def _sentence(request: Request, error: PerennialError) -> str:
    settings: Settings = request.app.state.settings
    return settings.without_paths(str(error))


def _headers(error: PerennialError) -> dict[str, str]:
    return {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorized) else {}


def openai_shape(error: PerennialError, sentence: str) -> tuple[int, dict[str, object]]:
    """The status of an error, and the member that OpenAI's clients read."""
    _, status, kind, code = next(row for row in _OPENAI if isinstance(error, row[0]))
    return status, error_body(shorten(sentence, _MOST_CHARACTERS), kind, code)


async def _perennial_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PerennialError)
    return problem(status_of(error), _sentence(request, error), _headers(error))


async def _database_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SQLAlchemyError)
    return await _perennial_error(request, about_database(error))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == 404 and detail == "Not Found":
        detail = f"there is nothing at {shorten(request.url.path, 200)}"
    if error.status_code == 405:
        detail = f"{request.method} is not allowed here"
        headers["Allow"] = _allowed(request)
    if wants_page(request):
        page: Response = request.app.state.problem_page(request, error.status_code, detail)
        page.headers.update(headers)
        return page
    hint = "; see /openapi.json" if error.status_code in (404, 405) else ""
    return problem(error.status_code, f"{detail}{hint}", headers)


def wants_page(request: Request) -> bool:
    """Whether whoever asks reads the answer in a browser, as the header Accept says; programs get JSON."""
    return "text/html" in request.headers.get("accept", "")


def _allowed(request: Request) -> str:
    """Every method of the path, which a route that takes any path below another's does not have by accident."""
    fitting = [route for route in _routes(request.app.router) if route.matches(request.scope)[0] is not Match.NONE]
    paths = [route.path for route in fitting]
    path = request.url.path if request.url.path in paths else next(iter(paths), "")
    return ", ".join(sorted({method for route in fitting if route.path == path for method in route.methods or ()}))


def _routes(router: Any) -> Iterator[Route]:
    """Every route of a router, those of the routers that it includes too."""
    for route in router.routes:
        if isinstance(route, Route):
            yield route
        elif hasattr(route, "original_router"):
            yield from _routes(route.original_router)


async def _validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return problem(422, invalid(error))


def invalid(error: RequestValidationError) -> str:
    """What is wrong with a request's parameters or body, in a sentence about the first that is."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"the body is not valid JSON: {first['ctx']['error'].lower()} (character {first['loc'][-1]})"
    if first["loc"] == ("body",):
        return "the body must be a JSON object, sent with the header Content-Type: application/json"
    place = ".".join(shorten(str(part)) for part in first["loc"][1:]) or str(first["loc"][0])
    return f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}"


async def _gone(_request: Request, _error: Exception) -> JSONResponse:
    return problem(400, "the request broke off before its end; what was not answered was not stored")


_HANDLERS: tuple[tuple[type[Exception], Callable[[Request, Exception], Awaitable[Response]]], ...] = (
    (PerennialError, _perennial_error),
    (SQLAlchemyError, _database_error),
    (HTTPException, _http_error),
    (RequestValidationError, _validation_error),
    (ClientDisconnect, _gone),
)
