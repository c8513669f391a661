"""The entries of files one after the other: lines, elements of lists, rows; and what a file looks like before it is read."""

import csv
import io
import json
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO, cast

from service.ingest.importers.cut import BOM, EVERY, MAX_ENTRY_BYTES, cut_lines, cut_values
from service.ingest.importers.items import Entry, Kind, Look, NotTaken, Place, Placed, Refusal
from service.ingest.importers.reasons import REASONS
from service.ingest.importers.sources import HEAD_BYTES, Bytes, Damaged, Source
from service.parquet import open_pyarrow

_ROWS = 256
_LOOKED_AT = 100
_EMPTY = "is empty: there is no entry in it"
_NOTHING = "holds nothing that can be read as JSON, CSV or Parquet"
_DELIMITERS = ",;\t|"
_SQLITE, _PARQUET = b"SQLite format 3\x00", b"PAR1"
_OTHERS = (
    ((b"\xff\xfe", b"\xfe\xff"), "is UTF-16 text; save it as UTF-8 and import that"),
    ((b"\x28\xb5\x2f\xfd",), "is packed with zstd; unpack it (unzstd) and import what comes out"),
    ((b"PK\x03\x04",), "is an archive in an archive; unpack it and import what comes out"),
    ((b"7z\xbc\xaf", b"Rar!"), "is an archive of a kind that is not read; unpack it and import what comes out"),
)


class NotReadable(NotTaken):
    """A file in which no entries can be found."""

    def __init__(self, sentence: str) -> None:
        super().__init__("not_readable", sentence)


class Entries:
    """The entries of some files of one kind, in order, without the first `skip` of them.

    `pulled` are how many were given away, those that were skipped included; `refused` what was none, to be taken away by
    whoever reads; `damage` what broke off the last file that did.
    """

    def __init__(
        self,
        files: Sequence[tuple[Source, Kind]],
        members: Collection[str] | None = frozenset(),
        skip: int = 0,
        read: Bytes = lambda count: None,
    ) -> None:
        self._files, self._members, self._skip, self._read = files, members, skip, read
        self.pulled = 0
        self.refused: deque[Placed] = deque()
        self.damage: Damaged | None = None

    def __iter__(self) -> Iterator[Entry]:
        for source, kind in self._files:
            try:
                with source.open(self._read) as stream:
                    yield from self._of(source.name, kind, stream)
            except Damaged as error:
                self.damage = error
                self.refused.append((Place(source.name, 0), Refusal("cut_off", f"the file {error}")))

    def _of(self, name: str, kind: Kind, stream: BinaryIO) -> Iterator[Entry]:
        rows = self._rows(name, kind, stream) if kind in ("csv", "parquet") else self._cuts(name, stream)
        for entry in rows:
            self.pulled += 1
            if self.pulled > self._skip:
                yield entry

    def _cuts(self, name: str, stream: BinaryIO) -> Iterator[Entry]:
        is_lines = _is_lines(cast(io.BufferedReader, stream).peek(HEAD_BYTES), self._members)
        cuts = cut_lines(stream) if is_lines else cut_values(stream, self._members)
        for number, cut in enumerate(cuts, 1):
            place = Place(name, cut.line if is_lines else number, cut.line)
            if cut.reason is None:
                yield Entry(place, cut.raw, key=cut.key)
            elif self.pulled >= self._skip:
                self.refused.append((place, Refusal(cut.reason, _sentence(cut.reason))))

    def _rows(self, name: str, kind: Kind, stream: BinaryIO) -> Iterator[Entry]:
        try:
            rows = _csv_rows(stream) if kind == "csv" else _parquet_rows(stream)
            for number, (line, row) in enumerate(rows, 1):
                yield Entry(Place(name, number, line), None, row)
        except (csv.Error, NotReadable) as error:
            self.refused.append((Place(name, 0), Refusal("not_readable", f"its rows cannot be read on: {error}")))


def look_at(source: Source) -> Iterator[Look]:
    """What a file looks like by each of its first entries that can be read, as they are asked for; of SQLite only the kind.

    Raises:
        NotReadable: there are no entries in it of any kind that is known here.
        Damaged: it breaks off before its first entry.
    """
    name = source.name.rsplit("/")[-1].lower()
    kind = _kind_of(name, source.head())
    if kind == "sqlite":
        yield Look(name, kind)
        return
    entries, is_nothing = Entries([(source, kind)]), True
    for entry in islice(entries, _LOOKED_AT):
        if (first := _decoded(entry)) is not None:
            is_nothing = False
            yield Look(name, kind, first)
    refusals = [thing for _, thing in entries.refused if isinstance(thing, Refusal)]
    if is_nothing and any(one.reason == "too_large" for one in refusals):
        for entry in islice(Entries([(source, kind)], EVERY), 1):
            is_nothing = False
            yield Look(name, kind, {entry.key: [_decoded(entry)]})
    if is_nothing:
        raise entries.damage or NotReadable(_NOTHING if entries.pulled or refusals else _EMPTY)


def _decoded(entry: Entry) -> Any:
    try:
        return entry.decode()
    except NotTaken:
        return None


def _kind_of(name: str, head: bytes) -> Kind:
    """The kind of a file by how it begins.

    Raises:
        NotReadable: none that is known.
    """
    for beginnings, sentence in _OTHERS:
        if head.startswith(beginnings):
            raise NotReadable(sentence)
    if head.startswith(_SQLITE):
        return "sqlite"
    if head.startswith(_PARQUET):
        return "parquet"
    text = head.removeprefix(BOM).lstrip()
    if not text:
        raise NotReadable(_EMPTY)
    if text[:1] in (b"[", b"{") or name.endswith((".json", ".jsonl", ".ndjson")):
        return "json"
    if name.endswith((".csv", ".tsv", ".csv.gz", ".tsv.gz")):
        return "csv"
    raise NotReadable("holds no JSON, CSV, Parquet or SQLite")


def _is_lines(head: bytes, members: Collection[str] | None) -> bool:
    """Whether each line is an entry: one of the first is a whole object, and none whose lists are the entries."""
    text = head.removeprefix(BOM).lstrip()
    if members is EVERY or text[:1] == b"[":
        return False
    first = next((one for line in text.splitlines() if (one := _object_in(line)) is not None), None)
    return first is not None and not any(isinstance(first.get(key), list) for key in members or ())


def _object_in(line: bytes) -> dict[str, Any] | None:
    """The object that a line is; within an object that is written over several lines none begins at the margin."""
    try:
        found = json.loads(line) if line[:1] == b"{" else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _csv_rows(stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row with the line on which it begins."""
    csv.field_size_limit(MAX_ENTRY_BYTES)
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    header = text.readline()
    delimiter = max(_DELIMITERS, key=header.count)
    names = next(csv.reader([header], delimiter=delimiter))
    reader = csv.reader(text, delimiter=delimiter)
    line = 2
    for row in reader:
        if row:
            yield line, dict(zip(names, [*row, *[None] * (len(names) - len(row))], strict=False))
        line = reader.line_num + 2


def _parquet_rows(stream: BinaryIO) -> Iterator[tuple[None, dict[str, Any]]]:
    """Each row, as plain values.

    Raises:
        MissingDependency: the library that reads Parquet is not installed.
        NotReadable: it is no whole Parquet file.
    """
    pyarrow = open_pyarrow()
    try:
        for batch in pyarrow.parquet.ParquetFile(stream).iter_batches(batch_size=_ROWS):
            yield from ((None, row) for row in batch.to_pylist())
    except (pyarrow.ArrowException, OSError) as error:
        raise NotReadable(f"is no whole Parquet file ({type(error).__name__})") from None


def _sentence(reason: str) -> str:
    return REASONS[reason]
