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
_OURS = frozenset(
    [
        "champion",
        "demo",
        "engine.json",
        "engine.lock",
        "engine.sock",
        "imports",
        "keys",
        "logs",
        "models",
        "origin.json",
        "rounds",
        "scores",
        "settings.env",
        "spool",
        "summary.json",
        "up.lock",
    ]
)


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
    """Take what is in a home, but for the master `key`, from the other users; a sentence if they had any of it.

    A home that is private already is not searched: nobody else gets into it. Where other things than ours lie in it, it is
    no folder of ours to close, and only what we made is taken back.
    """
    if not is_open(home):
        return None
    entries = list(home.iterdir())
    ours = [path for path in entries if _is_ours(path.name)]
    found = [path for top in ours for path in _below(top, key)]
    shut = [*found, home] if len(ours) == len(entries) else found  # the home last: a search cut off begins again
    mended = [path for path in shut if _shut(path)]
    if any(map(_is_left, shut)):
        return (
            f"other users of this machine can read the home {home}, and this could not be changed: chmod -R go= "
            f"{shlex.quote(str(home))} does it as the user to whom its files belong"
        )
    if not mended:
        return None
    return (
        f"other users of this machine could read the home {home}; its {len(mended)} files and folders are private now"
    )


def _is_ours(name: str) -> bool:
    return name in _OURS or name.startswith(("perennial.db", "."))


def _below(top: Path, key: Path) -> Iterator[Path]:
    """A file, or a folder and everything in it; links lead elsewhere."""
    whole = ((Path(folder), (*folders, *files)) for folder, folders, files in os.walk(top))
    paths = [top, *(folder / name for folder, names in whole for name in names)]
    yield from (path for path in paths if path != key and not path.is_symlink())


def _shut(path: Path) -> bool:
    """Whether something had to be taken from others, and was."""
    try:
        if is_open(path):
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~OTHERS)
            return True
    except OSError:  # a process that runs took it away, or it is not ours to change: `_is_left` tells
        pass
    return False


def _is_left(path: Path) -> bool:
    try:
        return is_open(path)
    except OSError:
        return False
