"""Files and folders that appear complete and flushed, or not at all."""

import errno
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import ArtifactError


@contextmanager
def new_folder(out: Path, needed_bytes: int) -> Iterator[Path]:
    """A temporary folder beside `out` that becomes `out` if the block ends without an error.

    Raises:
        ArtifactError: `out` exists already, or the disk is too small or failed.
    """
    if out.exists():
        raise ArtifactError(f"{out} exists already; artifacts are never overwritten")
    with _written(out, needed_bytes) as temporary:
        temporary.mkdir()
        yield temporary
        for file in temporary.iterdir():
            sync(file)
        sync(temporary)
        os.rename(temporary, out)


@contextmanager
def new_file(out: Path, needed_bytes: int) -> Iterator[Path]:
    """A temporary path beside `out`, to be written by the block, that then replaces `out` in one step.

    Raises:
        ArtifactError: the disk is too small or failed.
    """
    with _written(out, needed_bytes) as temporary:
        yield temporary
        sync(temporary)
        os.replace(temporary, out)


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raises ArtifactError if the disk under `folder` lacks that many bytes and a margin of 1 percent + 1 MB."""
    free = shutil.disk_usage(folder).free
    wanted = needed_bytes + needed_bytes // 100 + (1 << 20)
    if free < wanted:
        raise ArtifactError(
            f"{folder} has {free >> 20} MB free where {(wanted >> 20) + 1} MB are needed; make room on that disk"
        )


def sync(path: Path) -> None:
    """Flush a file or a folder's entries to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _written(out: Path, needed_bytes: int) -> Iterator[Path]:
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(out)
        require_space(out.parent, needed_bytes)
        yield temporary
        sync(out.parent)
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
        raise ArtifactError(f"cannot write {out}: {reason}") from error
    finally:
        _remove(temporary)


def _remove_leftovers(out: Path) -> None:
    """What a killed writer of the same file left: the temporary name holds its process id."""
    for left in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):
        writer = left.name.split(".")[-2]
        if writer.isdigit() and (int(writer) == os.getpid() or not _is_running(int(writer))):
            _remove(left)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
