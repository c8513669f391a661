"""Queries about corrections: which answers they are about, which of them stand, which curation refused."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, update
from sqlmodel import Session, col, select

from service.store.bulk import fetch_where_in, insert_ignoring_conflicts
from service.store.tables import Conversation, Correction, Message


@dataclass(frozen=True, slots=True)
class Target:
    """A stored message that somebody wants to correct, with what decides on whether that can be."""

    message_id: str
    parent_id: str | None
    role: str
    conversation_id: str
    person_id: str
    state: str
    raw_deleted: bool
    is_correction: bool


@dataclass(frozen=True, slots=True)
class NewestCorrection:
    """The newest correction of one answer by one person."""

    id: str
    digest: str
    is_retracted: bool


@dataclass(frozen=True, slots=True)
class StoredCorrection:
    """A correction of a conversation, standing or not. `message_id` holds its text, `corrected_id` what it replaces."""

    id: str
    conversation_id: str
    corrected_id: str
    message_id: str
    person_id: str
    at: datetime
    is_retracted: bool
    refused: str | None
    source: str = "person"


def targets(session: Session, hashes: Sequence[str]) -> dict[str, Target]:
    """Those messages that are stored, by keyed client id."""
    sql = (
        "SELECT m.client_hmac, m.id, m.parent_id, m.role, v.id, v.person_id, v.state, v.raw_deleted_at, c.id "
        'FROM "message" m JOIN "conversation" v ON v.id = m.conversation_id '
        'LEFT JOIN "correction" c ON c.message_id = m.id WHERE m.client_hmac {in_values}'
    )
    return {
        row[0]: Target(row[1], row[2], row[3], row[4], row[5], row[6], row[7] is not None, row[8] is not None)
        for row in fetch_where_in(session.connection(), sql, hashes)
    }


def newest(session: Session, corrected: Sequence[str]) -> dict[tuple[str, str], NewestCorrection]:
    """The newest correction by corrected message and person."""
    sql = (
        "SELECT c.corrected_message_id, c.person_id, c.id, m.digest, c.retracted_at "
        'FROM "correction" c JOIN "message" m ON m.id = c.message_id '
        "WHERE c.corrected_message_id {in_values} ORDER BY m.position"
    )
    rows = fetch_where_in(session.connection(), sql, corrected)
    return {(row[0], row[1]): NewestCorrection(row[2], row[3], row[4] is not None) for row in rows}


def next_positions(session: Session, conversations: Iterable[str]) -> dict[str, int]:
    """The position that the next message of each conversation gets."""
    sql = (
        'SELECT conversation_id, max(position) + 1 FROM "message" WHERE conversation_id {in_values} '
        "GROUP BY conversation_id"
    )
    return {row[0]: row[1] for row in fetch_where_in(session.connection(), sql, sorted(set(conversations)))}


def add_corrections(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Stores corrections; those that exist are left as they are."""
    insert_ignoring_conflicts(session.connection(), Correction, rows)


def retract(session: Session, id: str, at: datetime) -> None:
    """Notes that a correction was taken back."""
    session.execute(update(Correction).where(col(Correction.id) == id).values(retracted_at=at))


def curate_again(session: Session, conversations: Iterable[str]) -> None:
    """Makes conversations that were not erased wait for curation, as one revision more."""
    for id in sorted(set(conversations)):
        session.execute(
            update(Conversation)
            .where(col(Conversation.id) == id, col(Conversation.state) != "erased")
            .values(revision=Conversation.revision + 1, state="received", curation_lease_until=None)
        )


def by_conversation(session: Session, conversations: Sequence[str]) -> dict[str, list[StoredCorrection]]:
    """Every correction in these conversations, oldest first in each; conversations without any are missing."""
    found: dict[str, list[StoredCorrection]] = defaultdict(list)
    for one in _read(session, col(Message.conversation_id).in_(conversations)):
        found[one.conversation_id].append(one)
    return dict(found)


def all_corrections(session: Session) -> list[StoredCorrection]:
    """Every correction of every conversation; those of one conversation oldest first."""
    return _read(session)


def select_standing(history: Sequence[StoredCorrection]) -> list[StoredCorrection]:
    """Of corrections, oldest first, the newest of each person for each answer, if not taken back."""
    last = {(one.corrected_id, one.person_id): one for one in history}
    return [one for one in history if last[one.corrected_id, one.person_id] is one and not one.is_retracted]


def settle(session: Session, refused: Mapping[str, str | None]) -> None:
    """Notes by which rule curation refused the texts in these messages; None: it did not."""
    for message, rule in refused.items():
        session.execute(update(Correction).where(col(Correction.message_id) == message).values(refused=rule))


def _read(session: Session, *wanted: ColumnElement[bool]) -> list[StoredCorrection]:
    query = (
        select(Correction, Message.conversation_id)
        .join(Message, col(Message.id) == col(Correction.message_id))
        .where(*wanted)
        .order_by(col(Message.position))  # in the order they came in, whatever the clocks of who took them said
    )
    return [
        StoredCorrection(
            row.id,
            conversation,
            row.corrected_message_id,
            row.message_id,
            row.person_id,
            row.at,
            row.retracted_at is not None,
            row.refused,
            row.source,
        )
        for row, conversation in session.exec(query).all()
    ]
