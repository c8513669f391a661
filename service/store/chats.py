"""Queries that match a chat request with the conversation that it continues."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from service.store.tables import Conversation, Message


@dataclass(frozen=True, slots=True)
class Opening:
    """A stored conversation that begins with the same message."""

    id: str
    sealed_meta: bytes
    received_at: datetime


def with_first_message(session: Session, person_id: str, digest: str, limit: int = 50) -> list[Opening]:
    """A person's newest conversations that begin with this message and still have their text."""
    query = (
        select(Conversation.id, Conversation.sealed_meta, Conversation.received_at)
        .join(Message, col(Message.conversation_id) == col(Conversation.id))
        .where(
            col(Conversation.person_id) == person_id,
            col(Conversation.raw_deleted_at).is_(None),
            col(Message.parent_id).is_(None),
            col(Message.digest) == digest,
        )
        .order_by(col(Conversation.received_at).desc(), col(Conversation.id))
        .limit(limit)
    )
    return [Opening(*row) for row in session.exec(query).all()]
