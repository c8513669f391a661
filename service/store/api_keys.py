"""Queries about API keys."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, update
from sqlmodel import Session, col, func, or_, select

from service.store.tables import ApiKey, App, now


class StoredKey(NamedTuple):
    """A key that counts, with the name of its app (None: every app)."""

    key: ApiKey
    app: str | None


def active_keys(session: Session) -> list[StoredKey]:
    """Keys that were not revoked and have not run out, oldest first."""
    query = select(ApiKey, App.name).join(App, isouter=True).where(*_counts())
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
    ids = session.exec(select(ApiKey.id).where(matches, *_counts())).all()
    session.execute(update(ApiKey).where(col(ApiKey.id).in_(ids)).values(revoked_at=now()))
    return ids


def find_by_name(session: Session, name: str) -> Sequence[ApiKey]:
    """The keys that count with this id or label, without those that end by themselves."""
    matches = or_(col(ApiKey.id) == name, col(ApiKey.label) == name)
    return session.exec(select(ApiKey).where(matches, *_counts(), col(ApiKey.expires_at).is_(None))).all()


def _counts() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return col(ApiKey.revoked_at).is_(None), or_(col(ApiKey.expires_at).is_(None), col(ApiKey.expires_at) > now())
