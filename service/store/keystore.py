"""Every person's wrapped key, in a database that no backup of the data contains, so that forgetting reaches the backups.

<home>/keys/people.db     0600: person_key(person_id, wrapped), identity(name, copied_at), root_key(sealed)

PERENNIAL_KEYS_URL names another one, for several machines on one PostgreSQL. A key is stored before the rows of its person
are (Store.begin sees to it) and deleted after they are erased: a kill in between leaves a key that opens nothing.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

from sqlalchemy import (
    Column,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.engine import URL, Connection, Engine

from pipelines.errors import Busy
from service.store.bulk import cursor_of, fetch_where_in

_CHUNK = 5_000
_LOCK = 0x7065_0100
_metadata = MetaData()
_keys = Table(
    "person_key",
    _metadata,
    Column("person_id", String, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
)
_identity = Table(
    "identity", _metadata, Column("name", String, primary_key=True), Column("copied_at", String, nullable=True)
)
_root = Table("root_key", _metadata, Column("sealed", LargeBinary, nullable=False))


class KeyStore:
    """The key store at a URL. Nothing is made or opened before it is first used."""

    def __init__(self, url: URL, connect: Callable[[], Engine]) -> None:
        self._url, self._connect = url, connect
        self._opened: Engine | None = None
        self._file: tuple[int, int] | None = None
        self._opening = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._known_root: tuple[bytes | None] | None = None

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of this machine."""
        return self._url.get_backend_name() == "sqlite"

    @property
    def where(self) -> str:
        """The file, or the URL without its password."""
        return str(self._url.database) if self.is_sqlite else self._url.render_as_string(hide_password=True)

    @property
    def is_there(self) -> bool:
        """False where its file is missing, which looking at it would make."""
        return not self.is_sqlite or self._path.is_file()

    def name(self) -> str | None:
        """What the database of the data knows it by; None for one that was never used."""
        if not self.is_there:
            return None
        with self._reading() as connection:
            return connection.execute(select(_identity.c.name)).scalar()

    def ensure_name(self) -> str:
        """The name, given now if it has none; of several processes one gives it."""
        with self._writing() as connection:
            known = connection.execute(select(_identity.c.name)).scalar()
            if known is None:
                known = token_hex(16)
                connection.execute(insert(_identity).values(name=known))
            return str(known)

    def wrapped(self, people: Sequence[str]) -> dict[str, bytes]:
        """The wrapped keys of those of these people who have one."""
        if not people:
            return {}
        sql = 'SELECT person_id, wrapped FROM "person_key" WHERE person_id {in_values}'
        with self._reading() as connection:
            return {row[0]: bytes(row[1]) for row in fetch_where_in(connection, sql, people)}

    def add_soon(self, keys: Mapping[str, bytes]) -> "Future[None]":
        """`add` in a thread of its own; done once they are committed."""
        with self._opening:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="key-store")
            return self._thread.submit(self.add, keys)

    def add(self, keys: Mapping[str, bytes]) -> None:
        """Stores wrapped keys by person, committed when this returns; one that is there already stays.

        Raises:
            Busy: its file was taken away or replaced meanwhile, so that what is written now would be lost.
        """
        if not keys:
            return
        self._refuse_other_file()
        marks = "?, ?" if self.is_sqlite else "%s, %s"
        sql = f'INSERT INTO "person_key" (person_id, wrapped) VALUES ({marks}) ON CONFLICT DO NOTHING'
        with self._writing() as connection:
            with cursor_of(connection) as cursor:
                cursor.executemany(sql, list(keys.items()))
            # after the rows are in: a change of the master key that came between is seen, and these go back
            if self._known_root is not None and self._known_root != (_sealed_root(connection),):
                raise Busy("the master key was changed while this ran; start the service again")

    def sealed_root(self) -> bytes | None:
        """The first master key, sealed under the present one; None while it is the present one. Remembered by `add`."""
        sealed = None
        if self.is_there:
            with self._reading() as connection:
                sealed = _sealed_root(connection)
        self._known_root = (sealed,)
        return sealed

    def rewrap(self, convert: Callable[[str, bytes], bytes], sealed_root: bytes) -> int:
        """Replaces every wrapped key by what `convert` makes of it, all in one transaction; how many there were."""
        count, last = 0, ""
        with self._writing() as connection:
            if not self.is_sqlite:
                connection.execute(text("LOCK TABLE person_key IN EXCLUSIVE MODE"))
            while rows := [(str(id), bytes(wrapped)) for id, wrapped in connection.execute(_after(last))]:
                new = [{"person": id, "new": convert(id, wrapped)} for id, wrapped in rows]
                connection.execute(
                    update(_keys).where(_keys.c.person_id == bindparam("person")).values(wrapped=bindparam("new")), new
                )
                count, last = count + len(rows), rows[-1][0]
            connection.execute(delete(_root))
            connection.execute(insert(_root).values(sealed=sealed_root))
        self._known_root = (sealed_root,)
        return count

    def delete(self, people: Iterable[str]) -> int:
        """Deletes the keys of these people; returns how many there were."""
        rows = [{"person": person} for person in self.wrapped(sorted(set(people)))]
        if rows:
            with self._writing() as connection:
                connection.execute(delete(_keys).where(_keys.c.person_id == bindparam("person")), rows)
        return len(rows)

    def scrub(self) -> bool:
        """Removes what deletions left in its files; False if readers of its log kept it from finishing.

        SQLite: empties the write-ahead log (pages themselves are zeroed by secure_delete). PostgreSQL: writes the table
        anew, as a vacuum alone leaves the bytes in the pages. Archived logs and backups are not covered.
        """
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if self.is_sqlite:
                return bool(connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0] == 0)
            connection.exec_driver_sql("VACUUM (FULL) person_key")
        return True

    def people(self) -> Iterator[list[str]]:
        """The ids of everybody who has a key, in order, some thousands at a time."""
        last = ""
        while True:
            query = select(_keys.c.person_id).where(_keys.c.person_id > last).order_by(_keys.c.person_id).limit(_CHUNK)
            with self._reading() as connection:
                found = [str(id) for id in connection.execute(query).scalars()]
            if not found:
                return
            yield found
            last = found[-1]

    def copy(self, to: Path) -> None:
        """A copy of the file, of one moment, that its owner alone may read; SQLite only."""
        _touch(to)
        with closing(sqlite3.connect(self._path)) as live, closing(sqlite3.connect(to)) as copy:
            live.backup(copy)

    def note_copy(self, at: datetime) -> None:
        """Remembers when its newest copy was made."""
        with self._writing() as connection:
            connection.execute(update(_identity).values(copied_at=at.astimezone(UTC).isoformat()))

    def copied_at(self) -> datetime | None:
        """When its newest copy was made, as far as it knows."""
        with self._reading() as connection:
            at = connection.execute(select(_identity.c.copied_at)).scalar()
        return None if at is None else datetime.fromisoformat(at)

    def close(self) -> None:
        """Ends its connections, and its thread once that has stored what it took."""
        if self._thread is not None:
            self._thread.shutdown()
        if self._opened is not None:
            self._opened.dispose()

    @property
    def _path(self) -> Path:
        return Path(str(self._url.database))

    @property
    def _engine(self) -> Engine:
        """The engine, its tables made."""
        with self._opening:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _refuse_other_file(self) -> None:
        if self._file not in (None, _identity_of(self._path)):
            raise Busy(f"the key store {self.where} was taken away or replaced while this ran; start the service again")

    def _open(self) -> Engine:
        if self.is_sqlite:
            _touch(self._path)
            self._file = _identity_of(self._path)
        engine = self._connect()
        with engine.connect().execution_options(perennial_write=True) as connection, connection.begin():
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            _metadata.create_all(connection)
        return engine

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(perennial_write=False) as connection, connection.begin():
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(perennial_write=True) as connection, connection.begin():
            yield connection


class NewKeys:
    """Keys of people who are new in one transaction: stored before its rows are, or beside them while they are written."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._keys: dict[str, bytes] = {}
        self._kept: dict[str, bytes] = {}
        self._storing: list[Future[None]] = []

    def add(self, keys: Mapping[str, bytes]) -> None:
        """Notes wrapped keys by person."""
        self._keys.update(keys)
        self._kept.update(keys)

    def of(self, people: Iterable[str]) -> dict[str, bytes]:
        """The wrapped keys of those of these people who are new."""
        return {person: self._keys[person] for person in people if person in self._keys}

    def send(self) -> None:
        """Begins to store what was noted, whatever becomes of the rows: a key without them opens nothing."""
        if self._kept:
            self._storing.append(self._store.add_soon(self._kept))
            self._kept = {}

    def store(self) -> None:
        """Returns once all are committed, so that the rows may be. Raises like KeyStore.add."""
        self._store.add(self._kept)
        for storing in self._storing:
            storing.result()


def _sealed_root(connection: Connection) -> bytes | None:
    found = connection.execute(select(_root.c.sealed)).scalar()
    return None if found is None else bytes(found)


def _after(last: str) -> Select[Any]:
    query = select(_keys.c.person_id, _keys.c.wrapped).where(_keys.c.person_id > last)
    return query.order_by(_keys.c.person_id).limit(_CHUNK)


def _identity_of(path: Path) -> tuple[int, int]:
    """Which file this is, whatever its name; (0, 0) where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_dev, found.st_ino


def _touch(path: Path) -> None:
    """Makes the file for its owner alone: SQLite gives its log the same rights."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # never opened where it is there: to close it again would drop the locks that SQLite has on it in this process, and
    # the next process that ends would take the log away from under us
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
