"""A file put in the place of another, which is kept beside it: at every moment one of the two is there, whole.

model.gguf            -> model.gguf (the new one)
                         model.previous.gguf (the one before)
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from pipelines.artifacts import new_file, sha256_of
from service.models.targets.target import TargetError

_CHUNK = 1 << 22


@dataclass(frozen=True)
class Placement:
    """A file on its way: what is copied, its digest, where to, and under which name the one before is kept."""

    source: Path
    sha256: str
    path: Path
    previous: Path


def place_files(placements: Sequence[Placement]) -> None:
    """Copy files to their places, keeping what was there; no place changes before every copy is there and proven.

    A file that is there already is left as it is.

    Raises:
        TargetError: the folder is not there, or a copy is another file. ArtifactError: no room. OSError.
    """
    with ExitStack() as places:
        due = [one for one in placements if not _is_there(one)]
        for one in due:
            _make_folder(one.path.parent)
            temporary = places.enter_context(new_file(one.path, one.source.stat().st_size))
            if _copy(one.source, temporary) != one.sha256:
                raise TargetError(f"the copy of {one.source.name} is not the file that was gated; look at the disks")
        for one in due:
            if one.path.exists():
                _keep(one.path, one.previous)


def _is_there(one: Placement) -> bool:
    if one.path.is_dir():
        raise TargetError(f"{one.path.name} is a folder; name the file that is to be replaced")
    return (
        one.path.is_file()
        and one.path.stat().st_size == one.source.stat().st_size
        and sha256_of(one.path) == one.sha256
    )


def mark_of(path: Path) -> str:
    """By what a file that was put there is known again: its size and time."""
    stat = path.stat()
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def make_readable(folder: Path) -> None:
    """Make a folder unless it is there; of a new one another user, whose program it is for, may read what is in it."""
    if not folder.is_dir():
        folder.mkdir()
        folder.chmod(0o755)  # our own files are our user's alone (service/private_files.py)


def check_file(path: Path, mark: str) -> None:
    """Raises TargetError if the file is gone, or another one since."""
    if not path.is_file():
        raise TargetError(f"{path.name} is gone from there")
    if mark and mark_of(path) != mark:
        raise TargetError(f"{path.name} was changed there since")


def _make_folder(folder: Path) -> None:
    """The last folder is made; a missing one above it is a mistake, or a disk that is not there."""
    if not folder.parent.is_dir():
        raise TargetError(f"the folder {folder.parent.name} is not there; make it, or mount the disk that it is on")
    make_readable(folder)


def _keep(path: Path, previous: Path) -> None:
    """What is at the path under a second name; it stays where it is too."""
    temporary = previous.with_name(f".{previous.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:  # a file system without links
        shutil.copy(path, temporary)
    try:
        os.replace(temporary, previous)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def _copy(source: Path, to: Path) -> str:
    """The sha256 of what was written; read back, because a disk may lie."""
    with source.open("rb") as read, to.open("wb") as written:
        shutil.copyfileobj(read, written, _CHUNK)
    to.chmod(0o644)  # another program, of another user most often, is to read it
    return sha256_of(to)
