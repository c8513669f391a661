"""Counts of what a round could learn from: clean conversations with consent that somebody rated."""

import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, exists, or_
from sqlmodel import Session, col, func, select

from service.store.session import Store
from service.store.tables import Conversation, Correction, Message, Model, Satisfaction, SnapshotItem, Vote


class Trainable(NamedTuple):
    """Clean conversations. `without_consent` and `unrated` overlap; `ready` is counted no further than was asked."""

    clean: int
    without_consent: int
    unrated: int
    ready: int


class TrainableWatch:
    """`count_trainable` for who looks every few seconds: counted again after 20 times what counting took."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._seen: dict[int, Trainable] = {}
        self._due = 0.0

    def __call__(self, enough: int) -> Trainable:
        """What can train, counted again once its last count is old for what counting takes."""
        with self._lock:
            if enough not in self._seen or time.monotonic() >= self._due:
                started = time.monotonic()
                with self._store.read() as session:
                    self._seen = {enough: count_trainable(session, enough)}
                self._due = time.monotonic() + max(1.0, 20 * (time.monotonic() - started))
            return self._seen[enough]


def count_trainable(session: Session, enough: int) -> Trainable:
    """How many conversations could train. Once `enough` are found the rest is not looked at, and counts as fine."""
    rated, clean = _is_rated(), col(Conversation.state) == "clean"
    ready = select(Conversation.id).where(clean, col(Conversation.consent).is_(True), rated).limit(enough)
    found = session.exec(select(func.count()).select_from(ready.subquery())).one()
    if found >= enough:
        return Trainable(clean=found, without_consent=0, unrated=0, ready=found)
    return Trainable(
        clean=_count(session, clean),
        without_consent=_count(session, and_(clean, col(Conversation.consent).is_not(True))),
        unrated=_count(session, and_(clean, ~rated)),
        ready=found,
    )


def count_new(session: Session, lineage: Sequence[str], enough: int) -> int:
    """How many conversations could train that no model of a lineage has seen; counted no further than `enough`."""
    seen = (
        exists()
        .where(
            col(SnapshotItem.conversation_id) == col(Conversation.id),
            col(SnapshotItem.outcome).in_(("used", "held_out")),
            col(SnapshotItem.round_id) == col(Model.round_id),
            col(Model.id).in_(lineage),
        )
        .correlate(Conversation)
    )
    clean = and_(col(Conversation.state) == "clean", col(Conversation.consent).is_(True))
    query = select(Conversation.id).where(clean, ~seen, _is_rated()).limit(enough)
    return session.exec(select(func.count()).select_from(query.subquery())).one()


def _count(session: Session, condition: ColumnElement[bool]) -> int:
    return session.exec(select(func.count()).select_from(Conversation).where(condition)).one()


def _is_rated() -> ColumnElement[bool]:
    """Whether a conversation has a satisfaction, a vote or a correction, as selection asks (its rule `unrated`)."""
    satisfied = exists().where(col(Satisfaction.conversation_id) == col(Conversation.id))
    voted = (
        exists()
        .where(
            col(Vote.message_hmac) == col(Message.client_hmac),
            col(Vote.app_id) == col(Conversation.app_id),
            col(Vote.value) != 0,
        )
        .correlate(Message, Conversation)
    )
    corrected = exists().where(
        col(Correction.corrected_message_id) == col(Message.id), col(Correction.retracted_at).is_(None)
    )
    # never a join of messages and votes: SQLite would go through all votes of the app once for each conversation
    said = exists().where(col(Message.conversation_id) == col(Conversation.id), or_(voted, corrected))
    return or_(satisfied, said)
