"""Open WebUI: its own database, webui.db, while it runs or not.

    chat(id, user_id, chat, created_at)    chat_message(id = chat id-message id, chat_id, parent_id, role, content, output, ...)
    feedback(id, user_id, type, data, meta, snapshot, created_at, updated_at)

Newer versions keep messages in a table of their own, which is worth more than the copy in `chat`; ratings of messages
stand only in that copy and in `feedback`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from service.ingest.importers.items import Look, Options, Place, Placed, TableFormat, Thing, refusal_of
from service.ingest.importers.open_webui import ChatRow, OpenWebUIChat, OpenWebUIHistory, OpenWebUIMessage, read_chat
from service.ingest.importers.open_webui_feedback import FeedbackRow, read_feedback
from service.ingest.importers.tables import Row, Tables

_CHATS = 50
_NAMES = {"parent_id": "parentId", "model_id": "model", "created_at": "timestamp"}
_JSON = ("content", "output", "files", "error")
_MESSAGE_COLUMNS = ("id", "parent_id", "role", "content", "output", "model_id", "files", "done", "error", "created_at")
_FEEDBACK_JSON = ("data", "meta", "snapshot")


def read(tables: Tables, options: Options) -> Iterator[Placed]:
    """Every chat, then every piece of feedback."""
    rows = tables.rows("chat", ("id", "user_id", "chat", "created_at"))
    while page := list(islice(rows, _CHATS)):
        messages = _messages(tables, [row["id"] for _, row in page])
        for number, row in page:
            chat = partial(_read_chat, row, messages.get(row["id"], []), options)
            yield from _placed(Place(f"{tables.name}, table chat", number), chat)
    if "feedback" in tables.columns:
        columns = ("user_id", "type", *_FEEDBACK_JSON, "created_at", "updated_at")
        for number, row in tables.rows("feedback", columns):
            yield from _placed(Place(f"{tables.name}, table feedback", number), partial(_read_feedback, row, options))


def _placed(place: Place, read_row: Callable[[], Iterator[Thing]]) -> Iterator[Placed]:
    try:
        things = list(read_row())
    except Exception as error:  # whatever is wrong with one row must not fail the others
        things = [refusal_of(error)]
    yield from ((place, thing) for thing in things)


def _read_chat(row: Row, messages: list[Row], options: Options) -> Iterator[Thing]:
    return read_chat(_chat(row, messages), options)


def _read_feedback(row: Row, options: Options) -> Iterator[Thing]:
    return read_feedback(_feedback(row), options)


def _messages(tables: Tables, chats: list[str]) -> dict[str, list[Row]]:
    """The rows of these chats' messages, where this version has such a table."""
    has = tables.columns.get("chat_message", frozenset())
    if not {"id", "chat_id", "role", "content"} <= has:
        return {}
    return tables.related("chat_message", [name for name in _MESSAGE_COLUMNS if name in has], "chat_id", chats)


def _chat(row: Row, messages: list[Row]) -> ChatRow:
    chat = msgspec.convert(_decoded(row["chat"]) or {}, OpenWebUIChat, strict=False)
    found = ChatRow(id=row["id"], user_id=row["user_id"], chat=chat, created_at=row["created_at"])
    if messages:
        tree = dict(chat.history.messages) if chat.history else {}
        for one in messages:
            name = str(one["id"]).removeprefix(f"{row['id']}-")
            tree[name] = _message(name, one, tree.get(name))
        chat.history = OpenWebUIHistory(tree)
    return found


def _message(name: str, row: Row, copy: OpenWebUIMessage | None) -> OpenWebUIMessage:
    values = {_NAMES.get(key, key): _decoded(value) if key in _JSON else value for key, value in row.items()}
    found = msgspec.convert({**values, "id": name}, OpenWebUIMessage, strict=False)
    if copy is not None:
        found.annotation, found.merged, found.arena = copy.annotation, copy.merged, copy.arena
    return found


def _feedback(row: Row) -> FeedbackRow:
    values = {key: _decoded(value) if key in _FEEDBACK_JSON else value for key, value in row.items()}
    return msgspec.convert(values, FeedbackRow, strict=False)


def _decoded(value: Any) -> Any:
    """What a column of JSON says."""
    return msgspec.json.decode(value.encode(errors="surrogateescape")) if isinstance(value, str) else value


def _recognises(look: Look) -> bool:
    return {"id", "user_id", "chat", "created_at"} <= look.tables["chat"]


FORMAT = TableFormat("open-webui-database", "Open WebUI: its database (webui.db)", _recognises, read)
