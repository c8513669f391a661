"""Queries about what answers at the deploy targets. Each takes the caller's session and never commits."""

from datetime import datetime

from sqlmodel import Session, select

from service.store.tables import Deployment


def deployments(session: Session) -> dict[str, Deployment]:
    """What is known of every target that was ever tried, by its name."""
    return {row.target: row for row in session.exec(select(Deployment)).all()}


def note_success(
    session: Session, target: str, kind: str, model_id: str, promotion_id: int, place: str, mark: str, at: datetime
) -> None:
    """This model answers there now."""
    row = _row(session, target, kind)
    _try(row, promotion_id, at)
    row.model_id, row.promotion_id, row.place, row.mark = model_id, promotion_id, place, mark
    row.deployed_at, row.problem = at, None
    session.add(row)


def note_failure(session: Session, target: str, kind: str, promotion_id: int, problem: str, at: datetime) -> None:
    """The model before answers there still; this is why."""
    row = _row(session, target, kind)
    _try(row, promotion_id, at)
    row.problem = problem
    session.add(row)


def _row(session: Session, target: str, kind: str) -> Deployment:
    row = session.get(Deployment, target)
    if row is None or row.kind != kind:  # another place under the same name: nothing is known of it
        if row is not None:
            session.delete(row)
            session.flush()
        row = Deployment(target=target, kind=kind)
    return row


def _try(row: Deployment, promotion_id: int, at: datetime) -> None:
    row.tries = row.tries + 1 if row.tried_promotion_id == promotion_id else 1
    row.tried_promotion_id, row.tried_at = promotion_id, at
