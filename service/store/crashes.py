"""Queries about workers that ended without having been told to: a loop of them must not look like work."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, update
from sqlmodel import Session, col, func, select

from service.store.tables import WorkerCrash, WorkerSeen

KEPT = timedelta(days=1)
KILLED = "killed"


class Crashes(NamedTuple):
    """How often workers crashed since a time, and how the last one did."""

    number: int
    last: str | None


def note_crash(session: Session, owner: str, how: str, at: datetime) -> None:
    """Notes that a worker ended by an error, or was killed."""
    session.add(WorkerCrash(owner=owner, how=how, at=at))
    session.execute(delete(WorkerCrash).where(col(WorkerCrash.at) < at - KEPT))
    note_end(session, owner)


def note_killed(session: Session, host: str, lives: Callable[[int], bool], at: datetime) -> None:
    """Notes those workers of a host that were seen, never said that they end, and live no longer."""
    silent = select(WorkerSeen.owner).where(
        col(WorkerSeen.owner).startswith(f"{host}:"), col(WorkerSeen.ended).is_(False)
    )
    for owner in session.exec(silent).all():
        if not lives(int(owner.rpartition(":")[2])):
            note_crash(session, owner, KILLED, at)


def note_end(session: Session, owner: str) -> None:
    """Notes that a worker ended as it should."""
    session.execute(update(WorkerSeen).where(col(WorkerSeen.owner) == owner).values(ended=True))


def crashes_since(session: Session, since: datetime) -> Crashes:
    """The crashes of all workers since a time."""
    count = session.exec(select(func.count()).select_from(WorkerCrash).where(col(WorkerCrash.at) >= since)).one()
    last = select(WorkerCrash.how).order_by(col(WorkerCrash.at).desc(), col(WorkerCrash.id).desc()).limit(1)
    return Crashes(count, session.exec(last).first() if count else None)
