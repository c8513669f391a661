"""Routes whose problems also hold OpenAI's error object, because OpenAI's clients read that.

{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "the model 'x' does not answer here; ...",
 "error": {"message": "the model 'x' ...", "type": "invalid_request_error", "code": "model_not_found", "param": null}}
"""

from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import OperationalError
from starlette.responses import JSONResponse

from pipelines.errors import Busy, Conflict, InputError, NotFound, PerennialError, Refused
from service.chat.openai import error_body
from service.engine.client import EngineGone
from service.web.problems import RETRY_AFTER_SECONDS, Forbidden, Unauthorized, problem

# the first class that fits counts: (error, status, OpenAI's type, code)
_SHAPES: tuple[tuple[type[PerennialError], int, str, str], ...] = (
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


class OpenAIRoute(APIRoute):
    """A route that answers every PerennialError as OpenAI would."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def handle_in_shape(request: Request) -> Response:
            try:
                return await handle(request)
            except PerennialError as error:
                return refuse(error)
            except OperationalError:
                return refuse(Busy("the database does not answer; send this again in a moment"))

        return handle_in_shape


def refuse(error: PerennialError) -> JSONResponse:
    """The response to an error."""
    status, body = shape(error)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return problem(status, str(error), headers, **body)


def shape(error: PerennialError) -> tuple[int, dict[str, object]]:
    """The status and body of an error."""
    _, status, kind, code = next(row for row in _SHAPES if isinstance(error, row[0]))
    return status, error_body(str(error), kind, code)
