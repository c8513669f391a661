"""A stream of NDJSON of any size, cut into lines and stored in batches in bounded memory."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from pipelines.errors import Busy, DataError, PerennialError
from service.ingest.parse import parse_noted
from service.ingest.prepare import Incoming, Outcome, prepare
from service.ingest.writer import Writer
from service.store.tables import now

BATCH_ROWS, BATCH_BYTES = 200, 2 << 20
BATCHES_IN_FLIGHT = 3
MAX_PROBLEMS = 1_000
LARGE_BYTES = 256 << 10
BOM = b"\xef\xbb\xbf"  # editors on Windows begin a file with it
_log = structlog.get_logger(__name__)


@dataclass
class Summary:
    """Counts of lines by result; `problems` are (line, status, sentence), the first 1,000 of them.

    `notes` count what of the lines is not kept, `without_consent` the new ones from which nothing is learned.
    """

    counts: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    without_consent: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[int, int, str]] = field(default_factory=list)

    def add(self, line: int, outcome: Outcome, given: Incoming | None = None) -> None:
        """Counts a line, and keeps its problem while there are few."""
        if given is not None and outcome.status < 400:
            self.notes.update(given.notes)
            self.without_consent += outcome.result == "created" and given.consent is not True
        self.counts[outcome.result] = self.counts.get(outcome.result, 0) + 1
        if outcome.detail is not None and len(self.problems) < MAX_PROBLEMS:
            self.problems.append((line, outcome.status, outcome.detail))


class LineSplitter:
    """Cuts chunks of bytes into numbered lines; a line longer than `max_bytes` is passed on as None, not kept."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()
        self._number = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes | None]]:
        """The lines that this chunk completes."""
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            self._keep(piece)
            yield self._take()
        self._keep(rest)

    def end(self) -> Iterator[tuple[int, bytes | None]]:
        """The last line, if it had no line break."""
        if self._rest or self._skipping:
            yield self._take()

    def _keep(self, piece: bytes) -> None:
        if self._skipping or len(self._rest) + len(piece) > self._max_bytes:
            self._skipping = True
            self._rest.clear()
        else:
            self._rest += piece

    def _take(self) -> tuple[int, bytes | None]:
        self._number += 1
        line = None if self._skipping else bytes(self._rest).strip()
        if line is not None and self._number == 1:
            line = line.removeprefix(BOM)
        self._rest.clear()
        self._skipping = False
        return self._number, line


Read = Callable[[bytes], Incoming]
Parsed = TypeVar("Parsed")


async def parse_aside(parse: Callable[[bytes], Parsed], body: bytes) -> Parsed:
    """What `parse` makes of a body; of a large one in a thread, so that other requests go on meanwhile."""
    return await asyncio.to_thread(parse, body) if len(body) > LARGE_BYTES else parse(body)


def reader(app_of: Callable[[str | None], str]) -> Read:
    """Turns one row into a conversation; `app_of` says which app it belongs to and may refuse.

    Raises PerennialError and nothing else, whatever is wrong with the row.
    """

    def read(row: bytes) -> Incoming:
        with faults_of_its_own(row):
            given, notes = parse_noted(row)
            return prepare(given, app_of(given.app), now(), notes)

    return read


@contextmanager
def faults_of_its_own(row: bytes) -> Iterator[None]:
    """Whatever the block raises is an error of this row, which must not fail the others of its batch.

    Raises:
        PerennialError: the block raised it, or (DataError) something that nobody thought of.
    """
    try:
        yield
    except PerennialError:
        raise
    except Exception as error:
        _log.error("row_not_read", error=type(error).__name__, bytes=len(row))
        raise DataError(f"this row cannot be read ({type(error).__name__})") from None


async def store_stream(chunks: AsyncIterator[bytes], read: Read, writer: Writer, max_line_bytes: int) -> Summary:
    """Stores every good line and counts every bad one; a stream that breaks off keeps what it stored.

    Raises:
        Busy: the database stopped taking conversations; what was stored before stays, and sending all again is safe.
    """
    splitter, batches = LineSplitter(max_line_bytes), _Batches(writer)
    async for chunk in chunks:
        for number, line in splitter.feed(chunk):
            await _take_line(batches, number, line, read, max_line_bytes)
    for number, line in splitter.end():
        await _take_line(batches, number, line, read, max_line_bytes)
    return await batches.finish()


async def _take_line(batches: "_Batches", number: int, line: bytes | None, read: Read, max_bytes: int) -> None:
    batches.summary.lines = number
    if line == b"":
        return
    if line is None:
        batches.summary.add(number, Outcome("", "invalid", f"the line is longer than {max_bytes} bytes"))
        return
    try:
        conversation = await parse_aside(read, line)
    except PerennialError as error:
        batches.summary.add(number, Outcome("", "invalid", str(error)))
        return
    await batches.add(number, conversation, len(line))


class _Batches:
    """Batches on their way to the writer: a few in flight, so that a fast sender waits instead of filling memory."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._lines: list[int] = []
        self._rows: list[Incoming] = []
        self._bytes = 0
        self._flying: deque[tuple[list[int], list[Incoming], asyncio.Future[list[Outcome]]]] = deque()
        self.summary = Summary()

    async def add(self, line: int, conversation: Incoming, size_bytes: int) -> None:
        self._lines.append(line)
        self._rows.append(conversation)
        self._bytes += size_bytes
        if len(self._rows) >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
            await self._send()

    async def finish(self) -> Summary:
        if self._rows:
            await self._send()
        while self._flying:
            await self._land()
        self.summary.problems.sort()
        return self.summary

    async def _send(self) -> None:
        while len(self._flying) >= BATCHES_IN_FLIGHT:
            await self._land()
        while True:
            try:
                future = asyncio.wrap_future(self._writer.submit(self._rows))
                break
            except Busy:
                if not self._writer.is_alive:
                    raise
                await asyncio.sleep(0.05)
        self._flying.append((self._lines, self._rows, future))
        self._lines, self._rows, self._bytes = [], [], 0

    async def _land(self) -> None:
        lines, rows, future = self._flying.popleft()
        for line, given, outcome in zip(lines, rows, await future, strict=True):
            self.summary.add(line, outcome, given)
