"""Queries about whether the work goes on: what waits for curation, and when a worker was last alive."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, update
from sqlmodel import Session, col, func, select

from service.store.bulk import insert_ignoring_conflicts
from service.store.clock import database_time
from service.store.session import Store
from service.store.tables import Conversation, WorkerSeen, WriteProbe

BEAT_SECONDS = 5.0


class Backlog(NamedTuple):
    """Conversations that wait for curation, and since when the oldest does."""

    waiting: int
    oldest: datetime | None


def backlog(session: Session) -> Backlog:
    """What waits for curation."""
    query = select(func.count(), func.min(Conversation.received_at)).where(Conversation.state == "received")
    waiting, oldest = session.exec(query).one()
    return Backlog(waiting, oldest)


def probe_write(session: Session) -> None:
    """Changes a row, which is the same one each time and so takes no room. To write what stands there would write nothing."""
    changed = session.execute(update(WriteProbe).values(number=WriteProbe.number + 1).returning(col(WriteProbe.id)))
    if not changed.all():
        insert_ignoring_conflicts(session.connection(), WriteProbe, [{"id": 1, "number": 1}])


def beat(store: Store, owner: str) -> None:
    """Notes that this worker is alive, by the database's time; writes at most every 5 seconds."""
    with store.read() as session:
        at, seen = database_time(session), session.get(WorkerSeen, owner)
    if seen is not None and not seen.ended and (at - seen.at).total_seconds() < BEAT_SECONDS:
        return
    with store.begin() as session:
        insert_ignoring_conflicts(session.connection(), WorkerSeen, [{"owner": owner, "at": at}])
        session.execute(update(WorkerSeen).where(col(WorkerSeen.owner) == owner).values(at=at, ended=False))
        session.execute(delete(WorkerSeen).where(col(WorkerSeen.at) < at - timedelta(days=1)))


def is_worked_for(session: Session, seconds: float) -> bool:
    """Whether a worker that has not ended said within so many seconds that it is alive."""
    since = database_time(session) - timedelta(seconds=seconds)
    alive = select(WorkerSeen).where(col(WorkerSeen.at) > since, col(WorkerSeen.ended).is_(False)).limit(1)
    return session.exec(alive).first() is not None


def last_beat(session: Session) -> datetime | None:
    """When any worker was last alive, None if none was within a day or so."""
    return session.exec(select(func.max(WorkerSeen.at))).one()
