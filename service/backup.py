"""A copy of the home from which it can be brought back: database, models, rounds, settings; and one of the keys, apart.

backup/
├── perennial.db      as of one moment, also while the service writes; PostgreSQL has its own: pg_dump, before this
├── models/ rounds/   what serves, what it was trained with, the reports; no `scratch`, where text lies unsealed
├── bases/ weights/ recipes/ suites/ anchors/     what was adopted, written and added here
├── targets.yaml      the deploy targets, where they stand in the home
└── settings.env      without the lines that hold a key

backup-keys/          0700; opens the text in backups of the database, so there is one of it, replaced each time
├── people.db         the key store (a key store on PostgreSQL has its own: pg_dump)
├── master.key        unless it is in the environment
└── erasures.ndjson   who was forgotten so far
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from pipelines.errors import Conflict
from service.private_files import private_files
from service.settings import KEY_SETTINGS, SETTINGS_FILE, TARGETS_FILE, Settings, keep_settings
from service.store.models import list_models
from service.store.session import Store

DATABASE_FILE = "perennial.db"
KEY_FILES = ("people.db", "master.key", "erasures.ndjson")
_FOLDERS = ("models", "rounds", "bases", "weights", "recipes", "suites", "anchors")
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
    try:
        with private_files():
            temporary.mkdir(parents=True)
            if store.is_sqlite:
                _copy_database(store, temporary / DATABASE_FILE)
            copied = [_copy(settings.home, path, temporary) for path in _files(settings.home)]
        sizes = [size for size in copied if size is not None]
        missing = _missing(store, temporary)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _log.info("backed_up", files=len(sizes), bytes=sum(sizes), missing=len(missing))
    return Backup(len(sizes), sum(sizes), store.is_sqlite, missing)


def back_up_keys(settings: Settings, store: Store, folder: Path, at: datetime) -> tuple[str, ...]:
    """Copy the keys into a folder of their own, in place of the copy that was there, and give the names of its files.

    The copy before goes only once the new one is whole: older copies would open what was forgotten since.

    Raises:
        Conflict: the folder holds something else.
    """
    strange = sorted(path.name for path in folder.iterdir() if path.name not in KEY_FILES) if folder.exists() else []
    if strange:
        raise Conflict(
            f"{folder} holds {strange[0]}, so it is no copy of the keys; name a new folder or that of a copy"
        )
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    for left in (*folder.parent.glob(f"{folder.name}.*.tmp"), *folder.parent.glob(f"{folder.name}.*.old")):
        shutil.rmtree(left)  # of a run that was killed
    temporary.mkdir(parents=True, mode=0o700)
    try:
        if store.keys.is_sqlite:
            store.keys.copy(temporary / "people.db")
        for path, name in ((settings.keys / "master.key", "master.key"), (settings.erasures, "erasures.ndjson")):
            if path.is_file() and not (name == "master.key" and settings.master_key):
                shutil.copyfile(path, temporary / name)
                (temporary / name).chmod(0o600)
        names = tuple(sorted(path.name for path in temporary.iterdir()))
        _put_in_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    store.keys.note_copy(at)
    _log.info("keys_backed_up", files=len(names))
    return names


def _put_in_place(new: Path, folder: Path) -> None:
    """The new folder under the name of the old one, which is deleted; a kill in between leaves one of the two whole."""
    if folder.exists():
        old = folder.with_name(f"{folder.name}.{os.getpid()}.old")
        folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old)
    else:
        new.rename(folder)


def _copy_database(store: Store, to: Path) -> None:
    """SQLite's own online copy: one moment of the database, whatever is written meanwhile."""
    source = store.engine.url.database
    assert source is not None
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(to)) as copy:
        live.backup(copy)


def _files(home: Path) -> Iterator[Path]:
    yield from (home / name for name in (SETTINGS_FILE, TARGETS_FILE) if (home / name).is_file())
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
        target.chmod(0o600)  # a home that was closed by hand may hold files of the usual mode
        if path == home / SETTINGS_FILE:
            keep_settings(to, dict.fromkeys(KEY_SETTINGS))  # no key in a backup of the data
        return size
    return None


def _missing(store: Store, backup: Path) -> tuple[str, ...]:
    """The files that models are served from and that the backup does not hold."""
    with store.read() as session:
        forms = [one.form for one in list_models(session) if one.form and one.form.collected_at is None]
    paths = {path for form in forms for path in (form.path, form.adapter_path) if path}
    return tuple(sorted(path for path in paths if Path(path).is_absolute() or not (backup / path).is_file()))
