"""Counts of attempts to sign in that did not succeed. Whoever changes them holds the lock `users`."""

from datetime import datetime

from sqlalchemy import delete
from sqlmodel import Session, col

from service.store.tables import SignInFailures


def find(session: Session, subject: str) -> SignInFailures | None:
    """What failed for this subject, None where nothing did."""
    return session.get(SignInFailures, subject)


def count(session: Session, subject: str, at: datetime) -> None:
    """Counts one more attempt."""
    row = find(session, subject) or SignInFailures(subject=subject, number=0, since=at)
    row.number += 1
    session.add(row)


def count_back(session: Session, subject: str) -> None:
    """Counts one attempt less, because it succeeded."""
    row = find(session, subject)
    if row is not None:
        row.number -= 1
        session.add(row)


def forget(session: Session, subject: str) -> None:
    """As if nobody had tried."""
    session.execute(delete(SignInFailures).where(col(SignInFailures.subject) == subject))


def forget_before(session: Session, time: datetime) -> None:
    """Drops the counts that began before a time."""
    session.execute(delete(SignInFailures).where(col(SignInFailures.since) < time))
