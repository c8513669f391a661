"""The tables of a SQLite file that another program may be writing: read in short steps, never written, never held locked."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from pipelines.errors import Busy, InputError

_PAGE_ROWS = 200  # a chat may have megabytes
_BOUND_VALUES = 400
_WAIT_SECONDS = 30.0
Row = dict[str, Any]


class Tables:
    """A SQLite file opened for reading; `name` is what people know it by. `on_row` is called with the rows read and the rows there are."""

    def __init__(self, path: Path, name: str, on_row: Callable[[int, int], None] = lambda done, total: None) -> None:
        self._path, self.name, self._on_row = path, name, on_row
        self._done = self._total = 0
        self._connection = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @cached_property
    def columns(self) -> Mapping[str, frozenset[str]]:
        """The columns by table (and view)."""
        names = self._ask("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'")
        return {
            name: frozenset(row[1] for row in self._ask(f"PRAGMA table_info({_quoted(name)})")) for (name,) in names
        }

    def rows(self, table: str, columns: Sequence[str], counts: bool = True) -> Iterator[tuple[int, Row]]:
        """Each row of a table with its number from 1, in the order in which they were added.

        Between pages nothing is held, so what the owner adds meanwhile may be in it. `counts` says whether these rows are
        what progress is measured by.
        """
        if counts:
            self._total += self._ask(f"SELECT count(*) FROM {_quoted(table)}")[0][0]
        for number, values in enumerate(self._pages(table, columns), 1):
            if counts:
                self._done += 1
                self._on_row(self._done, self._total)
            yield number, dict(zip(columns, values, strict=True))

    def related(self, table: str, columns: Sequence[str], by: str, values: Sequence[Any]) -> dict[Any, list[Row]]:
        """The rows whose column `by` holds one of the values, by that value, in the order in which they were added."""
        found: dict[Any, list[Row]] = defaultdict(list)
        shown = ", ".join(map(_quoted, (by, *columns)))
        for start in range(0, len(values), _BOUND_VALUES):
            chunk = list(values[start : start + _BOUND_VALUES])
            marks = ", ".join("?" * len(chunk))
            asked = f"SELECT {shown} FROM {_quoted(table)} WHERE {_quoted(by)} IN ({marks})"
            for value, *rest in self._ask(asked + self._order(table), chunk):
                found[value].append(dict(zip(columns, rest, strict=True)))
        return found

    def _pages(self, table: str, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
        shown = ", ".join(map(_quoted, columns))
        if not self._order(table):  # a view, or a table without row ids: no place to go on from
            yield from self._ask(f"SELECT {shown} FROM {_quoted(table)}")
            return
        last = None
        while True:
            begin = "" if last is None else "WHERE rowid > ? "
            bound: list[Any] = [] if last is None else [last]
            asked = f"SELECT rowid, {shown} FROM {_quoted(table)} {begin}ORDER BY rowid LIMIT {_PAGE_ROWS}"
            page = self._ask(asked, bound)
            for row in page:
                yield row[1:]
            if len(page) < _PAGE_ROWS:
                return
            last = page[-1][0]

    def _order(self, table: str) -> str:
        if table not in self._has_rowid:
            try:
                found = self._ask(f"SELECT rowid FROM {_quoted(table)} LIMIT 1")
                self._has_rowid[table] = found == [] or found[0][0] is not None
            except InputError:
                self._has_rowid[table] = False
        return " ORDER BY rowid" if self._has_rowid[table] else ""

    @cached_property
    def _has_rowid(self) -> dict[str, bool]:
        return {}

    def _ask(self, query: str, values: Sequence[Any] = ()) -> list[Sequence[Any]]:
        try:
            with closing(self._connection.execute(query, values)) as cursor:
                return cursor.fetchall()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise Busy(
                    f"{self.name} is locked by the program that writes it; try again, or import a copy of it"
                ) from None
            raise InputError(f"{self.name} cannot be read: {error}") from None
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self.name} is no whole SQLite database: {error}") from None

    def _open(self) -> sqlite3.Connection:
        try:
            opened = sqlite3.connect(
                f"file:{quote(str(self._path))}?mode=ro", uri=True, timeout=_WAIT_SECONDS, isolation_level=None
            )
        except sqlite3.OperationalError as error:
            raise InputError(f"{self._path} cannot be opened: {error}") from None
        opened.text_factory = lambda raw: raw.decode(errors="surrogateescape")
        return opened


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
