"""Open WebUI: the feedback that an admin exported, as JSON or as CSV.

    [{"id": "f-1", "user_id": "u-1", "type": "rating", "data": {"rating": -1, "reason": "too_verbose", "comment": "long"},
      "meta": {"arena": false, "chat_id": "c-1", "message_id": "a1"}, "snapshot": {"chat": {...}}, "updated_at": 1795000015}]

The snapshot is the chat as it was: its ids are those of the live chat, which is worth more where it is stored. The CSV
names chat and model and no message: such a vote counts where that model gave one answer in a chat that is stored.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from service.ingest.importers.items import (
    Entry,
    Format,
    Look,
    Note,
    NotTaken,
    Options,
    Refusal,
    Snapshot,
    Thing,
    each,
    inside,
    moment,
)
from service.ingest.importers.open_webui import ChatRow, comment_in, read_chat, thumb_in
from service.ingest.importers.pieces import tag
from service.ingest.prepare import AnswerOf, NewVote
from service.ingest.wire import ConversationIn


class _Data(Struct):
    rating: Any = None
    reason: Any = None
    comment: Any = None
    details: Any = None


class _Meta(Struct):
    chat_id: str | None = None
    message_id: str | None = None
    arena: bool | None = None


class _Snapshot(Struct):
    chat: ChatRow | None = None


class FeedbackRow(Struct):
    """One piece of feedback."""

    user_id: str | None = None
    type: str = "rating"
    data: _Data | None = None
    meta: _Meta | None = None
    snapshot: _Snapshot | None = None
    updated_at: Any = None
    created_at: Any = None


def convert(entry: Entry, options: Options) -> Iterator[Thing]:
    """The vote, after the chat as it was when it was given."""
    row: FeedbackRow = entry.decode(FeedbackRow)
    yield from read_feedback(row, options)


def read_feedback(row: FeedbackRow, options: Options) -> Iterator[Thing]:
    """The vote, after the chat as it was when it was given.

    Raises:
        NotTaken: it names no message.
    """
    meta, data = row.meta or _Meta(), row.data or _Data()
    if not meta.chat_id or not meta.message_id:
        raise NotTaken("no_chat", "it names no chat and message (meta.chat_id, meta.message_id)")
    if row.snapshot and row.snapshot.chat:
        yield from _snapshot(row.snapshot.chat, meta.chat_id, row.user_id, options)
    thumb = thumb_in(data.rating, data.details)
    if thumb is None:
        yield Note("draw" if data.rating is not None else "not_a_thumb")
        return
    if meta.arena:
        yield Note("arena")
    yield NewVote(
        app=options.app,
        message=inside(meta.chat_id, meta.message_id),
        rater=options.person(row.user_id, meta.chat_id),
        value=1 if thumb == "up" else -1,
        reason=tag(data.reason),
        comment=comment_in(data.comment),
        at=moment(row.updated_at) or moment(row.created_at),
        source="judge" if meta.arena else "person",
    )


def _snapshot(chat: ChatRow, id: str, rater: str | None, options: Options) -> Iterator[Thing]:
    """The chat as it was, without votes: this row has the one that counts."""
    chat.id, chat.user_id = id, chat.user_id or rater
    try:
        things = list(read_chat(chat, options))
    except NotTaken as error:
        things = [Refusal(error.reason, f"the chat in its snapshot: {error}")]
    for thing in things:
        yield Snapshot(_without_votes(thing)) if isinstance(thing, ConversationIn) else thing


def _without_votes(given: ConversationIn) -> ConversationIn:
    return msgspec.structs.replace(given, votes=())


class _Row(Struct):
    """One line of the CSV."""

    user_id: str | None = None
    chat_id: str | None = None
    model_id: str | None = None
    rating: Any = None
    reason: Any = None
    comment: Any = None
    created_at: Any = None
    updated_at: Any = None


def _convert_row(entry: Entry, options: Options) -> Iterator[Thing]:
    """The vote, on the only answer of its model in its chat."""
    row: _Row = entry.decode(_Row)
    if not row.chat_id or not row.model_id:
        raise NotTaken("no_chat", "it names no chat and model (chat_id, model_id)")
    thumb = thumb_in(row.rating, None)
    if thumb is None:
        yield Note("draw" if row.rating else "not_a_thumb")
        return
    yield NewVote(
        app=options.app,
        message="",
        rater=options.person(row.user_id, row.chat_id),
        value=1 if thumb == "up" else -1,
        reason=tag(row.reason),
        comment=comment_in(row.comment),
        at=moment(row.updated_at) or moment(row.created_at),
        answer=AnswerOf(row.chat_id, row.model_id),
    )


def _recognises(look: Look) -> bool:
    first = look.first
    return look.kind == "json" and "rating" in first["data"] and bool({"chat_id", "message_id"} & set(first["meta"]))


def _recognises_csv(look: Look) -> bool:
    return look.kind == "csv" and {"user_id", "chat_id", "model_id", "rating", "reason"} <= set(look.first)


FORMAT = Format("open-webui-feedback", "Open WebUI: exported feedback (JSON)", _recognises, each(convert))
CSV_FORMAT = Format(
    "open-webui-feedback-csv", "Open WebUI: exported feedback (CSV)", _recognises_csv, each(_convert_row)
)
