"""A copy of the home from which it can be brought back: database, models, rounds, settings; never the master key.

backup/
├── perennial.db      as of one moment, also while the service writes; PostgreSQL has its own: pg_dump, before this
├── models/ rounds/   what serves, what it was trained with, the reports; no `scratch`, where text lies unsealed
└── settings.env
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from pipelines.errors import Conflict
from service.settings import SETTINGS_FILE, Settings
from service.store.models import list_models
from service.store.session import Store

_FOLDERS = ("models", "rounds")
_SCRATCH = "scratch"
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Backup:
    """What was copied, and the files of models that are not in it: lost before, or outside of the home."""

    files: int
    size_bytes: int
    has_database: bool
    missing: tuple[str, ...]


def back_up(settings: Settings, store: Store, folder: Path) -> Backup:
    """Copy the home into a new folder, which is there only once it is whole.

    The database comes first: what it names was written before, so the files that follow belong to it.

    Raises:
        Conflict: the folder exists already.
    """
    if folder.exists():
        raise Conflict(f"{folder} exists already; name a new folder for the backup")
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        if store.is_sqlite:
            _copy_database(store, temporary / "perennial.db")
        sizes = [size for path in _files(settings.home) if (size := _copy(settings.home, path, temporary)) is not None]
        missing = _missing(store, temporary)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _log.info("backed_up", files=len(sizes), bytes=sum(sizes), missing=len(missing))
    return Backup(len(sizes), sum(sizes), store.is_sqlite, missing)


def _copy_database(store: Store, to: Path) -> None:
    """SQLite's own online copy: one moment of the database, whatever is written meanwhile."""
    source = store.engine.url.database
    assert source is not None
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(to)) as copy:
        live.backup(copy)


def _files(home: Path) -> Iterator[Path]:
    if (home / SETTINGS_FILE).is_file():
        yield home / SETTINGS_FILE
    for name in _FOLDERS:
        for parent, folders, files in os.walk(home / name):
            folders[:] = [one for one in folders if one != _SCRATCH and not one.endswith(".tmp")]
            yield from (Path(parent) / one for one in files if not one.endswith(".tmp"))


def _copy(home: Path, path: Path, to: Path) -> int | None:
    """The size of a copied file; None if a round or gc took it away meanwhile."""
    target = to / path.relative_to(home)
    with suppress(FileNotFoundError):
        size = path.stat().st_size
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
        return size
    return None


def _missing(store: Store, backup: Path) -> tuple[str, ...]:
    """The files that models are served from and that the backup does not hold."""
    with store.read() as session:
        forms = [one.form for one in list_models(session) if one.form and one.form.collected_at is None]
    paths = {path for form in forms for path in (form.path, form.adapter_path) if path}
    return tuple(sorted(path for path in paths if Path(path).is_absolute() or not (backup / path).is_file()))
