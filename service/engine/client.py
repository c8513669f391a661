"""The web's and the supervisor's way to the engine: pipelines/gguf/protocol.py over its local socket."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx
from pydantic import TypeAdapter, ValidationError

from pipelines import errors
from pipelines.errors import Busy, PerennialError
from pipelines.gguf.protocol import ChatRequest, Event, Failure, LoadRequest, Start, Status, socket_path

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_STATUS_SECONDS = 2.0
# A prompt is read without a word in between; the first line comes once the chat has its turn.
_CHAT_TIMEOUT = httpx.Timeout(connect=2.0, read=None, write=30.0, pool=None)


class EngineGone(PerennialError):
    """The engine died or closed the connection in the middle of an answer."""


def engine_status(home: Path) -> Status | None:
    """What the engine of this home says of itself; None if it does not answer."""
    try:
        code, body = _ask(home, "GET", "/status", None, _STATUS_SECONDS)
        return Status.model_validate_json(body) if code == 200 else None
    except (OSError, HTTPException, ValidationError):
        return None


def load_form(home: Path, request: LoadRequest) -> Status:
    """Have the engine serve another form; returns after the swap, which may take minutes for a large model.

    Raises:
        GGUFError, Busy...: the engine's own refusal.
        EngineGone: it died meanwhile.
    """
    try:
        code, body = _ask(home, "POST", "/load", request.model_dump_json(), None)
    except (OSError, HTTPException) as error:
        raise EngineGone(f"the engine went away while loading '{request.model}'") from error
    if code != 200:
        raise _refusal(body)
    return Status.model_validate_json(body)


@asynccontextmanager
async def chat_with_engine(home: Path, request: ChatRequest) -> AsyncIterator[tuple[Start, AsyncIterator[Event]]]:
    """The start of an answer and its further events; leaving the block early cancels the answer.

    Raises:
        InputError: the chat does not fit this model.
        Busy: the engine is not running, serves nothing yet, or has too many chats waiting.
        EngineGone: from the iterator too, when the engine dies in the middle.
    """
    transport = httpx.AsyncHTTPTransport(uds=str(socket_path(home)), verify=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=_CHAT_TIMEOUT) as client:
        try:
            async with client.stream("POST", "/chat", content=request.model_dump_json()) as answer:
                if answer.status_code != 200:
                    raise _refusal(await answer.aread())
                events = _events(answer)
                start = await anext(events, None)
                if not isinstance(start, Start):
                    raise EngineGone("the engine did not begin its answer")
                yield start, events
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Busy(
                "the engine is not running; it is started by `perennial engine`, try again in a moment"
            ) from error
        except httpx.HTTPError as error:
            raise EngineGone("the engine went away while answering; send the chat again") from error


async def _events(answer: httpx.Response) -> AsyncIterator[Event]:
    async for line in answer.aiter_lines():
        yield _EVENT.validate_json(line)


class _LocalConnection(HTTPConnection):
    """HTTP over the engine's socket."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("engine", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _ask(home: Path, method: str, path: str, body: str | None, timeout_seconds: float | None) -> tuple[int, bytes]:
    """One exchange without a pool: httpx leaves the socket open when nobody listens."""
    with closing(_LocalConnection(socket_path(home), timeout_seconds)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()


def _refusal(body: bytes) -> PerennialError:
    """The engine's error as the class that it names."""
    try:
        failure = Failure.model_validate_json(body)
    except ValidationError:
        return EngineGone("the engine failed without saying why; its log is in the home folder")
    kind = getattr(errors, failure.error, PerennialError)
    known = isinstance(kind, type) and issubclass(kind, PerennialError)
    return kind(failure.message) if known else PerennialError(failure.message)
