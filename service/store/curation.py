"""Queries of curation: what is due, what it made of a conversation, and what is deleted after retention."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, or_, update
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from service.store.bulk import insert_ignoring_conflicts
from service.store.erasure import erase_ratings_on
from service.store.tables import (
    CleanMessage,
    Conversation,
    Correction,
    Message,
    NameMention,
    Quarantine,
    Rejection,
    Review,
    Round,
    Satisfaction,
    SnapshotItem,
)

KEY_GONE = "key_gone"  # why a conversation is quarantined whose person has no key, though nobody forgot them


def is_due(session: Session, heavy: bool) -> bool:
    """Whether a conversation of this lane waits for curation, leased or not."""
    query = select(Conversation.id).where(Conversation.state == "received", Conversation.heavy == heavy)
    return session.exec(query.limit(1)).first() is not None


def lease_light(session: Session, limit: int, clock: float, lease_seconds: float) -> list[str]:
    """The oldest conversations that wait for curation, are not heavy, and nobody works on: leased to the caller."""
    ids = session.exec(
        _due(clock)
        .where(col(Conversation.heavy).is_(False))
        .order_by(col(Conversation.received_at), col(Conversation.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    return _lease(session, ids, clock + lease_seconds)


def heavy_due(session: Session, limit: int, clock: float) -> list[tuple[str, str]]:
    """(conversation, person) of the oldest heavy conversation that each person has waiting, oldest first."""
    rank = func.row_number().over(
        partition_by=col(Conversation.person_id), order_by=(col(Conversation.received_at), col(Conversation.id))
    )
    ranked = (
        sql_select(col(Conversation.id), col(Conversation.person_id), col(Conversation.received_at), rank.label("nth"))
        .where(col(Conversation.state) == "received", col(Conversation.heavy).is_(True), _free(clock))
        .subquery()
    )
    query = sql_select(ranked.c.id, ranked.c.person_id).where(ranked.c.nth == 1)
    rows = session.execute(query.order_by(ranked.c.received_at, ranked.c.id).limit(limit)).all()
    return [(id, person) for id, person in rows]


def lease_one(session: Session, id: str, clock: float, lease_seconds: float) -> list[str]:
    """This conversation, leased to the caller; nothing if somebody was faster."""
    ids = session.exec(_due(clock).where(Conversation.id == id).with_for_update(skip_locked=True)).all()
    return _lease(session, ids, clock + lease_seconds)


def leased(session: Session, ids: Sequence[str]) -> list[Conversation]:
    """These conversations, oldest first, but those that no longer wait."""
    query = select(Conversation).where(col(Conversation.id).in_(ids), Conversation.state == "received")
    return list(session.exec(query.order_by(col(Conversation.received_at), col(Conversation.id))).all())


def give_back(session: Session, ids: Sequence[str], heavy: bool | None = None) -> None:
    """Ends the leases of conversations that still wait; with `heavy`, into that lane. Those somebody holds keep theirs."""
    wait = (col(Conversation.id).in_(ids), col(Conversation.state) == "received")
    query = select(Conversation.id).where(*wait).order_by(col(Conversation.id)).with_for_update(skip_locked=True)
    values: dict[str, Any] = {"curation_lease_until": None} | ({} if heavy is None else {"heavy": heavy})
    free = session.exec(query).all()
    session.execute(update(Conversation).where(col(Conversation.id).in_(free)).values(**values))


def quarantine(session: Session, id: str, reason: str, at: datetime) -> bool:
    """Quarantines a conversation that waits, whatever its row holds; False if it no longer waits.

    Written without reading the row: what is damaged in it must not matter here.
    """
    wait = (col(Conversation.id) == id, col(Conversation.state) == "received")
    values: dict[str, Any] = {
        "state": "quarantined",
        "curated_revision": Conversation.revision,
        "curated_at": at,
        "first_curated_at": func.coalesce(col(Conversation.first_curated_at), at),
        "curation_lease_until": None,
        "heavy": False,
    }
    changed = session.execute(update(Conversation).where(*wait).values(**values))
    if changed.rowcount == 0:  # type: ignore[attr-defined]
        return False
    for table in (Rejection, Quarantine):
        session.execute(delete(table).where(col(table.conversation_id) == id))
    session.execute(insert(Quarantine).values(conversation_id=id, reason=reason, at=at))
    return True


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
    conversation.heavy = False
    session.add(conversation)


def try_again(session: Session, conversation: Conversation) -> None:
    """Makes a quarantined conversation wait for curation, as one revision more."""
    session.execute(delete(Quarantine).where(col(Quarantine.conversation_id) == conversation.id))
    conversation.state, conversation.revision = "received", conversation.revision + 1
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
            # said so that SQLite goes by time (ix_conversation_raw) and not through all clean ones
            col(Conversation.state).not_in(("received", "erased")),
        )
        .order_by(col(Conversation.first_curated_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if not ids:
        return 0
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


def delete_rejected(session: Session, before: datetime, limit: int) -> int:
    """Deletes conversations that curation rejected or could not check before a time, with all that was said of them.

    Their text went with retention; one that a round used before it was rejected stays, to tell of it. Returns how many.
    """
    used = select(SnapshotItem.conversation_id).where(
        SnapshotItem.conversation_id == Conversation.id, SnapshotItem.outcome == "used"
    )
    ids = session.exec(
        select(Conversation.id)
        .where(
            col(Conversation.state).in_(("rejected", "quarantined")),
            col(Conversation.curated_at) < before,
            col(Conversation.raw_deleted_at).is_not(None),
            ~used.exists(),
        )
        .order_by(col(Conversation.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    theirs = col(Message.conversation_id).in_(ids)
    erase_ratings_on(session, theirs)
    session.execute(delete(Correction).where(col(Correction.message_id).in_(select(Message.id).where(theirs))))
    for table in (CleanMessage, NameMention, Rejection, Quarantine, Review, Satisfaction, Message):
        session.execute(delete(table).where(col(table.conversation_id).in_(ids)))
    session.execute(delete(Conversation).where(col(Conversation.id).in_(ids)))
    return len(ids)


def _due(clock: float) -> SelectOfScalar[str]:
    """The ids of conversations that wait for curation and that nobody works on."""
    return select(Conversation.id).where(Conversation.state == "received", _free(clock))


def _free(clock: float) -> ColumnElement[bool]:
    return or_(col(Conversation.curation_lease_until).is_(None), col(Conversation.curation_lease_until) < clock)


def _lease(session: Session, ids: Sequence[str], until: float) -> list[str]:
    if ids:
        session.execute(update(Conversation).where(col(Conversation.id).in_(ids)).values(curation_lease_until=until))
    return list(ids)


def wait_again(session: Session, since: datetime, before: datetime, limit: int) -> list[str]:
    """Makes so many conversations curated between these times, with their raw text, wait as one revision more; their ids."""
    query = _again(since, before).order_by(col(Conversation.curated_at), col(Conversation.id))
    ids = list(session.exec(query.limit(limit).with_for_update(skip_locked=True)).all())
    values = {"state": "received", "revision": Conversation.revision + 1, "curation_lease_until": None}
    session.execute(update(Conversation).where(col(Conversation.id).in_(ids)).values(**values))
    return ids


def count_again(session: Session, since: datetime, before: datetime) -> int:
    """How many conversations `wait_again` would make wait in the end."""
    return session.exec(select(func.count()).select_from(_again(since, before).subquery())).one()


def still_waits(session: Session, ids: Sequence[str]) -> bool:
    """Whether one of these conversations waits for curation."""
    query = select(Conversation.id).where(col(Conversation.id).in_(ids), Conversation.state == "received")
    return session.exec(query.limit(1)).first() is not None


def count_states(session: Session, ids: Sequence[str]) -> Counter[str]:
    """How many of these conversations are in which state."""
    query = select(Conversation.state, func.count()).where(col(Conversation.id).in_(ids))
    return Counter({state: count for state, count in session.exec(query.group_by(Conversation.state)).all()})


def curated_since(at: datetime) -> SelectOfScalar[str]:
    """The query of the conversations curated since then."""
    return select(Conversation.id).where(col(Conversation.curated_at) >= at)


def drop_older_texts(session: Session, ids: Sequence[str] | SelectOfScalar[str]) -> None:
    """Deletes the clean texts of earlier revisions of these conversations, unless a round runs that may read them."""
    if session.exec(select(Round.id).where(Round.state == "running").limit(1)).first() is not None:
        return
    newest = select(Conversation.curated_revision).where(col(Conversation.id) == col(CleanMessage.conversation_id))
    session.execute(
        delete(CleanMessage).where(
            col(CleanMessage.conversation_id).in_(ids), col(CleanMessage.revision) < newest.scalar_subquery()
        )
    )


def _again(since: datetime, before: datetime) -> SelectOfScalar[str]:
    return select(Conversation.id).where(
        col(Conversation.state).in_(("clean", "rejected", "quarantined")),
        col(Conversation.raw_deleted_at).is_(None),
        col(Conversation.curated_at) >= since,
        col(Conversation.curated_at) < before,
    )
