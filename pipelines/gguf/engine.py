"""The engine: llama.cpp in its own process, behind a local socket. `python -m pipelines.gguf.engine --socket PATH`.

It knows no users, no database and no champion: it serves the form it was last told to load (protocol.py). A new form
is checked, loaded and warmed beside the old one, then takes its place; the old one ends when its last chat has ended.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from pipelines.chat import Escape
from pipelines.errors import Busy, InputError, PerennialError, QueueFull
from pipelines.gguf.check import check_adapter, verify_form
from pipelines.gguf.grammar import schema_grammar
from pipelines.gguf.protocol import ChatRequest, End, Event, Failure, LoadRequest, Start, Status, Text
from pipelines.gguf.question import question_of
from pipelines.gguf.session import Session
from pipelines.gguf.speaker import Speaker
from pipelines.records import Record, ServedForm

_DEFAULT_CONTEXT = 4096
_DEFAULT_SEQUENCES = 4

AnyRecord = TypeVar("AnyRecord", bound=Record)


class Engine:
    """Holds the speaker that answers now, and swaps it without dropping a chat."""

    def __init__(self, *, context: int = _DEFAULT_CONTEXT, sequences: int = _DEFAULT_SEQUENCES) -> None:
        self._context, self._sequences = context, sequences
        self._speaker: Speaker | None = None
        self._form: ServedForm | None = None
        self._template: str | None = None
        self._escape: Escape | None = None
        self._old: list[Speaker] = []
        self._loading: str | None = None
        self._one_load = asyncio.Lock()

    def status(self) -> Status:
        """What is served now. A speaker whose thread failed counts as nothing loaded."""
        self._old = [speaker for speaker in self._old if speaker.alive]
        speaker = self._speaker
        if speaker is None or not speaker.alive:
            return Status(state="empty", loading=self._loading, retiring=len(self._old), pid=os.getpid())
        active, waiting = speaker.load()
        return Status(
            state="ready",
            model=speaker.model,
            form=self._form,
            loading=self._loading,
            context=speaker.context,
            active=active,
            waiting=waiting,
            retiring=len(self._old),
            pid=os.getpid(),
        )

    async def load(self, request: LoadRequest) -> Status:
        """Serve another form; what is served stays if it fails. Loading what is served already does nothing.

        Raises:
            GGUFError: files missing or changed, or llama.cpp cannot load or run them.
        """
        async with self._one_load:
            now = self.status()
            if now.model == request.model and now.form == request.form:
                return now
            self._loading = request.model
            try:
                session = await asyncio.to_thread(self._open, request.form)
            finally:
                self._loading = None
            self._swap(session, request)
        return self.status()

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """The events of one answer. Errors before the first event are raised; leaving early cancels the chat.

        Raises:
            Busy: nothing is loaded, or too many chats wait.
            InputError: the chat does not fit the context, or its template refuses it.
        """
        events: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def emit(event: Event) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        schema = request.json_schema
        grammar = None if schema is None else await asyncio.to_thread(schema_grammar, schema)
        speaker = self._ready()  # no await from here on to its queue: it may be replaced
        question = question_of(self._template, self._escape, request, speaker.model, grammar)
        chat = speaker.submit(question.prompt, request, emit, marks=question.marks, form=question.form)
        try:
            yield Start(model=speaker.model, sha256=speaker.sha256, prompt_tokens=len(chat.tokens))
            while True:
                event = await events.get()
                for one in question.part(event):
                    yield one
                if isinstance(event, End | Failure):
                    return
        finally:
            chat.cancel()

    def count_tokens(self, text: str) -> int:
        """Tokens in a plain text under the served model's vocabulary."""
        return self._ready().count_tokens(text)

    def close(self) -> None:
        """Retire everything and wait briefly for the threads to free their models."""
        speakers = [*self._old, *([self._speaker] if self._speaker else [])]
        for speaker in speakers:
            speaker.retire()
        for speaker in speakers:
            speaker.join(5.0)

    def _ready(self) -> Speaker:
        if self._speaker is None or not self._speaker.alive:
            raise Busy("no model is loaded yet; try again in a moment")
        return self._speaker

    def _open(self, form: ServedForm) -> Session:
        """Check, load and warm a form. Runs in a thread: chats go on meanwhile."""
        verify_form(form)
        if form.kind == "adapter" and form.adapter_path is not None:
            check_adapter(Path(form.path), Path(form.adapter_path))
        session = Session(form, context=1, sequences=self._sequences)
        session.grow(min(self._context, session.trained_context))
        session.alike()  # here, for it takes some forwards; they warm it too
        return session

    def _swap(self, session: Session, request: LoadRequest) -> None:
        """No await in here: a chat sees either the old speaker, template and form or the new ones."""
        old = self._speaker
        self._template, self._escape = session.chat_template, session.escape
        self._form = request.form
        self._speaker = Speaker(session, model=request.model, sha256=request.form.sha256)
        if old is not None:
            self._old.append(old)
            old.retire()


def build_app(engine: Engine) -> Starlette:
    """The HTTP face of an engine."""

    async def status(_request: Request) -> Response:
        return _json(engine.status())

    async def load(request: Request) -> Response:
        return _json(await engine.load(await _parse(request, LoadRequest)))

    async def chat(request: Request) -> Response:
        events = engine.chat(await _parse(request, ChatRequest))
        first = await anext(events)
        return StreamingResponse(_lines(first, events), media_type="application/x-ndjson")

    async def tokens(request: Request) -> Response:
        return JSONResponse({"tokens": engine.count_tokens((await _parse(request, Text)).text)})

    routes = [
        Route("/status", status, methods=["GET"]),
        Route("/load", load, methods=["POST"]),
        Route("/chat", chat, methods=["POST"]),
        Route("/tokens", tokens, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={PerennialError: _refuse})


def listen(path: Path) -> socket.socket:
    """A listening unix socket that only this user may use; a dead engine's leftover is replaced.

    Raises:
        Busy: another engine answers there.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    probe = socket.socket(socket.AF_UNIX)
    try:
        probe.connect(str(path))
    except OSError:
        path.unlink(missing_ok=True)
    else:
        raise Busy(f"another engine already listens on {path}")
    finally:
        probe.close()
    server = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        server.bind(str(path))
        server.listen(128)  # at once, so that whoever sees the path can connect
    finally:
        os.umask(before)
    return server


def main(arguments: list[str] | None = None) -> None:
    """Serve until told to stop (SIGTERM or Ctrl-C)."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.gguf.engine", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=Path, help="unix socket to listen on, at most 100 bytes")
    where.add_argument("--port", type=int, help="port on 127.0.0.1 to listen on")
    parser.add_argument("--context", type=int, default=_DEFAULT_CONTEXT, help="tokens per chat")
    parser.add_argument("--sequences", type=int, default=_DEFAULT_SEQUENCES, help="chats answered side by side")
    options = parser.parse_args(arguments)
    # uvicorn raises the signal again when it has shut down; as an exception it lets us free models and socket
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        asyncio.run(_serve(options))
    except PerennialError as error:
        sys.exit(str(error))


def serve_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """`main` on a unix socket, for pipelines.isolated."""
    room = [f"--{name}={arguments[name]}" for name in ("context", "sequences") if name in arguments]
    main(["--socket", arguments["socket"], *room])
    return {}


async def _serve(options: argparse.Namespace) -> None:
    engine = Engine(context=options.context, sequences=options.sequences)
    config = uvicorn.Config(
        build_app(engine),
        host="127.0.0.1",
        port=options.port or 0,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    sockets = [listen(options.socket)] if options.socket else None
    try:
        await uvicorn.Server(config).serve(sockets=sockets)
    finally:
        engine.close()
        if options.socket:
            options.socket.unlink(missing_ok=True)


async def _lines(first: Event, events: AsyncGenerator[Event, None]) -> AsyncIterator[bytes]:
    """Events as JSON lines; a client that leaves closes `events`, which cancels the chat."""
    async with contextlib.aclosing(events):
        yield first.model_dump_json().encode() + b"\n"
        async for event in events:
            yield event.model_dump_json().encode() + b"\n"


async def _parse(request: Request, kind: type[AnyRecord]) -> AnyRecord:
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{where or 'the body'}: {first['msg']}") from error
    except ClientDisconnect as error:
        raise InputError("the client left before its request was complete") from error


async def _refuse(_request: Request, error: Exception) -> Response:
    """A refusal as a Failure: 400 for what the client sent, 429 for a full queue, 503 for not now, 500 for the rest."""
    codes: tuple[tuple[type[Exception], int], ...] = ((InputError, 400), (QueueFull, 429), (Busy, 503))
    code = next((code for kind, code in codes if isinstance(error, kind)), 500)
    return _json(Failure(error=type(error).__name__, message=str(error)), code)


def _json(record: Record, code: int = 200) -> Response:
    return Response(record.model_dump_json(), code, media_type="application/json")


if __name__ == "__main__":
    main()
