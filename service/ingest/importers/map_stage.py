"""Rows of an app's tables in a temporary database, where those of one conversation can be read together."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from service.ingest.importers.items import NotTaken, Place, Placed, refusal_of

Row = Mapping[str, Any]
_STAGE = """
    CREATE TABLE said (conversation, number INTEGER PRIMARY KEY, id, parent, role, content, reasoning, time, model, user, file, entry, line);
    CREATE TABLE voted (message, value, user, reason, comment, time, file, entry, line);
    CREATE TABLE corrected (message, content, user, time, file, entry, line);
    CREATE TABLE known (id PRIMARY KEY, user, time) WITHOUT ROWID;
"""
_INDICES = """
    CREATE INDEX said_by_conversation ON said (conversation, number);
    CREATE INDEX said_by_id ON said (id);
    CREATE INDEX voted_by_message ON voted (message);
"""


class MappedRow(NamedTuple):
    """A row of an app's, by what its columns are to us, and the section of the map that it is of."""

    section: str
    place: Place
    values: dict[str, Any]


class Said(NamedTuple):
    """A staged message."""

    conversation: str
    number: int
    id: str | None
    parent: str | None
    role: str
    content: str
    reasoning: str
    time: Any
    model: str | None
    user: str | None
    file: str
    entry: int
    line: int | None


@contextmanager
def open_stage(rows: Iterator[MappedRow]) -> Iterator[tuple[sqlite3.Connection, list[Placed]]]:
    """A database with these rows, and what was refused of them; a file that nobody else can open, gone when the block ends."""
    with closing(sqlite3.connect("")) as stage:
        stage.executescript(_STAGE)
        refused = _Staging(stage).fill(rows)
        stage.executescript(_INDICES)
        yield stage, refused


def read_groups(stage: sqlite3.Connection) -> Iterator[list[Said]]:
    """The messages of each conversation, in the order in which their rows stand."""
    group: list[Said] = []
    for row in map(Said._make, stage.execute("SELECT * FROM said ORDER BY conversation, number")):
        if group and row.conversation != group[0].conversation:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


class _Staging:
    """Fills the temporary database; rows in which something is missing that a message cannot do without are refused."""

    def __init__(self, stage: sqlite3.Connection) -> None:
        self._stage = stage

    def fill(self, rows: Iterator[MappedRow]) -> list[Placed]:
        """Stages the rows; what was refused of them."""
        refused: list[Placed] = []
        for section, place, row in rows:
            try:
                if not section:
                    raise row["error"]
                getattr(self, section)(place, row)
            except NotTaken as error:
                refused.append((place, refusal_of(error)))
        return refused

    def conversations(self, place: Place, row: Row) -> None:
        self._stage.execute(
            "INSERT OR IGNORE INTO known VALUES (?, ?, ?)", (_id(row, "id"), as_text(row.get("user")), row.get("time"))
        )

    def messages(self, place: Place, row: Row) -> None:
        values = [
            _id(row, "conversation"),
            as_text(row.get("id")),
            as_text(row.get("parent")),
            str(row.get("role")).strip(),
        ]
        self._say(place, row, values, as_text(row.get("content")) or "", as_text(row.get("reasoning")) or "")

    def exchanges(self, place: Place, row: Row) -> None:
        id = as_text(row.get("id"))
        conversation = as_text(row.get("conversation")) or id
        if conversation is None:
            raise NotTaken("unknown_shape", "the row has no id and no conversation: map one of them")
        if row.get("system") is not None and not self._begins(conversation):
            self._say(place, row, [conversation, f"{id}/system" if id else None, None, "system"], str(row["system"]))
        self._say(
            place,
            row,
            [conversation, f"{id}/question" if id else None, None, "user"],
            as_text(row.get("question")) or "",
        )
        self._say(place, row, [conversation, id, None, "assistant"], as_text(row.get("answer")) or "")

    def votes(self, place: Place, row: Row) -> None:
        if row.get("value") is not None:
            values = (row.get(name) for name in ("value", "user", "reason", "comment", "time"))
            self._stage.execute(
                "INSERT INTO voted VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (_id(row, "message"), *values, *place)
            )

    def corrections(self, place: Place, row: Row) -> None:
        if as_text(row.get("content")):
            values = (row.get(name) for name in ("content", "user", "time"))
            self._stage.execute(
                "INSERT INTO corrected VALUES (?, ?, ?, ?, ?, ?, ?)", (_id(row, "message"), *values, *place)
            )

    def _say(self, place: Place, row: Row, values: list[str | None], content: str, reasoning: str = "") -> None:
        conversation, id, parent, role = values
        others = (role, content, reasoning, row.get("time"), as_text(row.get("model")), as_text(row.get("user")))
        insert = f"INSERT INTO said VALUES (?, NULL, {', '.join('?' * 11)})"
        self._stage.execute(insert, (conversation, id, parent, *others, *place))

    def _begins(self, conversation: str) -> bool:
        asked = "SELECT 1 FROM known WHERE id = ?"
        if self._stage.execute(asked, (f"begun {conversation}",)).fetchone():
            return True
        self._stage.execute("INSERT INTO known VALUES (?, NULL, NULL)", (f"begun {conversation}",))
        return False


def _id(row: Row, name: str) -> str:
    found = as_text(row.get(name))
    if found is None:
        raise NotTaken("unknown_shape", f"the row has no {name}")
    return found


def as_text(value: Any) -> str | None:
    """A value as a text: a number without a needless fraction."""
    if value is None or value == "":
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
