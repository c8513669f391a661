"""Imports a file of conversations: NDJSON in our own shape, or ChatML JSONL that holds nothing but messages.

    {"id": "c-17", "user": "u-4", "messages": [...], ...}                  one conversation per line
    {"messages": [{"role": "user", "content": "Hi"}, ...]}                 ChatML: the id comes from the content

Consent and a rating may be given for all lines that say nothing of them. They are updates: the same file again, now with
consent or another rating, changes what is stored and nothing else.

An import that broke off goes on where it stopped, from `imports/<digest>.json` under home; storing a line twice is
harmless anyway.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from pipelines.artifacts import write_atomic
from pipelines.errors import Busy, DataError, InputError, PerennialError
from service.ingest import DEFAULT_APP, parse_conversation, prepare
from service.ingest.importers.lines import MAX_LINE_BYTES, check_file, read_lines
from service.ingest.importers.post import Post, Stored
from service.ingest.nesting import refuse_deep
from service.ingest.prepare import Result
from service.ingest.stream import BOM, faults_of_its_own
from service.ingest.wire import ConversationIn
from service.store.tables import now

BATCH_ROWS, BATCH_BYTES = 500, 4 << 20
MAX_PROBLEMS = 1_000
RETRY_SECONDS = 60.0
_HEAD_BYTES = 1 << 16

Progress = Callable[[int, int], None]
Thumb = Literal["up", "down"]
Rating = int | Thumb


@dataclass
class Counts:
    """What became of the lines; `problems` are (line number from 1, sentence), the first 1,000 of them.

    `cannot_train` are the stored lines from which no round can learn as the file gives them, by selection's reason.
    """

    created: int = 0
    unchanged: int = 0
    appended: int = 0
    conflict: int = 0
    invalid: int = 0
    failed: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)
    cannot_train: dict[str, int] = field(default_factory=dict)

    def add_stored(self, line: int, result: Result, detail: str | None, lack: str | None) -> None:
        """Count a line that could be read, with why no round can learn from it, if so."""
        self.add(line, result, detail)
        if lack is not None and result in ("created", "appended", "unchanged"):
            self.cannot_train[lack] = self.cannot_train.get(lack, 0) + 1

    def add(self, line: int, result: Result, detail: str | None) -> None:
        """Count a line."""
        setattr(self, result, getattr(self, result) + 1)
        if detail is not None and len(self.problems) < MAX_PROBLEMS:
            self.problems.append((line, detail))


@dataclass(frozen=True)
class _Unsaid:
    """What holds for lines that do not say."""

    consent: bool | None
    rating: Rating | None
    user: str
    app: str | None


@dataclass
class _Position:
    """How far an import came: everything before `offset` is acknowledged."""

    offset: int = 0
    line: int = 0
    counts: Counts = field(default_factory=Counts)


def import_file(
    path: Path,
    post: Post,
    home: Path,
    *,
    consent: bool | None = None,
    rating: Rating | None = None,
    user: str = "import",
    app: str | None = None,
    target: str = "",
    progress: Progress = lambda done, total: None,
) -> Counts:
    """Stores every good line of a file and counts the others.

    Args:
        post: stores a batch of conversations (http_post or direct_post).
        home: where the position is remembered until the import is complete.
        consent: for lines that do not say.
        rating: for lines that hold no rating: a satisfaction from 1 to 5, or a thumb of the line's user for each answer.
        user: whose conversations ChatML lines are.
        app: for lines that do not say; without it the key's own, or the default.
        target: where `post` stores (a URL): what one database took says nothing about another.
        progress: called with the bytes done and the bytes in all.

    Raises:
        NotFound: there is no such file.
        InputError: it is no file of lines (lines.check_file), or the server refused.
        Busy: the server did not answer for a minute; call again to go on.
    """
    check_file(path)
    for name, value in (("user", user), ("app", app or "")):
        if not value.isprintable():
            raise InputError(f"the {name} {value[:40]!r} holds characters that no id has")
    total, unsaid = path.stat().st_size, _Unsaid(consent, rating, user, app)
    note = home / "imports" / f"{_identity(path, unsaid, target)}.json"
    position = _read_position(note)
    for batch in _batches(path, position, lambda line: _row(line, unsaid)):
        for line, lack, (result, detail) in zip(batch.lines, batch.lacks, _patiently(post, batch.rows), strict=True):
            position.counts.add_stored(line, result, detail, lack)
        for line, sentence in batch.problems:
            position.counts.add(line, "invalid", sentence)
        position.offset, position.line = batch.end, batch.last_line
        _write_position(note, position)
        progress(position.offset, total)
    note.unlink(missing_ok=True)
    position.counts.problems.sort()
    return position.counts


def parse_rating(text: str) -> Rating:
    """A rating as people type it: 1 to 5, up or down.

    Raises:
        InputError: it is none of these.
    """
    if text in get_args(Thumb):
        return "up" if text == "up" else "down"
    if text in ("1", "2", "3", "4", "5"):
        return int(text)
    raise InputError(f"the rating {text[:40]!r} is none of 1, 2, 3, 4, 5, up, down")


def lack_of(row: ConversationIn) -> str | None:
    """Why no round can learn from a conversation as it was sent, in the names of selection's rules; None if one can.

    Selection asks more, of the answers' text and of a recipe's minimum; these are what whoever sends it can mend.
    """
    checks = (
        ("no_consent", row.consent is not True),
        ("no_answer", all(message.role != "assistant" for message in row.messages)),
        ("unrated", row.satisfaction is None and not (row.votes or row.corrections or row.comparisons)),
    )
    return next((name for name, holds in checks if holds), None)


@dataclass
class _Batch:
    """Lines on their way: rows that can be stored, with their line numbers and what they lack; sentences about the others."""

    end: int
    last_line: int
    size: int = 0
    rows: list[bytes] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    lacks: list[str | None] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return len(self.rows) >= BATCH_ROWS or self.size >= BATCH_BYTES or len(self.problems) >= BATCH_ROWS


def _batches(path: Path, start: _Position, shape: Callable[[bytes], bytes]) -> Iterator[_Batch]:
    batch = _Batch(start.offset, start.line)
    for end, line in read_lines(path, start.offset):
        if batch.is_full or (batch.rows and batch.size + len(line or b"") > BATCH_BYTES):
            yield batch
            batch = _Batch(batch.end, batch.last_line)
        batch.end = end
        batch.last_line += 1
        try:
            _take(batch, line, shape)
        except PerennialError as error:
            batch.problems.append((batch.last_line, str(error)))
    yield batch


def _take(batch: _Batch, line: bytes | None, shape: Callable[[bytes], bytes]) -> None:
    """Adds a line to the batch, if anything stands in it.

    Raises:
        PerennialError: it cannot be stored.
    """
    if line is None:
        raise DataError(f"the line is longer than {MAX_LINE_BYTES} bytes")
    line = (line.removeprefix(BOM) if batch.last_line == 1 else line).strip()
    if not line:
        return
    with faults_of_its_own(line):
        row = shape(line)
        sent = parse_conversation(row)
        prepare(sent, DEFAULT_APP, now())
    batch.rows.append(row)
    batch.size += len(row)
    batch.lines.append(batch.last_line)
    batch.lacks.append(lack_of(sent))


def _row(line: bytes, unsaid: _Unsaid) -> bytes:
    """The line in our own shape."""
    refuse_deep(line)
    try:
        given = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return line  # parse_conversation words it
    if not isinstance(given, dict):
        return line
    if "messages" in given and "id" not in given and "user" not in given:
        canonical = json.dumps(given["messages"], ensure_ascii=False, sort_keys=True)
        given |= {"id": f"chatml-{sha256(canonical.encode()).hexdigest()[:32]}", "user": unsaid.user}
    values = {"consent": unsaid.consent, "app": unsaid.app, **_rated(given, unsaid.rating)}
    given |= {name: value for name, value in values.items() if value is not None and given.get(name) is None}
    return msgspec.json.encode(given)


def _rated(given: dict[str, Any], rating: Rating | None) -> dict[str, Any]:
    """The fields that rate a line which holds no rating."""
    if rating is None or given.get("satisfaction") is not None or given.get("votes"):
        return {}
    if isinstance(rating, int):
        return {"satisfaction": rating}
    messages = given["messages"] if isinstance(given.get("messages"), list) else []
    answers = [at for at, one in enumerate(messages) if isinstance(one, dict) and one.get("role") == "assistant"]
    return {"votes": [{"message": at, "value": rating} for at in answers] or None}


def _patiently(post: Post, rows: Sequence[bytes]) -> Stored:
    """Posts until it is taken; a full queue or a restart of the server passes within the minute."""
    if not rows:
        return []
    deadline, pause = time.monotonic() + RETRY_SECONDS, 0.2
    while True:
        try:
            return post(rows)
        except Busy:
            if time.monotonic() + pause > deadline:
                raise
            time.sleep(pause)
            pause = min(5.0, pause * 2)


def _identity(path: Path, unsaid: _Unsaid, target: str) -> str:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    known = os.fsencode(f"{path.resolve()}|{path.stat().st_size}|{unsaid}|{target}|")
    return sha256(known + head).hexdigest()[:32]


def _read_position(note: Path) -> _Position:
    try:
        found: dict[str, Any] = json.loads(note.read_text())
        before = [(line, "refused before the import was interrupted") for line in found["refused"]]
        return _Position(found["offset"], found["line"], Counts(**found["counts"], problems=before))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return _Position()


def _write_position(note: Path, position: _Position) -> None:
    """Numbers only: the sentences quote what people sent."""
    note.parent.mkdir(parents=True, exist_ok=True)
    counts = asdict(position.counts)
    refused = [line for line, _ in counts.pop("problems")]
    kept = {"offset": position.offset, "line": position.line, "counts": counts, "refused": refused}
    write_atomic(note, json.dumps(kept))
