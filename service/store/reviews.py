"""Queries about what reviewers decided, and what waits for one.

A queue is the state of what is in it: `clean` to be looked at, `quarantined` to be tried again or discarded.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, exists, func, or_
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

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
        conversation_id=conversation_id, verdict=verdict, seen=-1, by=by
    )
    row.seen = max(min(seen, last_position(session, conversation_id)), row.seen)
    row.verdict, row.by, row.at = verdict, by, now()
    session.add(row)


def next_unreviewed(session: Session, queue: str, before: str | None = None) -> str | None:
    """The newest conversation of a queue, older than `before`, that nobody has reviewed."""
    query = _queue(queue).where(~_is_reviewed())
    query = query if before is None else query.where(col(Conversation.id) < before)
    return session.exec(query.order_by(col(Conversation.id).desc()).limit(1)).first()


def newer(session: Session, queue: str, after: str) -> str | None:
    """The conversation of a queue that came next after this one, reviewed or not."""
    query = _queue(queue).where(col(Conversation.id) > after)
    return session.exec(query.order_by(col(Conversation.id)).limit(1)).first()


def count_unreviewed(session: Session, queue: str, most: int) -> int:
    """How many conversations of a queue wait for a review, counted up to `most`."""
    query = _queue(queue).where(~_is_reviewed()).limit(most)
    return session.exec(select(func.count()).select_from(query.subquery())).one()


def last_position(session: Session, conversation_id: str) -> int:
    """The position of a conversation's last message."""
    query = select(func.max(Message.position)).where(Message.conversation_id == conversation_id)
    return session.exec(query).one() or 0


def _queue(queue: str) -> SelectOfScalar[str]:
    """The conversations of a queue, by their state; of the checked ones those that may be learned from."""
    if queue != "clean":
        return select(Conversation.id).where(Conversation.state == queue)
    # nearly all are checked: by an index of the state a database would sort them all to give the newest one
    state = func.coalesce(col(Conversation.state), "")
    return select(Conversation.id).where(state == queue, col(Conversation.consent).is_(True))


def _is_reviewed() -> ColumnElement[bool]:
    """Whether somebody dropped it, or has seen it to its last message."""
    here = col(Conversation.id)
    last = select(func.max(Message.position)).where(col(Message.conversation_id) == here).correlate(Conversation)
    seen = or_(col(Review.verdict) == DROPPED, col(Review.seen) >= last.scalar_subquery())
    return exists().where(col(Review.conversation_id) == here, seen)
