"""Queries about conversations and their messages, and which one a chat continues."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import exists, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select

from service.store.bulk import insert_ignoring_conflicts
from service.store.tables import Conversation, Correction, Message, Quarantine, Rejection, Satisfaction, SnapshotItem


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """What ingest needs of a conversation that exists."""

    id: str
    person_id: str
    digest: str
    revision: int
    state: str
    consent: bool | None
    raw_deleted: bool


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """What ingest needs of a message that exists."""

    id: str
    client_hmac: str
    digest: str


@dataclass(frozen=True, slots=True)
class Opening:
    """A stored conversation that begins with the same message."""

    id: str
    sealed_meta: bytes
    received_at: datetime


# asked in standing.py: the conversations of an app by the keyed hash of its id, and which message ids are used already
STORED = (
    "SELECT client_hmac, id, person_id, digest, revision, state, consent, raw_deleted_at "
    'FROM "conversation" WHERE app_id = {mark} AND client_hmac {in_values}'
)
TAKEN = 'SELECT client_hmac FROM "message" WHERE client_hmac {in_values}'


def stored_of(rows: Iterable[Sequence[Any]]) -> dict[str, StoredConversation]:
    """What `STORED` found, by keyed hash."""
    return {
        row[0]: StoredConversation(row[1], row[2], row[3], row[4], row[5], _boolean(row[6]), row[7] is not None)
        for row in rows
    }


def stored_messages(session: Session, conversation_id: str) -> list[StoredMessage]:
    """The messages that an app sent of a conversation, by position; corrections are none of them."""
    query = (
        select(Message.id, Message.client_hmac, Message.digest)
        .join(Correction, col(Correction.message_id) == col(Message.id), isouter=True)
        .where(Message.conversation_id == conversation_id, col(Correction.id).is_(None))
        .order_by(col(Message.position))
    )
    return [StoredMessage(*row) for row in session.exec(query).all()]


def answers_of_model(session: Session, app: str, client_hmac: str, model: str) -> list[str]:
    """The keyed ids of the answers that a model wrote in a conversation of an app, by position.

    A turn that only calls tools is no answer.
    """
    result = aliased(Message)
    query = (
        select(Message.client_hmac)
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .where(Conversation.app_id == app, Conversation.client_hmac == client_hmac)
        .where(Message.role == "assistant", Message.model == model)
        .where(~exists().where(col(result.parent_id) == col(Message.id), col(result.role) == "tool"))
        .order_by(col(Message.position))
    )
    return list(session.exec(query).all())


def sealed_meta(session: Session, conversation_id: str) -> bytes:
    """What is sealed beside a conversation."""
    return session.exec(select(Conversation.sealed_meta).where(Conversation.id == conversation_id)).one()


def next_position(session: Session, conversation_id: str) -> int:
    """The position that the next message of a conversation gets."""
    query = select(func.max(Message.position)).where(Message.conversation_id == conversation_id)
    return (session.exec(query).one() or 0) + 1


def add_messages(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Stores messages, parents before children."""
    insert_ignoring_conflicts(session.connection(), Message, rows)


def grow(session: Session, conversation_id: str, digest: str, revision: int, sealed_meta: bytes) -> None:
    """Notes that a conversation got further messages, so that it is curated again."""
    session.execute(
        update(Conversation)
        .where(col(Conversation.id) == conversation_id)
        .values(digest=digest, revision=revision, sealed_meta=sealed_meta, state="received", curation_lease_until=None)
    )


def set_consent(session: Session, consents: Iterable[tuple[str, bool]]) -> None:
    """Sets the consent of these conversations."""
    for id, consent in consents:
        session.execute(update(Conversation).where(col(Conversation.id) == id).values(consent=consent))


def find(session: Session, app: str, client_hmac: str) -> Conversation | None:
    """The conversation of an app with this keyed client id."""
    query = select(Conversation).where(Conversation.app_id == app, Conversation.client_hmac == client_hmac)
    return session.exec(query).first()


def of_message(session: Session, client_hmac: str) -> Conversation | None:
    """The conversation that has its text still and holds the message with this keyed client id."""
    query = select(Conversation).join(Message, col(Message.conversation_id) == col(Conversation.id))
    return session.exec(
        query.where(Message.client_hmac == client_hmac, col(Conversation.raw_deleted_at).is_(None))
    ).first()


def rejection_of(session: Session, conversation_id: str) -> Rejection | None:
    """Why curation rejected a conversation, if it did."""
    return session.get(Rejection, conversation_id)


def quarantine_of(session: Session, conversation_id: str) -> Quarantine | None:
    """Why a conversation could not be checked, if that is so."""
    return session.get(Quarantine, conversation_id)


def reasons_of(session: Session, conversations: Sequence[str]) -> dict[str, str]:
    """Why curation rejected or quarantined those of these conversations that it did."""
    rejected = select(Rejection.conversation_id, Rejection.rule).where(
        col(Rejection.conversation_id).in_(conversations)
    )
    kept = select(Quarantine.conversation_id, Quarantine.reason).where(
        col(Quarantine.conversation_id).in_(conversations)
    )
    return dict(session.exec(rejected).all()) | dict(session.exec(kept).all())


def satisfaction_of(session: Session, conversation_id: str) -> int | None:
    """The satisfaction with a conversation, if somebody gave one."""
    row = session.get(Satisfaction, conversation_id)
    return None if row is None else row.value


def uses_of(session: Session, conversation_id: str) -> list[SnapshotItem]:
    """What each round decided about a conversation, oldest round first."""
    query = select(SnapshotItem).where(SnapshotItem.conversation_id == conversation_id)
    return list(session.exec(query.order_by(col(SnapshotItem.round_id))).all())


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


def newest_of(session: Session, person_id: str, limit: int) -> list[tuple[Conversation, Message]]:
    """A person's newest conversations that still have their text, each with its first message."""
    query = (
        select(Conversation, Message)
        .join(Message, col(Message.conversation_id) == col(Conversation.id))
        .where(col(Conversation.person_id) == person_id, col(Conversation.raw_deleted_at).is_(None))
        .where(col(Message.position) == 0)
        .order_by(col(Conversation.id).desc())
        .limit(limit)
    )
    return list(session.exec(query).all())


def _boolean(value: Any) -> bool | None:
    return None if value is None else bool(value)
