"""The way into the database: one Store per process, SQLite or PostgreSQL behind the same two verbs; `migrate` makes its tables.

with store.begin() as session:   # write: holds the write lock on SQLite from its first statement
with store.read() as session:    # one consistent view for as long as the block lasts
"""

import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, event, inspect, make_url, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlmodel import Session

from pipelines.errors import ArtifactError, InputError
from service.settings import Settings
from service.store.arrays import teach_arrays
from service.store.bulk import cursor_of
from service.store.erasure_list import ErasureList
from service.store.keystore import KeyStore, NewKeys
from service.store.limits import POOL_SECONDS, connect_with_limits
from service.store.locks import check_locks

BUSY_TIMEOUT_MS = 30_000
CACHE_KIB = 16 << 10
CHECKPOINT_PAGES = 8_000  # 32 MB: pages that many commits touch are copied into the database once
# Whoever takes several takes them in this order: erasure, clusters, ingest; after them rows of rounds, of conversations
# by id, of their messages. Two that wait for each other are a deadlock, of which PostgreSQL ends one.
_LOCKS = {
    "migrations": 0x7065_0000,
    "ingest": 0x7065_0001,
    "clusters": 0x7065_0002,
    "rounds": 0x7065_0003,
    "erasure": 0x7065_0004,
    "users": 0x7065_0005,
}
# PostgreSQL's codes of what goes well when it is tried again: serialization failure, deadlock, and a row that somebody
# else's new row began to refer to
_PASSING = ("40001", "40P01", "23503")
_REVISION = re.compile(r'^(revision|down_revision) = "(\w+)"', re.MULTILINE)
_UNDECODABLE = "Could not decode to UTF-8"


@dataclass(frozen=True)
class Store:
    """An engine and the two ways to use it, and what is kept apart from its database: keys, and who was erased."""

    engine: Engine
    keys: KeyStore
    erasures: ErasureList

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite, with one writer at a time."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A write transaction, committed when the block ends and rolled back when it raises.

        On SQLite it is BEGIN IMMEDIATE: there is one writer at a time, and a second waits up to 30 s. The keys of people
        who are new in it are stored before it is committed.
        """
        with self.engine.connect().execution_options(perennial_write=True) as connection, connection.begin():
            yield from _session(connection, self.keys)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only transaction in which every query sees the same state of the database."""
        options: dict[str, Any] = {"perennial_write": False}
        if not self.is_sqlite:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield from _session(connection, self.keys)

    def lock(self, session: Session, name: str) -> None:
        """Serializes the transactions that take the same named lock, until they end; SQLite's already are."""
        if not self.is_sqlite:
            with cursor_of(session.connection()) as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCKS[name],))

    def scrub(self) -> bool:
        """Removes what deletions left behind in the database's files; False if readers kept it from finishing.

        SQLite: empties the write-ahead log (pages themselves are zeroed by secure_delete). PostgreSQL: vacuums the
        tables that hold keys and sealed text. Archived logs and backups are not covered.
        """
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if self.is_sqlite:
                row = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
                return bool(row[0] == 0)
            connection.exec_driver_sql("VACUUM person, conversation, message, clean_message")
        return True

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self.keys.close()


def open_store(settings: Settings, *, limited: bool = False) -> Store:
    """The store that the settings name; makes no tables (see `migrate`).

    `limited` is for a process whose callers wait, such as the web's: PostgreSQL gets the time-outs of limits.py.

    Raises:
        InputError: the URL names a database that is not supported, or a folder that cannot be written.
    """
    engine = _engine(settings.database_url, limited)
    return Store(engine, open_keys(settings, limited=limited), ErasureList(settings.erasures))


def open_keys(settings: Settings, *, limited: bool = False) -> KeyStore:
    """The key store that the settings name; `limited` as for `open_store`.

    Raises:
        InputError: it is the database of the data itself, or one that is not supported.
    """
    url = checked_url(settings.key_store_url, "PERENNIAL_KEYS_URL")
    if url == checked_url(settings.database_url):
        raise InputError(
            "PERENNIAL_KEYS_URL names the database of the data, whose backups would hold the keys; name another database"
        )
    return KeyStore(url, lambda: _engine(settings.key_store_url, limited))


def _engine(url: str, limited: bool) -> Engine:
    engine = make_engine(url, **({"pool_timeout": POOL_SECONDS} if limited else {}))
    if limited and engine.dialect.name == "postgresql":
        event.listen(engine, "do_connect", connect_with_limits)
    return engine


def migrate(settings: Settings, revision: str = "head") -> None:
    """Upgrades the database that the settings name.

    The whole upgrade is one transaction under a lock (SQLite's write lock, PostgreSQL's advisory lock), so processes
    that start together wait for the first one and then find nothing to do.

    Raises:
        InputError: the database was made by a newer version, or lies on a file system whose locks do not work.
    """
    engine = make_engine(settings.database_url, poolclass=NullPool)
    try:
        if engine.dialect.name == "sqlite":
            check_locks(Path(str(engine.url.database)).parent)
        with engine.connect().execution_options(perennial_write=True) as connection:
            if engine.dialect.name == "sqlite":
                # a batch migration rebuilds tables, which foreign keys would refuse; no effect inside a transaction
                connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]
            with connection.begin():
                if engine.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCKS["migrations"]})
                if revision == "head" and _revision_of(connection) == newest_revision():
                    return
                # here: Alembic takes longer to load than all else of most commands, which find nothing to do
                from service.store.schema import upgrade

                upgrade(connection, settings, revision)
    finally:
        engine.dispose()


def _revision_of(connection: Connection) -> str | None:
    """The revision that a database has; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def newest_revision() -> str:
    """The revision that this version makes: the one that no other follows. Reads the files alone, without Alembic."""
    named: dict[str, list[str]] = {"revision": [], "down_revision": []}
    for path in (scripts_folder() / "versions").glob("*.py"):
        for name, revision in _REVISION.findall(path.read_text(encoding="utf-8")):
            named[name].append(revision)
    [newest] = set(named["revision"]) - set(named["down_revision"])
    return newest


def make_engine(database_url: str, **options: Any) -> Engine:
    """An engine with the pragmas or driver that this project needs; `options` go to create_engine."""
    url = checked_url(database_url)
    if url.get_backend_name() == "postgresql":
        engine = create_engine(url, pool_pre_ping=True, **options)
        event.listen(engine, "connect", lambda connection, _: teach_arrays(connection))
        return engine
    if url.database:
        _make_folder(Path(url.database).parent)
    engine = create_engine(url, **options)
    event.listen(engine, "do_connect", _make_private)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InputError(f"the database's folder {folder} cannot be made: {error.strerror}") from error


def checked_url(database_url: str, name: str = "PERENNIAL_DATABASE_URL") -> URL:
    """The URL with the driver that is installed, or an InputError that says which URLs work."""
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError) as error:  # a ValueError is a port that is no number
        raise InputError(f"{name} is not a database URL; write sqlite:///path or postgresql://...") from error
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database in (None, "", ":memory:"):
        raise InputError("an in-memory SQLite database cannot be shared by processes; write sqlite:///path/to/file.db")
    if backend == "sqlite":
        return url.set(drivername="sqlite")
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise InputError(f"database {backend!r} is not supported; use sqlite:///path or postgresql://...")


def _session(connection: Connection, keys: KeyStore) -> Iterator[Session]:
    """A session that knows the key store; `new_keys` in its `info` gathers the keys of people who are new."""
    new_keys = NewKeys(keys)
    info: dict[str, Any] = {"keys": keys, "new_keys": new_keys}
    with Session(bind=connection, expire_on_commit=False, autoflush=True, info=info) as session:
        yield session
        session.flush()
        new_keys.store()


def _make_private(_dialect: Any, _record: Any, arguments: Sequence[Any], _options: Any) -> None:
    """A database file that is not there yet, for its user alone; SQLite gives its log and its index the same mode."""
    with suppress(OSError):  # it is there, or SQLite says what is wrong
        Path(arguments[0]).touch(mode=0o600, exist_ok=False)


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # this module says BEGIN itself
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _retry_while_busy(connection, "PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=ON")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")


def _retry_while_busy(connection: sqlite3.Connection, statement: str, seconds: float = 30.0) -> None:
    """Changing the journal mode does not wait for the busy timeout, so the first processes to start race here."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not is_busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("perennial_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def is_collision(error: BaseException) -> bool:
    """True for a transaction that another one got in the way of, and that can be tried again at once."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _PASSING


def is_unavailable(error: BaseException) -> bool:
    """True for a failure that may pass by itself: locked, disconnected, disk full."""
    if _UNDECODABLE in str(getattr(error, "orig", "")):  # SQLite's word for a damaged row, and no state of the database
        return False
    return isinstance(error, OperationalError | InterfaceError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


def scripts_folder() -> Path:
    """Where the migrations are: beside service/ in a checkout, inside this package in a wheel."""
    here = Path(__file__).resolve()
    for folder in (here.parent / "migrations", here.parents[2] / "alembic"):
        if (folder / "env.py").is_file():
            return folder
    raise ArtifactError("the database migrations are missing; reinstall perennial")
