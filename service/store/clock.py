"""The database's time: what leases, beats and slots go by, because machines that share a database share it."""

from datetime import UTC, datetime

from sqlmodel import Session

from service.store.bulk import cursor_of

_SQLITE = "SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')"
_POSTGRESQL = "SELECT clock_timestamp()"  # now() would be when the transaction began


def database_time(session: Session) -> datetime:
    """What time it is, in UTC, by the clock of the database; SQLite's is that of its machine."""
    connection = session.connection()
    is_sqlite = connection.dialect.name == "sqlite"
    with cursor_of(connection) as cursor:
        cursor.execute(_SQLITE if is_sqlite else _POSTGRESQL)
        [at] = cursor.fetchone()
    return datetime.fromisoformat(at).replace(tzinfo=UTC) if is_sqlite else at.astimezone(UTC)


def database_seconds(session: Session) -> float:
    """The same in seconds since the epoch."""
    return database_time(session).timestamp()
