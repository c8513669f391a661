"""Queries about schedules. Each takes the caller's session and never commits."""

from sqlmodel import Session, col, select

from pipelines.errors import NotFound
from service.store.tables import Schedule


def put_schedule(session: Session, row: Schedule) -> None:
    """Add the schedule, or give the one of this name a new recipe; a changed cron is known only from now on."""
    known = session.get(Schedule, row.name)
    if known is None:
        session.add(row)
        return
    if known.cron != row.cron:
        known.known_since = row.known_since
    known.recipe, known.cron = row.recipe, row.cron
    session.add(known)


def list_schedules(session: Session) -> list[Schedule]:
    """Every schedule by name."""
    return list(session.exec(select(Schedule).order_by(col(Schedule.name))).all())


def remove_schedule(session: Session, name: str) -> None:
    """Raises NotFound with the names that exist."""
    row = session.get(Schedule, name)
    if row is None:
        known = ", ".join(found.name for found in list_schedules(session)) or "none"
        raise NotFound(f"no schedule is called '{name}'; known: {known}")
    session.delete(row)


def lock_schedule(session: Session, name: str) -> Schedule | None:
    """The schedule, until the transaction ends nobody else's to change; None if it was removed."""
    return session.exec(select(Schedule).where(Schedule.name == name).with_for_update()).one_or_none()
