"""What people and the engine say of our own answers in a time: thumbs, and how answers ended and how long they are.

Ids begin with the time at which they were made, so a time is a range of the primary key. Each query takes the caller's
session and never commits.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, func
from sqlmodel import Session, col, select

from service.store.tables import Conversation, Message, Vote

MOST = 20_000
"""Rows of one look at most, the first of the time: enough to tell a point of difference."""


class Thumb(NamedTuple):
    """A person's vote that stands on an answer of one of our models: 1 or -1."""

    model: str
    rater: str
    value: int


class Answer(NamedTuple):
    """An answer of one of our models. `length` is in bytes of what is sealed; None once that is gone."""

    model: str
    conversation_id: str
    state: str
    length: int | None


def thumbs_between(session: Session, start: datetime, end: datetime) -> list[Thumb]:
    """Thumbs on answers that were given in this time, in the order of the answers."""
    query = (
        select(Message.served_by, Vote.rater_hmac, Vote.value)
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .join(
            Vote, and_(col(Vote.app_id) == col(Conversation.app_id), col(Vote.message_hmac) == col(Message.client_hmac))
        )
        .where(*_given(start, end), col(Vote.value) != 0, Vote.source == "person")
        .order_by(col(Message.id))
        .limit(MOST)
    )
    return [Thumb(str(model), rater, value) for model, rater, value in session.exec(query).all()]


def answers_between(session: Session, start: datetime, end: datetime) -> list[Answer]:
    """Answers that were given in this time, in their order."""
    query = (
        select(Message.served_by, Message.conversation_id, Message.state, func.length(Message.sealed))
        .where(*_given(start, end))
        .order_by(col(Message.id))
        .limit(MOST)
    )
    return [
        Answer(str(model), conversation, state, length) for model, conversation, state, length in session.exec(query)
    ]


def _given(start: datetime, end: datetime) -> tuple[ColumnElement[bool], ...]:
    ours = col(Message.served_by).is_not(None), col(Message.role) == "assistant"
    return (col(Message.id) >= _first_id(start), col(Message.id) < _first_id(end), *ours)


def _first_id(moment: datetime) -> str:
    """What every id that was made at this moment or later is not smaller than (tables/base.py)."""
    return f"{int(moment.timestamp() * 1000):012x}"
