"""The audit: who did what, in ids and counts. Only added to: the database refuses anything else."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from service.store.tables import Audit, now


def record(
    session: Session,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> None:
    """Notes an act with the caller's transaction; `subject` is an id or the name of a user, and `detail` holds ids and counts only."""
    session.add(Audit(at=at or now(), actor=actor, action=action, subject=subject, detail=dict(detail or {})))


def entries(
    session: Session, before: int | None = None, limit: int = 100, action: str | None = None
) -> Sequence[Audit]:
    """The newest entries first, those with a lower number than `before`, of one kind of act if one is named."""
    query = select(Audit).order_by(col(Audit.id).desc()).limit(limit)
    if before is not None:
        query = query.where(col(Audit.id) < before)
    if action is not None:
        query = query.where(Audit.action == action)
    return session.exec(query).all()


def in_words(detail: Mapping[str, Any]) -> str:
    """An act's detail as people read it: `consent yes, conversations 3 created`."""
    return ", ".join(f"{name.replace('_', ' ')} {_word(value)}" for name, value in detail.items())


def _word(value: Any) -> str:
    if value is None:
        return "not said"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " and ".join(f"{count} {name}" for name, count in value.items()) or "none"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
