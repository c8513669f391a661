"""Whether the locks of a file system work: SQLite rests on them, and without them two processes destroy its database.

Network and some container file systems refuse byte-range locks, or grant the same one to everybody. Both are found by
asking twice, through two open files, for a lock that one of them may have only once.
"""

import errno
import fcntl
import os
import struct
import sys
import threading
from pathlib import Path

from pipelines.errors import InputError
from service.settings import FULL

_REFUSALS = (errno.EAGAIN, errno.EACCES)


def check_locks(folder: Path) -> None:
    """Pass if two processes can exclude each other in this folder. A full disk, where it cannot be tried, passes too.

    Raises:
        InputError: they cannot, or nothing may be written there.
    """
    path = folder / f".lock-test.{os.getpid()}.{threading.get_native_id()}"
    try:
        with path.open("w") as first, path.open("w") as second:
            problem = _problem(first.fileno(), second.fileno())
        path.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in FULL:
            return
        raise InputError(f"the database's folder {folder} cannot be written: {error.strerror}") from error
    if problem:
        raise locks_refused(folder, problem)


def locks_refused(folder: Path, why: str) -> InputError:
    """The sentence for a folder whose locks do not work."""
    return InputError(
        f"the file locks of {folder} do not work ({why}), and data would be lost there: put the home on a local disk "
        "(PERENNIAL_HOME), and the database there or into PostgreSQL (PERENNIAL_DATABASE_URL)"
    )


def _problem(first: int, second: int) -> str | None:
    """What is wrong with the locks on a file that is open twice."""
    try:
        _lock(first)
    except OSError as error:
        return error.strerror or str(error)
    try:
        _lock(second)
    except OSError as error:
        return None if error.errno in _REFUSALS else error.strerror or str(error)
    return "one lock is given to two at the same time"


def _lock(file: int) -> None:
    """Lock an open file for itself alone. The lock is the open file's, not the process's, so one process can try both."""
    if sys.platform == "linux":
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
