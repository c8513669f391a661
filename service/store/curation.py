"""Queries of curation: what is due, what it made of a conversation, and what is deleted after retention."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, or_, update
from sqlmodel import Session, col, select

from service.store.bulk import insert_ignoring_conflicts
from service.store.tables import CleanMessage, Conversation, Message, Quarantine, Rejection, SnapshotItem


def claim_due(session: Session, limit: int, clock: float, lease_seconds: float) -> list[Conversation]:
    """The oldest conversations that wait for curation and that nobody works on, leased to the caller."""
    free = or_(col(Conversation.curation_lease_until).is_(None), col(Conversation.curation_lease_until) < clock)
    query = (
        select(Conversation)
        .where(Conversation.state == "received", free)
        .order_by(col(Conversation.received_at), col(Conversation.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    due = list(session.exec(query).all())
    for conversation in due:
        conversation.curation_lease_until = clock + lease_seconds
    return due


def raw_messages(session: Session, conversations: Sequence[str]) -> dict[str, list[Message]]:
    """The messages of these conversations by position."""
    found: dict[str, list[Message]] = {id: [] for id in conversations}
    query = select(Message).where(col(Message.conversation_id).in_(conversations))
    for message in session.exec(query.order_by(col(Message.position))).all():
        found[message.conversation_id].append(message)
    return found


def still_due(session: Session, id: str, revision: int) -> Conversation | None:
    """The conversation if it still waits for curation of this revision; locked until the transaction ends."""
    query = select(Conversation).where(
        Conversation.id == id, Conversation.revision == revision, Conversation.state == "received"
    )
    return session.exec(query.with_for_update()).first()


def settle(session: Session, conversation: Conversation, state: str, at: datetime) -> None:
    """Ends the curation of a conversation's present revision."""
    for table in (Rejection, Quarantine):
        session.execute(delete(table).where(col(table.conversation_id) == conversation.id))
    conversation.state = state
    conversation.curated_revision = conversation.revision
    conversation.curated_at = at
    conversation.first_curated_at = conversation.first_curated_at or at
    conversation.curation_lease_until = None
    session.add(conversation)


def add_clean(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Stores clean messages of one revision."""
    insert_ignoring_conflicts(session.connection(), CleanMessage, rows)


def was_used(session: Session, id: str) -> bool:
    """Whether a round trained on this conversation."""
    query = select(SnapshotItem.round_id).where(SnapshotItem.conversation_id == id, SnapshotItem.outcome == "used")
    return session.exec(query.limit(1)).first() is not None


def delete_originals(session: Session, before: datetime, at: datetime, limit: int) -> int:
    """Deletes raw text, metadata and surrogate secrets of conversations first curated before a time; returns how many.

    Clean texts of earlier revisions go with them: the newest revision holds every message.
    """
    ids = session.exec(
        select(Conversation.id)
        .where(
            col(Conversation.first_curated_at) < before,
            col(Conversation.raw_deleted_at).is_(None),
            col(Conversation.state).in_(("clean", "rejected", "quarantined")),
        )
        .order_by(col(Conversation.first_curated_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    session.execute(update(Message).where(col(Message.conversation_id).in_(ids)).values(sealed=None))
    newest = (
        select(Conversation.revision).where(col(Conversation.id) == col(CleanMessage.conversation_id)).scalar_subquery()
    )
    session.execute(
        delete(CleanMessage).where(col(CleanMessage.conversation_id).in_(ids), col(CleanMessage.revision) < newest)
    )
    gone = {"sealed_secret": None, "sealed_meta": b"", "raw_deleted_at": at}
    session.execute(update(Conversation).where(col(Conversation.id).in_(ids)).values(**gone))
    return len(ids)
