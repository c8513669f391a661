"""From a path to conversations: which files are of which format, and what they hold, thing by thing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import InputError
from service.ingest.importers.entries import Entries, NotReadable, look_at
from service.ingest.importers.items import Format, Kind, Look, Options, Place, Refusal, TableFormat, Thing
from service.ingest.importers.reasons import REASONS
from service.ingest.importers.sources import Damaged, Source, find_sources
from service.ingest.importers.table import AnyFormat, recognise
from service.ingest.importers.tables import Tables


class Mark(NamedTuple):
    """A place to go on from: a part of the work, and how many of its entries (or things) are done with."""

    part: int
    done: int


@dataclass(frozen=True)
class Part:
    """The files of one format, in the order in which they are read."""

    format: AnyFormat
    files: tuple[tuple[Source, Kind], ...]


@dataclass(frozen=True)
class Work:
    """What lies at a path: parts to read, and the files that are of no format, with a sentence each."""

    parts: tuple[Part, ...]
    unread: tuple[tuple[str, Refusal], ...] = ()

    @property
    def damaged(self) -> list[tuple[str, Refusal]]:
        """The files that nobody can read, though they may be of a format."""
        return [(name, refusal) for name, refusal in self.unread if refusal.reason == "cut_off"]

    @property
    def size(self) -> int:
        """The bytes of all files to read."""
        return sum(source.size for part in self.parts for source, _ in part.files)


def find_work(path: Path, formats: Sequence[AnyFormat], scratch: Path, is_named: bool = False) -> Work:
    """What can be read at a path, as one of these formats.

    Args:
        scratch: where what is packed and must be read as a file is unpacked for a while.
        is_named: the one format was named: what does not look like it is read as it all the same, and its entries say why.

    Raises:
        NotFound: there is nothing at this path.
        InputError: nothing there is of a format that is known; the sentence says why of the first file.
    """
    files: dict[tuple[str, type], list[tuple[Source, Look]]] = {}
    unread: list[tuple[str, Refusal]] = []
    for source in find_sources(path):
        try:
            found, look = _recognise_file(source, formats, scratch, is_named)
        except (NotReadable, Damaged) as error:
            reason = "cut_off" if isinstance(error, Damaged) else "not_readable"
            unread.append((source.name, Refusal(reason, str(error))))
            continue
        if found is None:
            unread.append((source.name, Refusal("not_recognised", REASONS["not_recognised"])))
        else:
            files.setdefault(_key(found), []).append((source, look))
    if not files:
        name, refusal = unread[0]
        more = f" (nor {len(unread) - 1} other files there)" if len(unread) > 1 else ""
        raise InputError(f"{name} {_as_predicate(refusal, formats)}{more}")
    parts = (Part(one, _ordered(one, files[_key(one)])) for one in formats if _key(one) in files)
    return Work(tuple(parts), tuple(unread))


def read_work(
    work: Work, options: Options, scratch: Path, start: Mark, read: Callable[[int], None] = lambda count: None
) -> Iterator[tuple[Mark, Place, Thing]]:
    """Each thing from `start` on, with its place and the mark from which it would come again.

    `read` is called with the bytes that each step took.
    """
    for number, part in enumerate(work.parts):
        if number < start.part:
            continue
        done = start.done if number == start.part else 0
        if isinstance(part.format, TableFormat):
            yield from _from_tables(number, part, part.format, options, scratch, done, read)
        else:
            yield from _from_entries(number, part, part.format, options, done, read)


def _from_entries(
    number: int, part: Part, one: Format, options: Options, done: int, read: Callable[[int], None]
) -> Iterator[tuple[Mark, Place, Thing]]:
    entries = Entries(part.files, one.members, done if one.alone else 0, read)
    count = 0
    for place, thing in one.read(entries, options):
        mark = Mark(number, entries.pulled - 1 if one.alone else count)
        while entries.refused:
            yield mark, *entries.refused.popleft()
        count += 1
        if one.alone or count > done:
            yield mark, place, thing
    end = Mark(number, entries.pulled if one.alone else count)
    while entries.refused:
        yield end, *entries.refused.popleft()


def _from_tables(
    number: int, part: Part, one: TableFormat, options: Options, scratch: Path, done: int, read: Callable[[int], None]
) -> Iterator[tuple[Mark, Place, Thing]]:
    count = 0
    for source, _ in part.files:
        with ExitStack() as stack:
            path = stack.enter_context(source.on_disk(scratch))
            tables = stack.enter_context(Tables(path, source.name, _in_bytes(source.size, read)))
            for place, thing in one.read(tables, options):
                count += 1
                if count > done:
                    yield Mark(number, count - 1), place, thing


def _in_bytes(size: int, read: Callable[[int], None]) -> Callable[[int, int], None]:
    """Tells of rows as if they were bytes of the file."""
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = size * done // max(1, total)
        if now > told:
            read(now - told)
            told = now

    return tell


def _recognise_file(
    source: Source, formats: Sequence[AnyFormat], scratch: Path, is_named: bool
) -> tuple[AnyFormat | None, Look]:
    """The format of a file and the look by which it is of it; no more is read than that needs."""
    first = None
    for look in look_at(source):
        if look.kind == "sqlite":
            with source.on_disk(scratch) as path, Tables(path, source.name) as tables:
                look = replace(look, tables=dict(tables.columns))
        first = first or look
        if found := recognise(look, formats):
            return found, look
    assert first is not None, "a file without entries is NotReadable"
    return (_only(formats, first) if is_named else None), first


def _key(one: AnyFormat) -> tuple[str, type]:
    """What tells formats apart: a map has one for tables and one for files, of one name."""
    return one.name, type(one)


def _only(formats: Sequence[AnyFormat], look: Look) -> AnyFormat | None:
    """The format that was named, if it is of this kind of file."""
    return formats[0] if isinstance(formats[0], TableFormat) == (look.kind == "sqlite") else None


def _ordered(one: AnyFormat, files: list[tuple[Source, Look]]) -> tuple[tuple[Source, Kind], ...]:
    rank = one.rank if isinstance(one, Format) else lambda look: 0
    ordered = sorted(files, key=lambda file: (rank(file[1]), file[0].name))
    return tuple((source, look.kind) for source, look in ordered)


def _as_predicate(refusal: Refusal, formats: Sequence[AnyFormat]) -> str:
    if refusal.reason != "not_recognised":
        return refusal.sentence
    return f"is not recognised: {refusal.sentence}; the formats are {', '.join(one.name for one in formats)}"
