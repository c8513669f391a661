"""Queries about what a round's snapshot decided, conversation by conversation. Each takes the caller's session."""

from collections.abc import Mapping, Sequence

from sqlalchemy import func
from sqlmodel import Session, col, select

from service.store.tables import SnapshotItem


def count_items(session: Session, round_id: int) -> Mapping[str, int]:
    """How many conversations of a round came to which outcome: used, held_out, left_out."""
    query = select(col(SnapshotItem.outcome), func.count()).where(col(SnapshotItem.round_id) == round_id)
    return dict(session.exec(query.group_by(col(SnapshotItem.outcome))).all())


def page_of_items(session: Session, round_id: int, outcome: str, after: str, limit: int) -> Sequence[SnapshotItem]:
    """The next items of one outcome, by the id of their conversation, behind `after`."""
    query = select(SnapshotItem).where(
        col(SnapshotItem.round_id) == round_id,
        col(SnapshotItem.outcome) == outcome,
        col(SnapshotItem.conversation_id) > after,
    )
    return session.exec(query.order_by(col(SnapshotItem.conversation_id)).limit(limit)).all()
