"""What is on disk belongs to the user who runs the service: folders 0700, files 0600, and nobody else reads them.

Processes of `perennial` and their children make files so (their umask). Homes of earlier versions, which everybody could
read, are mended at the next start. The master key alone is not mended in silence: whoever could read it may have.
"""

import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import InputError

OTHERS = stat.S_IRWXG | stat.S_IRWXO


@contextmanager
def private_files() -> Iterator[None]:
    """Inside, this process and its children make files and folders that are its user's alone."""
    before = os.umask(OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def is_open(path: Path) -> bool:
    """Whether other users of this machine may do anything with this file or folder."""
    return os.name == "posix" and bool(path.stat().st_mode & OTHERS)


def check_private(key: Path) -> None:
    """Passes if this key is its user's alone.

    Raises:
        InputError: others can read or change it; the sentence holds the command that mends it.
    """
    if is_open(key):
        raise InputError(
            f"other users of this machine can read the master key {key} (its mode is {stat.S_IMODE(key.stat().st_mode):o}), so "
            f"nothing starts; if none of them did, take it back from them: chmod 600 {shlex.quote(str(key))}"
        )


def make_private(home: Path, key: Path) -> str | None:
    """Take a home and what is in it, but for the master `key`, from the other users; a sentence if they had any of it.

    A home that is private already is not searched: nobody else gets into it.
    """
    if not is_open(home):
        return None
    mended, left = 0, False
    for path in [*_below(home, key), home]:  # the home last: a search that was cut off begins again
        try:
            if is_open(path):
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~OTHERS)
                mended += 1
        except FileNotFoundError:  # a process that runs took it away
            continue
        except OSError:
            left = True
    if left or is_open(home):
        return (
            f"other users of this machine can read the home {home}, and this could not be changed: chmod -R go= "
            f"{shlex.quote(str(home))} does it as the user to whom its files belong"
        )
    return f"other users of this machine could read the home {home}; its {mended} files and folders are private now"


def _below(home: Path, key: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(home):
        paths = (Path(folder) / name for name in (*folders, *files))
        yield from (path for path in paths if path != key and not path.is_symlink())
