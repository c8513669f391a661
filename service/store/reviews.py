"""Queries about what reviewers decided, and what waits for one."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, exists, func
from sqlmodel import Session, col, select

from service.store.tables import Conversation, Message, Review, now

KEPT, DROPPED = "kept", "dropped"
DISCARDED = "discarded"  # the rule of a rejection that a reviewer decided


def review_of(session: Session, conversation_id: str) -> Review | None:
    """What was decided about a conversation, if anything was."""
    return session.get(Review, conversation_id)


def reviews_of(session: Session, conversations: Sequence[str]) -> dict[str, Review]:
    """What was decided about these conversations."""
    query = select(Review).where(col(Review.conversation_id).in_(conversations))
    return {row.conversation_id: row for row in session.exec(query)}


def decide(session: Session, conversation_id: str, verdict: str, seen: int, by: str) -> None:
    """Makes a verdict stand for the messages up to the position `seen`; what was seen before stays seen."""
    row = session.get(Review, conversation_id) or Review(
        conversation_id=conversation_id, verdict=verdict, seen=seen, by=by
    )
    row.verdict, row.seen, row.by, row.at = verdict, max(seen, row.seen), by, now()
    session.add(row)


def next_unreviewed(session: Session, before: str | None, state: str) -> str | None:
    """The newest conversation in this state that nobody has reviewed, older than `before`."""
    query = select(Conversation.id).where(Conversation.state == state, ~_is_reviewed())
    query = query if before is None else query.where(col(Conversation.id) < before)
    return session.exec(query.order_by(col(Conversation.id).desc()).limit(1)).first()


def count_unreviewed(session: Session, state: str, most: int) -> int:
    """How many conversations in this state wait for a review, counted up to `most`."""
    query = select(Conversation.id).where(Conversation.state == state, ~_is_reviewed()).limit(most)
    return session.exec(select(func.count()).select_from(query.subquery())).one()


def last_position(session: Session, conversation_id: str) -> int:
    """The position of a conversation's last message."""
    query = select(func.max(Message.position)).where(Message.conversation_id == conversation_id)
    return session.exec(query).one() or 0


def _is_reviewed() -> ColumnElement[bool]:
    return exists().where(col(Review.conversation_id) == col(Conversation.id))
