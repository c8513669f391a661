"""The audit: who did what, in ids and counts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session

from service.store.tables import Audit, now


def record(
    session: Session,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> None:
    """Notes an act with the caller's transaction; `subject` is an id, and `detail` holds ids and counts only."""
    session.add(Audit(at=at or now(), actor=actor, action=action, subject=subject, detail=dict(detail or {})))
