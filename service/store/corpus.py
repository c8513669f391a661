"""Queries of the corpus: clean conversations with the ratings on them as they stand, and why others are not clean."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, func
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from service.store.bulk import table_of
from service.store.tables import (
    CleanMessage,
    Conversation,
    Correction,
    Message,
    Quarantine,
    Rejection,
    Satisfaction,
    Vote,
)


class StoredVote(NamedTuple):
    """A vote as it stands; `value` is 0 where it was retracted, `at` the time of the last change."""

    id: str
    message_hmac: str
    rater_hmac: str
    value: int
    at: datetime
    source: str


class CleanText(NamedTuple):
    """A clean message, whose conversation it is in, and who wrote it instead if it is a correction."""

    message: CleanMessage
    person_id: str
    writer_id: str | None


def clean_conversations(session: Session, at_a_time: int) -> Iterable[Conversation]:
    """Every clean conversation, oldest first, fetched so many at a time."""
    query = select(Conversation).where(col(Conversation.state) == "clean")
    return session.exec(query.order_by(col(Conversation.occurred_at), col(Conversation.id))).yield_per(at_a_time)


def clean_messages(session: Session, conversations: Sequence[str]) -> dict[str, list[tuple[Message, CleanMessage]]]:
    """Each conversation's messages in order, with the newest clean revision of each."""
    newest = (
        select(col(CleanMessage.message_id).label("id"), func.max(CleanMessage.revision).label("revision"))
        .where(col(CleanMessage.conversation_id).in_(conversations))
        .group_by(col(CleanMessage.message_id))
        .subquery()
    )
    query = (
        select(Message, CleanMessage)
        .join(newest, newest.c.id == col(Message.id))
        .join(
            CleanMessage,
            and_(col(CleanMessage.message_id) == newest.c.id, col(CleanMessage.revision) == newest.c.revision),
        )
        .order_by(col(Message.conversation_id), col(Message.position))
    )
    found: dict[str, list[tuple[Message, CleanMessage]]] = defaultdict(list)
    for message, clean in session.exec(query).all():
        found[message.conversation_id].append((message, clean))
    return found


def votes_on(session: Session, conversations: Sequence[Conversation]) -> list[StoredVote]:
    """The votes on the messages of these conversations, by the time of their last change; retracted ones are there."""
    # never a join: SQLite would go through all votes of the app once for each conversation
    hashes = select(Message.client_hmac).where(col(Message.conversation_id).in_([one.id for one in conversations]))
    query = (
        sql_select(
            col(Vote.id),
            col(Vote.message_hmac),
            col(Vote.rater_hmac),
            col(Vote.value),
            func.coalesce(col(Vote.at), col(Vote.updated_at), type_=table_of(Vote).c.updated_at.type),
            col(Vote.source),
        )
        .where(col(Vote.app_id).in_({one.app_id for one in conversations}), col(Vote.message_hmac).in_(hashes))
        .order_by(col(Vote.updated_at), col(Vote.rater_hmac))
    )
    return [StoredVote(*row) for row in session.execute(query).all()]


def satisfaction_on(session: Session, conversations: Sequence[str]) -> dict[str, int]:
    """Satisfaction by conversation, of those that have one."""
    query = select(Satisfaction.conversation_id, Satisfaction.value)
    return dict(session.exec(query.where(col(Satisfaction.conversation_id).in_(conversations))).all())


def clean_texts(session: Session, messages: Iterable[str]) -> list[CleanText]:
    """Every clean revision of these messages."""
    query = (
        select(CleanMessage, Conversation.person_id, Correction.person_id)
        .join(Conversation, col(Conversation.id) == col(CleanMessage.conversation_id))
        .join(Correction, col(Correction.message_id) == col(CleanMessage.message_id), isouter=True)
        .where(col(CleanMessage.message_id).in_(set(messages)))
    )
    return [CleanText(*row) for row in session.exec(query).all()]


def count_outcomes(session: Session) -> dict[str, int]:
    """Conversations that are not clean, by rule."""
    rejected = session.exec(select(Rejection.rule, func.count()).group_by(Rejection.rule)).all()
    quarantined = session.exec(select(Quarantine.reason, func.count()).group_by(Quarantine.reason)).all()
    states = select(Conversation.state, func.count()).where(col(Conversation.state).in_(("received", "erased")))
    rules = {"received": "not_curated_yet", "erased": "erased"}
    counts = {rule: int(count) for rule, count in rejected}
    counts |= {f"quarantined: {reason}": int(count) for reason, count in quarantined}
    return counts | {rules[state]: int(n) for state, n in session.exec(states.group_by(Conversation.state)).all()}
