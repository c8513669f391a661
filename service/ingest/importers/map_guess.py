"""A first guess of a map from what tables and columns are called, to be read and corrected by whoever knows them."""

from collections.abc import Iterable, Mapping, Sequence

import yaml

from pipelines.errors import InputError
from service.ingest.client_keys import ROLES, ROLES_MEANT

# What columns are called, the likeliest name first.
_NAMES: Mapping[str, Sequence[str]] = {
    "id": ("id", "message_id", "uuid", "msg_id"),
    "conversation": ("conversation_id", "chat_id", "thread_id", "session_id", "dialog_id", "conversation", "thread", "session", "chat"),
    "role": ("role", "sender", "author", "speaker", "sender_type", "author_type", "from", "type", "direction"),
    "content": ("content", "text", "body", "message", "msg"),
    "parent": ("parent_id", "parent", "reply_to", "in_reply_to"),
    "time": ("created_at", "timestamp", "sent_at", "created", "time", "date", "ts"),
    "model": ("model", "model_name", "model_id"),
    "user": ("user_id", "customer_id", "account_id", "user", "customer", "username", "owner_id"),
    "question": ("prompt", "question", "query", "user_message", "input", "request"),
    "answer": ("answer", "response", "completion", "reply", "bot_message", "output"),
    "value": ("rating", "vote", "thumb", "thumbs", "value", "score", "liked", "feedback", "stars"),
    "message": ("message_id", "answer_id", "response_id", "msg_id"),
    "comment": ("comment", "note", "feedback_text"),
    "reason": ("reason", "tag"),
}  # fmt: skip
_HEAD = """\
# A first guess by the names of tables and columns: read it, correct it, then
#   perennial import {path} --map {map} --dry-run
# Every key: docs/importing.md. Columns that hold nothing of a chat are left out.
"""
Tables = Mapping[str, Iterable[str]]


def guess_map(tables: Tables, roles: Mapping[str, Sequence[object]], path: str, map: str) -> str:
    """The YAML of a map for these tables.

    Args:
        tables: the columns by table.
        roles: some values that stand in the column of roles, by table.
        path: what is imported, and `map` where the map is written, for the comment.

    Raises:
        InputError: no table looks like messages, or like questions with answers.
    """
    found = _messages(tables, roles) or _exchanges(tables)
    if found is None:
        names = ", ".join(f"{name} ({', '.join(sorted(columns))})" for name, columns in tables.items())
        raise InputError(
            "no table looks as if it held messages (a role and a text) or questions with answers; write the map by hand "
            f"(docs/importing.md). There are: {names[:600]}"
        )
    table = next(iter(found.values()))["table"]
    found |= _conversations(tables, table) | _votes(tables, table)
    return _HEAD.format(path=path, map=map) + yaml.safe_dump(found, sort_keys=False, allow_unicode=True)


def role_column(columns: Iterable[str]) -> str | None:
    """The column that probably says who speaks."""
    return _column("role", columns)


def _messages(tables: Tables, roles: Mapping[str, Sequence[object]]) -> dict[str, dict[str, str]] | None:
    for table, columns in tables.items():
        named = _columns(columns, ("id", "conversation", "role", "content", "parent", "time", "model", "user"))
        if {"conversation", "role", "content"} <= set(named):
            found = {"messages": {"table": table} | named}
            values = {str(one): _role(one) for one in roles.get(table, ())}
            return found | ({"roles": values} if any(str(one).lower() not in ROLES for one in values) else {})
    return None


def _role(value: object) -> str:
    name = str(value).strip().lower()
    return ROLES.get(name) or ROLES_MEANT.get(name) or "user"


def _exchanges(tables: Tables) -> dict[str, dict[str, str]] | None:
    for table, columns in tables.items():
        named = _columns(columns, ("id", "conversation", "question", "answer", "time", "model", "user"))
        if {"question", "answer"} <= set(named) and {"id", "conversation"} & set(named):
            return {"exchanges": {"table": table} | named}
    return None


def _conversations(tables: Tables, messages: str) -> dict[str, dict[str, str]]:
    """A table with an id and a user a row, that is called like conversations."""
    for table, columns in tables.items():
        named = _columns(columns, ("id", "user", "time"))
        likely = any(word in table.lower() for word in ("conversation", "chat", "thread", "session", "dialog"))
        if table != messages and likely and {"id", "user"} <= set(named):
            return {"conversations": {"table": table} | named}
    return {}


def _votes(tables: Tables, messages: str) -> dict[str, dict[str, str]]:
    """The table of messages itself where it has a rating, else one that names messages and has a value."""
    id = _column("id", tables[messages])
    value = _column("value", tables[messages])
    if id and value:
        return {"votes": {"table": messages, "message": id, "value": value}}
    for table, columns in tables.items():
        named = _columns(columns, ("message", "value", "user", "reason", "comment", "time"))
        if table != messages and {"message", "value"} <= set(named):
            return {"votes": {"table": table} | named}
    return {}


def _columns(columns: Iterable[str], wanted: Sequence[str]) -> dict[str, str]:
    found = {name: column for name in wanted if (column := _column(name, columns)) is not None}
    return {
        name: column for name, column in found.items() if list(found.values()).index(column) == list(found).index(name)
    }


def _column(name: str, columns: Iterable[str]) -> str | None:
    known = {column.lower(): column for column in columns}
    return next((known[one] for one in _NAMES[name] if one in known), None)
