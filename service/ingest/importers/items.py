"""What an importer is made of: entries of files in, conversations and feedback out, and a format that says how.

    Format(name="librechat", title="LibreChat: one exported conversation", recognises=..., read=each(convert))

`read` is called once for all files of its format at the path that somebody imports, and yields each thing with the place
where it stands. What it cannot take it refuses with a reason (reasons.py); consent, limits, storing, resuming and
counting are not its business (run.py).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import msgspec
import structlog

from pipelines.errors import DataError, PerennialError
from service.ingest.importers.tables import Tables
from service.ingest.importers.thumbs import Thumb, Thumbs
from service.ingest.prepare import NewComparison, NewCorrection, NewVote
from service.ingest.wire import ConversationIn, MessageIn, PartIn, PartKind

EACH = "each"
_MAX_ID = 256
_LAST_SECOND = 1e10  # of the year 2286; what is more counts in smaller steps
_log = structlog.get_logger(__name__)
Kind = Literal["json", "csv", "parquet", "sqlite"]


class Place(NamedTuple):
    """Where something stands: the entry's number in its file, from 1, and the line on which it begins.

    Of files with an entry a line both are the number of the line; of tables there is no line; 0 is the file itself.
    """

    file: str
    entry: int
    line: int | None = None

    def __str__(self) -> str:
        if self.entry == 0:
            return self.file
        if self.line == self.entry:
            return f"{self.file}, line {self.line}"
        return f"{self.file}, entry {self.entry}" + (f" (line {self.line})" if self.line is not None else "")


class NotTaken(DataError):
    """An entry that does not come in; `reason` is a name in reasons.REASONS."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """What does not come in: counted by its reason, and written to the reject file with its place."""

    reason: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Note:
    """What was left out of something that did come in: counted, and nothing more."""

    reason: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of a chat as it once was: stored only where nothing newer of that chat is."""

    conversation: ConversationIn


Thing = ConversationIn | Snapshot | NewVote | NewCorrection | NewComparison | Refusal | Note
Placed = tuple[Place, Thing]


class Entry:
    """One element of a list, one line, one object or one row of a file."""

    __slots__ = ("_raw", "_value", "key", "place")

    def __init__(self, place: Place, raw: bytes | None, value: Any = None, key: str = "") -> None:
        self.place, self.key, self._raw, self._value = place, key, raw, value

    @property
    def raw(self) -> bytes:
        """Its JSON, as it stands in the file."""
        return msgspec.json.encode(self._value) if self._raw is None else self._raw

    def decode(self, shape: Any = Any) -> Any:
        """The entry as plain values, or as a msgspec shape, which skips the fields that it does not name.

        Raises:
            NotTaken: it is not JSON, or of another shape; the sentence says which field.
        """
        try:
            if self._raw is None:
                return self._value if shape is Any else msgspec.convert(self._value, shape, strict=False)
            return _decoder(shape).decode(self._raw)
        except msgspec.ValidationError as error:
            raise NotTaken(
                "unknown_shape", f"it has another shape than this format: {_lower_first(str(error))}"
            ) from None
        except UnicodeDecodeError:
            raise NotTaken("not_json", "it is not valid UTF-8") from None
        except msgspec.DecodeError as error:
            sentence = _lower_first(str(error).removeprefix("JSON is malformed: "))
            raise NotTaken("not_json", f"it is not valid JSON: {sentence}") from None
        except RecursionError:
            raise NotTaken("nested", "its JSON is nested too deeply to be read") from None


@dataclass(frozen=True)
class Look:
    """What is seen of a file before it is read: its base name in lower case and its first entry.

    Of an object too large to be read whole, `first` holds the beginning of its first list. `tables` are the columns by
    table, of a SQLite file.
    """

    name: str
    kind: Kind
    first: Any = None
    tables: Mapping[str, frozenset[str]] = field(default_factory=dict)


ReadEntries = Callable[[Iterable[Entry], "Options"], Iterator[Placed]]
ReadTables = Callable[[Tables, "Options"], Iterator[Placed]]


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        name: as people type it after --format.
        title: what it is, for people.
        recognises: whether a file is of it; looks at a few keys.
        read: what comes in, in the order of the entries. `alone` says that each entry is understood by itself, so that an
            import that goes on need not decode those that are stored already.
        members: the keys of a top-level object whose lists are cut into entries.
        rank: files of lower rank are read first.
    """

    name: str
    title: str
    recognises: Callable[[Look], bool]
    read: ReadEntries
    alone: bool = True
    members: frozenset[str] = frozenset()
    rank: Callable[[Look], int] = lambda look: 0


@dataclass(frozen=True)
class TableFormat:
    """A format of SQLite files."""

    name: str
    title: str
    recognises: Callable[[Look], bool]
    read: ReadTables


@dataclass(frozen=True)
class Options:
    """What holds for everything that does not say: whose it is, and which scores are thumbs.

    `user` is a person's id, EACH for one person a conversation, or None where nothing was said. Without
    `learns_answers` the assistant's turns come in as context, from which nothing is learned.
    """

    app: str
    user: str | None = None
    thumbs: Thumbs = Thumbs()
    learns_answers: bool = True

    def person(self, named: str | None, conversation: str) -> str:
        """The person the file names, or who it is otherwise.

        Raises:
            NotTaken: nobody is named, and nothing was said of that.
        """
        if named:
            return named
        if self.user is None:
            raise NotTaken(
                "no_user", "it names nobody: import it with --user each (one person a conversation) or --user -"
            )
        return inside("each", conversation) if self.user == EACH else self.user

    def thumb(self, name: str | None, value: Any) -> Thumb | None:
        """Up or down, where a score of this name and value is a thumb."""
        return self.thumbs.of(name, value)


def each(convert: Callable[[Entry, Options], Iterable[Thing]]) -> ReadEntries:
    """A reader of entries that stand alone; what `convert` raises about one is its refusal."""

    def read(entries: Iterable[Entry], options: Options) -> Iterator[Placed]:
        for entry in entries:
            try:
                things = list(convert(entry, options))
            except Exception as error:  # whatever is wrong with one entry must not fail the others
                things = [refusal_of(error)]
            for thing in things:
                yield entry.place, thing

    return read


def refusal_of(error: Exception) -> Refusal:
    """The refusal that an error stands for; one that nobody thought of is logged by its kind."""
    if isinstance(error, PerennialError):
        return Refusal(error.reason if isinstance(error, NotTaken) else "not_storable", str(error))
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    _log.error("entry_not_read", error=type(error).__name__, line=where.tb_lineno if where else None)
    return Refusal("unknown_shape", f"it cannot be read as this format ({type(error).__name__})")


def inside(conversation: str, message: str) -> str:
    """An id that is unique everywhere, for one that is unique in its conversation; the same again for the same two."""
    whole = f"{conversation}:{message}"
    return whole if len(whole) <= _MAX_ID else f"long-{sha256(whole.encode(errors='surrogatepass')).hexdigest()}"


def drop_part(kind: PartKind, reference: str) -> PartIn:
    """What stands for something beside the text that is not kept: known again by a hash of its bytes or its address."""
    return PartIn(kind, sha256(reference.encode(errors="surrogatepass")).hexdigest())


def moment(value: Any) -> datetime | None:
    """The time that a value says: seconds, or fractions of them down to nanoseconds, since 1970, or ISO text; else None."""
    if isinstance(value, str):
        value = value.strip()
        try:
            found = datetime.fromisoformat(value)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        except ValueError:
            if not value.replace(".", "", 1).isdigit():
                return None
    try:
        seconds = float(value)
        while abs(seconds) > _LAST_SECOND:
            seconds /= 1000
        return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def in_order(messages: Iterable[MessageIn]) -> tuple[tuple[MessageIn, ...], int]:
    """The messages of a tree, parents before children and siblings in the order given, and how many had no parent to be found.

    A message whose parent is missing becomes one that begins the conversation.

    Raises:
        NotTaken: they follow one another in a circle.
    """
    known = {message.id: message for message in messages}
    children: dict[str | None, list[MessageIn]] = {}
    orphans = 0
    for message in known.values():
        is_orphan = message.parent is not None and message.parent not in known
        orphans += is_orphan
        one = msgspec.structs.replace(message, parent=None) if is_orphan else message
        children.setdefault(one.parent, []).append(one)
    ordered: list[MessageIn] = []
    waiting = children.get(None, [])[::-1]
    while waiting:
        message = waiting.pop()
        ordered.append(message)
        waiting += children.get(message.id, ())[::-1]
    if len(ordered) < len(known):
        raise NotTaken("cycle", f"{len(known) - len(ordered)} of its messages follow one another in a circle")
    return tuple(ordered), orphans


@cache
def _decoder(shape: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape, strict=False)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
