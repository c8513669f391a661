"""Queries about API keys."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import update
from sqlmodel import Session, col, func, or_, select

from service.store.tables import ApiKey, App, now


class StoredKey(NamedTuple):
    """A key that counts, with the name of its app (None: every app)."""

    key: ApiKey
    app: str | None


def active_keys(session: Session) -> list[StoredKey]:
    """Keys that were not revoked, oldest first."""
    query = select(ApiKey, App.name).join(App, isouter=True).where(col(ApiKey.revoked_at).is_(None))
    return [StoredKey(key, app) for key, app in session.exec(query.order_by(col(ApiKey.created_at))).all()]


def find_active(session: Session, key_id: str) -> StoredKey | None:
    """The key of this id, unless it was revoked or never made."""
    return next((stored for stored in active_keys(session) if stored.key.id == key_id), None)


def all_keys(session: Session) -> list[StoredKey]:
    """Every key that was ever made, oldest first."""
    query = select(ApiKey, App.name).join(App, isouter=True).order_by(col(ApiKey.created_at))
    return [StoredKey(key, app) for key, app in session.exec(query).all()]


def count_keys(session: Session) -> int:
    """How many keys were ever made, revoked ones included."""
    return session.exec(select(func.count()).select_from(ApiKey)).one()


def revoke(session: Session, name: str) -> Sequence[str]:
    """Revokes the key with this id, or those with this label; returns the ids that this ended."""
    matches = or_(col(ApiKey.id) == name, col(ApiKey.label) == name)
    ids = session.exec(select(ApiKey.id).where(matches, col(ApiKey.revoked_at).is_(None))).all()
    session.execute(update(ApiKey).where(col(ApiKey.id).in_(ids)).values(revoked_at=now()))
    return ids
