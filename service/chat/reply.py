"""One reply in the making: the engine's events on one side, a client that may leave on the other, and the record.

The reply runs in a task of its own. When the client leaves, or the engine dies, what was said so far is stored as an
incomplete message; a whole reply is stored before its end is told.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from pipelines.errors import Busy, Conflict, PerennialError
from pipelines.gguf.protocol import Calls, Chance, ChatRequest, End, Failure, Start, Text, Thought
from pipelines.records import ToolCall
from service.chat.place import Placement
from service.chat.tools import stored_calls
from service.engine.client import EngineGone, chat_with_engine
from service.ingest import Incoming, NewMessage, State, Writer, describe
from service.ingest.body import Body
from service.ingest.wire import ToolIn

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# Tasks that outlive their request; asyncio itself holds only weak references.
_running: set["asyncio.Task[None]"] = set()


class ClientLeft(PerennialError):
    """Whoever asked did not wait for the whole answer; nobody is told so but the log."""


@dataclass(frozen=True)
class Record:
    """Where a chat is recorded, for whom, and with which consent."""

    writer: Writer
    app: str
    user: str
    consent: bool | None
    metadata: dict[str, str]
    placement: Placement
    at: datetime
    tools: tuple[ToolIn, ...] = ()

    async def open(self) -> None:
        """Store the request's new turns. Raises Conflict or Busy if they cannot be stored."""
        await self._submit(self.placement.new)

    async def close(self, text: str, reasoning: str, calls: Sequence[ToolCall], served_by: str, complete: bool) -> None:
        """Store the reply."""
        placement = self.placement
        state: State = "complete" if complete else "unfinished"
        body = Body(text, reasoning, stored_calls(calls)) if calls or reasoning else None
        reply = NewMessage(placement.reply_id, "assistant", text, placement.parent, served_by, state, body)
        await self._submit((reply,))

    async def _submit(self, messages: tuple[NewMessage, ...]) -> None:
        name = self.placement.conversation_id
        incoming = Incoming(
            app=self.app,
            id=name,
            user=self.user,
            messages=messages,
            is_list=False,
            occurred_at=self.at,
            meta=describe(name, metadata=self.metadata or None, tools=self.tools, answers=self.placement.answers),
            consent=self.consent,
        )
        # shielded: a cancelled future would make the writer's thread fail when it answers
        outcome = (await asyncio.shield(asyncio.wrap_future(self.writer.submit([incoming]))))[0]
        if outcome.status >= 400:
            raise Conflict(f"this chat cannot be stored: {outcome.detail}")


@dataclass
class Reply:
    """An answer under way. `begin` starts it, `pieces` gives what it says and thinks, then `calls` are all there; `end` is set
    once it is whole and stored."""

    home: Path
    request: ChatRequest
    record: Record | None
    text: str = ""
    reasoning: str = ""
    tokens: list[Chance] = field(default_factory=list)
    calls: tuple[ToolCall, ...] = ()
    end: End | None = None
    _pieces: "asyncio.Queue[Text | Thought | PerennialError | None]" = field(default_factory=asyncio.Queue)
    _task: "asyncio.Task[None] | None" = None

    async def begin(self) -> Start:
        """The engine's first word, once the request's turns are stored.

        Raises:
            InputError, Busy, Conflict: why there will be no answer.
        """
        started: asyncio.Future[Start] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(started))
        _running.add(self._task)
        self._task.add_done_callback(_running.discard)
        try:
            return await started
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def pieces(self) -> AsyncIterator[Text | Thought]:
        """The pieces as they come. Raises a PerennialError if the answer breaks off; leaving early cancels it."""
        try:
            while (piece := await self._pieces.get()) is not None:
                if isinstance(piece, PerennialError):
                    raise piece
                yield piece
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End the answer; harmless when it is whole already."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, started: "asyncio.Future[Start]") -> None:
        last: PerennialError | None = None
        try:
            await self._listen(started)
        except PerennialError as error:
            last = error
        except asyncio.CancelledError:
            last = ClientLeft("the client left before the answer was whole")
        if not started.done():
            started.set_exception(last or EngineGone("the engine ended without an answer"))
            return
        if started.cancelled() or started.exception():
            return
        self._pieces.put_nowait(await self._keep(started.result(), last))

    async def _listen(self, started: "asyncio.Future[Start]") -> None:
        async with chat_with_engine(self.home, self.request) as (start, events):
            if self.record is not None:
                await self.record.open()
            if not started.done():
                started.set_result(start)
            async for event in events:
                if isinstance(event, Text):
                    self.text += event.text
                    self.tokens += event.tokens
                    self._pieces.put_nowait(event)
                elif isinstance(event, Thought):
                    self.reasoning += event.text
                    self._pieces.put_nowait(event)
                elif isinstance(event, Calls):
                    self.calls = event.calls
                elif isinstance(event, Failure):
                    raise EngineGone(event.message)
                elif isinstance(event, End):
                    self.end = event
                    return
        raise EngineGone("the engine went away while answering; send the chat again")

    async def _keep(self, start: Start, cut: PerennialError | None) -> PerennialError | None:
        """Store the reply and give the error that its reader is to hear."""
        if self.end is None:
            emit = _log.info if isinstance(cut, ClientLeft) else _log.warning
            emit("reply_cut_off", model=start.model, characters=len(self.text), why=type(cut).__name__)
        if self.record is None or not (
            self.text.strip() or self.calls
        ):  # curation would reject the whole conversation for it
            return cut
        try:
            await self.record.close(self.text, self.reasoning, self.calls, start.model, complete=self.end is not None)
        except (Conflict, Busy) as error:
            _log.error("reply_not_stored", model=start.model, why=type(error).__name__)
            return cut or error
        return cut
