"""An app's own tables, by a map (map_file.py): grouped by conversation in a temporary database of SQLite's own, so that rows
in any order and number take the memory of one conversation, and the app's database is read in short steps.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import PurePath
from typing import Any

import msgspec

from pipelines.errors import InputError
from pipelines.text import find_nearest
from service.ingest.importers.items import (
    Entry,
    Format,
    Look,
    Note,
    NotTaken,
    Options,
    Place,
    Placed,
    TableFormat,
    Thing,
    in_order,
    inside,
    moment,
    refusal_of,
)
from service.ingest.importers.map_file import ChatMap, columns_of, sections_of
from service.ingest.importers.map_stage import MappedRow, Said, as_text, open_stage, read_groups
from service.ingest.importers.pieces import tag
from service.ingest.importers.table import AnyFormat
from service.ingest.importers.tables import Tables
from service.ingest.prepare import NewCorrection, NewVote
from service.ingest.wire import ConversationIn, MessageIn, VoteIn


def formats_of(given: ChatMap) -> tuple[AnyFormat, ...]:
    """The formats by which everything is read as the map says: tables of SQLite, and files of rows."""

    def read_tables(tables: Tables, options: Options) -> Iterator[Placed]:
        return _read(given, options, _table_rows(given, tables))

    def read_entries(entries: Iterable[Entry], options: Options) -> Iterator[Placed]:
        return _read(given, options, _entry_rows(given, entries))

    name = f"map-{sha256(msgspec.json.encode(given)).hexdigest()[:8]}"  # another map is another import
    return (
        TableFormat(name, "An app's own tables, by the map", lambda look: True, read_tables),
        Format(name, "An app's own rows, by the map", _has_rows, read_entries, alone=False),
    )


def _has_rows(look: Look) -> bool:
    return look.kind != "sqlite" and isinstance(look.first, dict)


def _table_rows(given: ChatMap, tables: Tables) -> Iterator[MappedRow]:
    for name, section in sections_of(given):
        if section.table not in tables.columns:
            raise _unknown("table", section.table, tables.columns)
        columns = columns_of(section)
        _check_columns(columns, tables.columns[section.table], f" of the table {section.table}")
        for number, row in tables.rows(section.table, sorted(set(columns.values()))):
            yield MappedRow(name, Place(f"{tables.name}, table {section.table}", number), _named(columns, row))


def _entry_rows(given: ChatMap, entries: Iterable[Entry]) -> Iterator[MappedRow]:
    """Each file is a table by its name; a section without a table is read from every file."""
    fitting: dict[str, list[tuple[str, dict[str, str]]]] = {}
    for entry in entries:
        file = entry.place.file
        try:
            row = entry.decode()
        except NotTaken as error:
            yield MappedRow("", entry.place, {"error": error})
            continue
        if file not in fitting:
            stem = PurePath(file).name.partition(".")[0].lower()
            fits = [(name, one) for name, one in sections_of(given) if one.table.lower() in ("", stem)]
            fitting[file] = [(name, columns_of(one)) for name, one in fits]
            for _, columns in fitting[file]:
                _check_columns(columns, row if isinstance(row, dict) else {}, f" of {file}")
        for name, columns in fitting[file]:
            yield MappedRow(name, entry.place, _named(columns, row))
    if not any(fitting.values()):
        wanted = next(one.table for _, one in sections_of(given))
        raise _unknown("file", wanted, [PurePath(file).name.partition(".")[0] for file in fitting])


def _named(columns: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, Any]:
    """The row by what its columns are to us; what is empty is nothing."""
    return {ours: None if row.get(theirs) == "" else row.get(theirs) for ours, theirs in columns.items()}


def _check_columns(columns: Mapping[str, str], known: Iterable[str], where: str) -> None:
    for column in columns.values():
        if column not in known:
            raise _unknown("column", column, list(known), where)


def _unknown(what: str, name: str, known: Iterable[str], where: str = "") -> InputError:
    near = find_nearest(name, list(known))
    hint = f"did you mean {near!r}?" if near else f"there are {', '.join(sorted(known)) or 'none'}"
    return InputError(f"the map names the {what} {name!r}{where}, which is not there; {hint}")


def _read(given: ChatMap, options: Options, rows: Iterator[MappedRow]) -> Iterator[Placed]:
    with open_stage(rows) as (stage, refused):
        yield from refused
        reading = _Reading(stage, given, options)
        for messages in read_groups(stage):
            place = Place(messages[0].file, messages[0].entry, messages[0].line)
            try:
                things = list(reading.conversation(messages))
            except Exception as error:  # whatever is wrong with one conversation must not fail the others
                things = [refusal_of(error)]
            yield from ((place, thing) for thing in things)
        yield from reading.lone_feedback()


class _Reading:
    """Conversations out of the temporary database, with what was said of their answers."""

    def __init__(self, stage: sqlite3.Connection, given: ChatMap, options: Options) -> None:
        self._stage, self._given, self._options = stage, given, options
        self._thumbs = options.thumbs if options.thumbs.up else given.thumb_rules()

    def conversation(self, given: list[Said]) -> Iterator[Thing]:
        """A conversation and notes of what is missing in it."""
        id = given[0].conversation
        user, time = self._stage.execute("SELECT user, time FROM known WHERE id = ?", (id,)).fetchone() or (None, None)
        user = user or next((one.user for one in given if one.user and self._role(one) == "user"), None)
        messages, orphans = self._messages(id, given)
        votes = [vote for one in given if one.id and self._role(one) == "assistant" for vote in self._votes(id, one.id)]
        yield ConversationIn(
            id=id,
            user=self._options.person(user, id),
            messages=messages,
            votes=tuple(vote for vote in votes if vote is not None),
            time=moment(time) or moment(given[0].time),
        )
        if orphans:
            yield Note("orphan", orphans)
        if None in votes:
            yield Note("not_a_thumb", votes.count(None))

    def lone_feedback(self) -> Iterator[Placed]:
        """Votes on messages that are not in these tables, which wait for them, and corrections."""
        alone = "SELECT * FROM voted WHERE NOT EXISTS (SELECT 1 FROM said WHERE said.id = voted.message)"
        for message, value, user, reason, comment, time, *place in self._stage.execute(alone):
            thumb = self._thumbs.of(None, value)
            at = Place(*place)
            if thumb is None or user is None or self._scoped:
                yield at, Note("not_a_thumb" if thumb is None else "no_message")
                continue
            number: Any = 1 if thumb == "up" else -1
            yield (
                at,
                NewVote(self._options.app, message, str(user), number, tag(reason), as_text(comment), moment(time)),
            )
        for message, content, user, time, *place in self._stage.execute("SELECT * FROM corrected"):
            yield Place(*place), self._correction(message, str(content), as_text(user), time)

    @property
    def _scoped(self) -> bool:
        return self._given.messages is not None and self._given.messages.unique == "conversation"

    def _correction(self, message: str, content: str, user: str | None, time: Any) -> Thing:
        asked = "SELECT conversation FROM said WHERE id = ?"
        found = self._stage.execute(asked, (message,)).fetchone()
        if found is None or (user is None and self._options.user is None):
            return refusal_of(
                NotTaken("no_message" if found is None else "no_user", "a correction of nobody, or of nothing here")
            )
        name = self._name(found[0], message)
        return NewCorrection(self._options.app, name, self._options.person(user, found[0]), content, moment(time))

    def _role(self, one: Said) -> str | None:
        return self._given.role(one.role)

    def _name(self, conversation: str, message: str) -> str:
        return inside(conversation, message) if self._scoped else message

    def _messages(self, id: str, given: list[Said]) -> tuple[tuple[MessageIn, ...], int]:
        """A list as it stands where no row names a parent, else a tree."""
        made = [self._message(id, one) for one in given]
        return in_order(made) if any(one.parent for one in made) else (tuple(made), 0)

    def _message(self, id: str, one: Said) -> MessageIn:
        role = self._role(one)
        if role is None:
            raise NotTaken(
                "unknown_role", f"the role {one.role[:40]!r} is not known: say in the map, under roles, what it is"
            )
        return MessageIn(
            role=role,  # type: ignore[arg-type]
            content=one.content,
            id=self._name(id, one.id) if one.id else None,
            parent=self._name(id, one.parent) if one.parent else None,
            reasoning=one.reasoning,
            model=one.model if role == "assistant" else None,
            time=moment(one.time),
        )

    def _votes(self, conversation: str, message: str) -> Iterator[VoteIn | None]:
        """The votes on a message, None for each that is no thumb."""
        asked = "SELECT value, user, reason, comment, time FROM voted WHERE message = ?"
        for value, user, reason, comment, time in self._stage.execute(asked, (message,)).fetchall():
            thumb = self._thumbs.of(None, value)
            name = self._name(conversation, message)
            yield VoteIn(name, thumb, as_text(user), tag(reason), as_text(comment), moment(time)) if thumb else None
