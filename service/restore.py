"""A home brought back from its backup and the copy of its keys.

Everything is copied into a folder inside of the home first; the database comes to its place last, so that a home which has
one is whole. Who was forgotten since the backup is erased again by whatever opens the home next.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from pipelines.errors import Conflict, InputError
from service.backup import DATABASE_FILE, KEY_FILES
from service.private_files import private_files
from service.settings import Settings

_TEMPORARY = ".restore.tmp"
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Restored:
    """How many files came back, without the keys, and the names of those of the keys."""

    files: int
    keys: tuple[str, ...]


def restore(settings: Settings, data: Path, keys: Path | None = None, forgotten: Path | None = None) -> Restored:
    """Bring a backup back into the home, which must hold nothing but, perhaps, its keys.

    `keys` is the copy of the keys; None where those of the home are whole. `forgotten` is a newer list of who was
    forgotten, which is added to that of the keys.

    Raises:
        InputError: `data` is no backup, `keys` no copy of keys, or neither the home nor `keys` has any.
        Conflict: the home holds a database, models or rounds already, or keys where a copy is named.
    """
    _check(settings, data, keys)
    with private_files(), _folder(settings.home) as folder:
        shutil.copytree(data, folder / "data", ignore=shutil.ignore_patterns("*.tmp"), symlinks=True)
        names = _copy_keys(settings, keys, folder / "keys", forgotten)
        files = sum(path.is_file() for path in (folder / "data").rglob("*"))
        _put_in_place(folder, settings.home)
    _log.info("restored", files=files, keys=len(names))
    return Restored(files, names)


def _check(settings: Settings, data: Path, keys: Path | None) -> None:
    if not data.is_dir():
        raise InputError(f"{data} is no folder")
    if settings.database_url.startswith("sqlite") and not (data / DATABASE_FILE).is_file():
        raise InputError(
            f"{data} is no backup of a home on SQLite: there is no {DATABASE_FILE} in it; for PostgreSQL set "
            "PERENNIAL_DATABASE_URL to the database that pg_restore filled"
        )
    for name in (DATABASE_FILE, "models", "rounds"):
        if (settings.home / name).exists():
            raise Conflict(
                f"the home {settings.home} holds {name} already; move it away (mv {settings.home} {settings.home}-lost), or "
                "name another home with PERENNIAL_HOME"
            )
    has_keys = settings.keys.is_dir() and any(settings.keys.iterdir())
    if keys is None and not has_keys:
        raise InputError(
            "without the keys nobody can read the backup: name their copy with --keys, or put the folder of the keys to "
            f"{settings.keys} first"
        )
    if keys is not None and has_keys:
        raise Conflict(f"{settings.keys} holds keys, which are newer than any copy; leave out --keys")
    if keys is not None and not any((keys / name).is_file() for name in KEY_FILES):
        raise InputError(f"{keys} is no copy of the keys: there is none of {', '.join(KEY_FILES)} in it")


@contextmanager
def _folder(home: Path) -> Iterator[Path]:
    folder = home / _TEMPORARY
    shutil.rmtree(folder, ignore_errors=True)  # of a restore that was killed
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_keys(settings: Settings, keys: Path | None, to: Path, forgotten: Path | None) -> tuple[str, ...]:
    names = tuple(name for name in KEY_FILES if keys is not None and (keys / name).is_file())
    to.mkdir(mode=0o700)
    for name in names:
        assert keys is not None
        shutil.copyfile(keys / name, to / name)
        (to / name).chmod(0o600)
    if forgotten is not None:
        known = to / "erasures.ndjson" if keys is not None else settings.erasures
        with known.open("ab") as file:
            file.write(forgotten.read_bytes())
    return names


def _put_in_place(folder: Path, home: Path) -> None:
    """Everything to its place, the database last."""
    if any((folder / "keys").iterdir()):
        os.rename(folder / "keys", home / "keys")
    for path in sorted((folder / "data").iterdir(), key=lambda one: (one.name == DATABASE_FILE, one.name)):
        os.replace(path, home / path.name)
