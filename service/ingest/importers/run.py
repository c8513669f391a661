"""An import from beginning to end: read, made ready, stored in batches, counted; and gone on with after an interruption.

Where it stopped stands in `imports/<digest>.json` under home, in numbers only. Storing something twice is harmless: the
same file again changes nothing.
"""

import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipelines.artifacts import write_atomic
from pipelines.errors import Busy, InputError
from service.ingest.importers.counts import Counts, RejectFile
from service.ingest.importers.items import Note, Options, Place, Refusal, Snapshot, Thing, refusal_of
from service.ingest.importers.post import Post, Ready, Stored
from service.ingest.importers.reading import Mark, Work, read_work
from service.ingest.importers.ready import Terms, make_ready
from service.ingest.wire import ConversationIn
from service.liveness import another_lives
from service.store.tables import now

BATCH_THINGS, BATCH_BYTES = 500, 4 << 20
BATCHES_IN_FLIGHT = 3
RETRY_SECONDS = 60.0
_HEAD_BYTES, _FULL_BYTES = 1 << 16, 1 << 20
_START = Mark(0, 0)
Answer = TypeVar("Answer")


class Progress(Protocol):
    """Is called with the bytes done, the bytes in all, and how many things a second are stored."""

    def __call__(self, done: int, total: int, rate: float) -> None:
        """Shows it."""


@dataclass
class Batch:
    """Things on their way, with their places; what was refused and left out among them."""

    mark: Mark
    ready: list[Ready] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    refused: list[tuple[Place, Refusal]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it is to be stored before more is read."""
        return len(self.ready) + len(self.refused) + len(self.notes) >= BATCH_THINGS or self.size >= BATCH_BYTES

    def take(self, place: Place, thing: Thing, terms: Terms, app: str) -> None:
        """Adds a thing, ready to be stored, or the refusal that comes of it."""
        if isinstance(thing, Refusal):
            self.refused.append((place, thing))
        elif isinstance(thing, Note):
            self.notes.append(thing)
        else:
            try:
                self._add(place, make_thing_ready(thing, terms, app))
            except Exception as error:  # whatever is wrong with one entry must not fail the others
                self.refused.append((place, refusal_of(error)))

    def _add(self, place: Place, ready: Ready) -> None:
        self.ready.append(ready)
        self.places.append(place)
        self.size += size_of(ready)


@dataclass
class _Position:
    """How far an import came: everything before `mark` is stored, and counted."""

    mark: Mark = _START
    counts: Counts = field(default_factory=Counts)
    reject_bytes: int = 0


def import_work(
    path: Path,
    work: Work,
    post: Post,
    home: Path,
    options: Options,
    terms: Terms = Terms(),
    *,
    target: str = "",
    rejects: Path | None = None,
    progress: Progress = lambda done, total, rate: None,
) -> tuple[Counts, Path]:
    """Stores what was found at a path (find_work); the counts, and where the rejects are written.

    Args:
        post: stores a batch (http_post or direct_post).
        home: where the position is remembered until the import is complete.
        options: what the formats need to know.
        terms: what holds for conversations that do not say.
        target: where `post` stores (a URL): what one database took says nothing about another.
        rejects: where to write what was refused, instead of under home.

    Raises:
        InputError: the server refused, or an id holds what no id does.
        Busy: nothing could be stored for a minute; call again to go on.
    """
    for name, value in (("user", options.user or ""), ("app", options.app)):
        if not value.isprintable():
            raise InputError(f"the {name} {value[:40]!r} holds characters that no id has")
    identity = _identity(path, work, (options, terms, target))
    folder = scratch_folder(home)
    note = folder / f"{identity}.json"
    position = _read_position(note)
    file = RejectFile(rejects or folder / f"{identity[:8]}.rejects.ndjson", position.reject_bytes)
    try:
        _Import(work, post, options, terms, position, note, file, progress).run(folder)
    except Busy as error:
        raise Busy(f"{_why_busy(error, home)}; run the same command again, and it goes on where it stopped") from None
    note.unlink(missing_ok=True)
    return position.counts, file.path


def _why_busy(error: Busy, home: Path) -> str:
    """What to do about it; a full disk is not what the database calls it."""
    if shutil.disk_usage(home).free < _FULL_BYTES:
        return f"the disk of {home} is full: make room on it"
    return str(error)


def scratch_folder(home: Path) -> Path:
    """Where imports keep what they must remember, rid of what killed ones unpacked or tried there."""
    folder = home / "imports"
    for left in [path for pattern in ("unpacked-[0-9]*", "dry-run-[0-9]*") for path in folder.glob(pattern)]:
        process = int(left.name.rpartition("-")[2])
        if process != os.getpid() and not another_lives(process):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return folder


class _Import:
    """One run: batches in flight, acknowledged in order."""

    def __init__(
        self,
        work: Work,
        post: Post,
        options: Options,
        terms: Terms,
        position: _Position,
        note: Path,
        rejects: RejectFile,
        progress: Progress,
    ) -> None:
        self._work, self._post, self._options, self._terms = work, post, options, terms
        self._position, self._note, self._rejects, self._progress = position, note, rejects, progress
        self._flying: deque[tuple[Batch, Mark, Callable[[], Stored]]] = deque()
        self._bytes = self._stored = 0
        self._started = time.monotonic()

    def run(self, scratch: Path) -> None:
        """Reads everything from the position on and stores it."""
        start = self._position.mark
        batch = begin_batch(self._work) if start == _START else Batch(start)
        for mark, place, thing in read_work(self._work, self._options, scratch, start, self._count_bytes):
            if batch.is_full and mark != batch.mark:
                self._send(batch, mark)
                batch = Batch(mark)
            batch.mark = mark
            batch.take(place, thing, self._terms, self._options.app)
        self._send(batch, Mark(len(self._work.parts), 0))
        while self._flying:
            self._land()

    def _send(self, batch: Batch, upto: Mark) -> None:
        while len(self._flying) >= BATCHES_IN_FLIGHT:
            self._land()
        self._flying.append((batch, upto, self._begin(batch)))

    def _begin(self, batch: Batch) -> Callable[[], Stored]:
        """Sends a batch; where the queue is full, after those in flight are stored."""
        if not batch.ready:
            return lambda: ()
        try:
            return self._post(batch.ready)
        except Busy:
            while self._flying:
                self._land()
        return patiently(lambda: self._post(batch.ready))

    def _land(self) -> None:
        """Counts the oldest batch in flight once it is stored, and remembers the place behind it."""
        batch, upto, wait = self._flying.popleft()
        try:
            stored = wait()
        except Busy:
            stored = patiently(lambda: self._post(batch.ready)())
        counts = self._position.counts
        refused = [counts.refuse(place, refusal) for place, refusal in batch.refused]
        written = list(zip([place for place, _ in batch.refused], refused, strict=True))
        for place, ready, (result, detail) in zip(batch.places, batch.ready, stored, strict=True):
            refusal = counts.add(place, ready, result, detail)
            written += [(place, refusal)] if refusal else []
        for note in batch.notes:
            counts.note(note)
        self._rejects.add(written)
        self._position.mark, self._position.reject_bytes = upto, self._rejects.size
        _write_position(self._note, self._position)
        self._stored += len(batch.ready)
        self._show()

    def _count_bytes(self, count: int) -> None:
        self._bytes += count
        self._show()

    def _show(self) -> None:
        elapsed = max(0.001, time.monotonic() - self._started)
        self._progress(min(self._bytes, self._work.size), self._work.size, self._stored / elapsed)


def begin_batch(work: Work) -> Batch:
    """The first batch: what is to be said of files before any is read. Files of no format lie in most folders."""
    batch = Batch(_START)
    batch.refused += [(Place(name, 0), refusal) for name, refusal in work.damaged]
    others = len(work.unread) - len(work.damaged)
    batch.notes += [Note("other_file", others)] if others else []
    return batch


def make_thing_ready(thing: ConversationIn | Snapshot | Ready, terms: Terms, app: str) -> Ready:
    """The thing as it is stored; raises DataError where a rule of the way in forbids it."""
    if isinstance(thing, Snapshot):
        return make_ready(thing.conversation, terms, app, now(), is_copy=True)
    if isinstance(thing, ConversationIn):
        return make_ready(thing, terms, app, now(), is_copy=False)
    return thing


def size_of(ready: Ready) -> int:
    """Its bytes, about."""
    return len(getattr(ready, "row", b"")) or 200


def patiently(send: Callable[[], Answer]) -> Answer:
    """Does it until it is taken; a full queue, a lock or a restart of the server passes within the minute."""
    deadline, pause = time.monotonic() + RETRY_SECONDS, 0.2
    while True:
        try:
            return send()
        except Busy:
            if time.monotonic() + pause > deadline:
                raise
            time.sleep(pause)
            pause = min(5.0, pause * 2)


def _identity(path: Path, work: Work, terms: object) -> str:
    """A name for this import: what lies at the path now, and on which terms it is imported."""
    known = sha256(os.fsencode(f"{path.resolve()}|{terms}|"))
    for part in work.parts:
        for source, _ in part.files:
            known.update(f"{part.format.name}|{source.name}|{source.size}|{source.path.stat().st_mtime_ns}|".encode())
    if path.is_file():
        with path.open("rb") as file:
            known.update(file.read(_HEAD_BYTES))
    return known.hexdigest()[:32]


def _read_position(note: Path) -> _Position:
    try:
        found: dict[str, Any] = json.loads(note.read_text())
        return _Position(Mark(*found["mark"]), Counts(**found["counts"]), found["reject_bytes"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return _Position()


def _write_position(note: Path, position: _Position) -> None:
    """Numbers only: the sentences quote what people sent."""
    note.parent.mkdir(parents=True, exist_ok=True)
    kept = {"mark": position.mark, "counts": position.counts.as_numbers(), "reject_bytes": position.reject_bytes}
    write_atomic(note, json.dumps(kept))
