"""Ollama's desktop app: its SQLite file db.sqlite with the tables chats, messages, tool_calls and attachments.

    messages    id 2, chat_id "k", role "assistant", content "Nine.", thinking "Hm.", model_name "m", created_at "2026-11-20 10:00:05"
    tool_calls  message_id 2, function_name "clock", function_arguments "{}", function_result "9:00"

There are no ratings and no branches, and nobody is named.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from service.ingest.importers.dialect import role_of
from service.ingest.importers.items import (
    Look,
    NotTaken,
    Options,
    Place,
    Placed,
    TableFormat,
    Thing,
    inside,
    moment,
    refusal_of,
)
from service.ingest.importers.pieces import Notes, dropped, notes_of
from service.ingest.importers.tables import Tables
from service.ingest.importers.turns import Call, Drop, Result, Say, Step, Think, answer_messages
from service.ingest.importers.values import Object, label_of
from service.ingest.wire import ConversationIn, MessageIn

_CHATS_AT_A_TIME = 200
_MESSAGE = ("id", "role", "content", "thinking", "stream", "model_name", "created_at", "tool_name", "tool_result")
_CALL = ("function_name", "function_arguments", "function_result")


def read(tables: Tables, options: Options) -> Iterator[Placed]:
    """The conversation of each chat."""
    chats = iter(tables.rows("chats", _present(tables, "chats", ("id", "created_at"))))
    while group := list(islice(chats, _CHATS_AT_A_TIME)):
        messages = _related(tables, "messages", _MESSAGE, "chat_id", [row["id"] for _, row in group])
        ids = [row["id"] for rows in messages.values() for row in rows]
        calls = _related(tables, "tool_calls", _CALL, "message_id", ids)
        files = _related(tables, "attachments", ("filename",), "message_id", ids)
        for number, chat in group:
            place = Place(tables.name, number)
            try:
                for thing in _chat(chat, messages.get(chat["id"], []), calls, files, options):
                    yield place, thing
            except Exception as error:  # whatever is wrong with one must not fail the others
                yield place, refusal_of(error)


def _chat(
    chat: Object, rows: list[Object], calls: dict[Any, list[Object]], files: dict[Any, list[Object]], options: Options
) -> Iterator[Thing]:
    if not rows:
        raise NotTaken("no_messages", "there are no messages in it")
    name, notes = str(chat["id"]), Notes()
    messages: list[MessageIn] = []
    for row in rows:
        parent = messages[-1].id if messages else None
        steps = [*_steps(row, calls.get(row["id"], ())), *(dropped("file", f, notes) for f in files.get(row["id"], ()))]
        messages += _messages(row, inside(name, str(row["id"])), parent, steps)
    yield ConversationIn(
        id=name,
        user=options.person(None, name),
        messages=tuple(messages),
        model=next((message.model for message in messages[::-1] if message.model), None),
        time=moment(chat.get("created_at")) or messages[0].time,
    )
    yield from notes_of(notes)


def _steps(row: Object, calls: Any) -> Iterator[Step]:
    """What the turn says; a tool's answer stands beside its call."""
    yield from [Think(text)] if (text := label_of(row.get("thinking"))) else []
    yield from [Say(text)] if (text := label_of(row.get("content"))) else []
    for at, call in enumerate(calls):
        id = f"{row['id']}/{at}"
        tool = label_of(call.get("function_name")) or "tool"
        yield Call(id, tool, label_of(call.get("function_arguments")) or "{}")
        yield from [Result(id, text, tool)] if (text := label_of(call.get("function_result"))) else []


def _messages(row: Object, id: str, parent: str | None, steps: list[Step]) -> list[MessageIn]:
    role, time = role_of(row.get("role")), moment(row.get("created_at"))
    if role == "assistant":
        state = "unfinished" if row.get("stream") else "complete"
        return list(
            answer_messages(id, parent, steps, model=label_of(row.get("model_name")), time=time, state=state)[0]
        )
    text = "".join(step.text for step in steps if isinstance(step, Say)) or label_of(row.get("tool_result")) or ""
    parts = tuple(step.part for step in steps if isinstance(step, Drop))
    name = label_of(row.get("tool_name")) if role == "tool" else None
    return [MessageIn(role, text, id, parent, parts=parts, name=name, time=time)]


def _related(tables: Tables, table: str, columns: tuple[str, ...], by: str, ids: list[Any]) -> dict[Any, list[Object]]:
    """The rows of a table that older versions may lack, with the columns that it has."""
    if by not in tables.columns.get(table, ()):
        return {}
    return tables.related(table, _present(tables, table, columns), by, ids)


def _present(tables: Tables, table: str, columns: tuple[str, ...]) -> list[str]:
    return [name for name in columns if name in tables.columns[table]]


def _recognises(look: Look) -> bool:
    messages = look.tables.get("messages", frozenset())
    return "chats" in look.tables and {"chat_id", "role", "content", "model_name"} <= messages


FORMAT = TableFormat(
    name="ollama", title="Ollama: the desktop app's chats (db.sqlite)", recognises=_recognises, read=read
)
