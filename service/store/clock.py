"""The database's time: what leases, beats and slots go by, because machines that share a database share it."""

from datetime import UTC, datetime

from sqlalchemy import text
from sqlmodel import Session

_SQLITE = text("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')")
_POSTGRESQL = text("SELECT clock_timestamp()")  # now() would be when the transaction began


def database_time(session: Session) -> datetime:
    """What time it is, in UTC, by the clock of the database; SQLite's is that of its machine."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.fromisoformat(str(session.execute(_SQLITE).scalar_one())).replace(tzinfo=UTC)
    found: datetime = session.execute(_POSTGRESQL).scalar_one()
    return found.astimezone(UTC)


def database_seconds(session: Session) -> float:
    """The same in seconds since the epoch."""
    return database_time(session).timestamp()
