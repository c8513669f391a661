"""mlx and mlx_lm as the other modules here import them: without what importing mlx_lm does to the process."""

import importlib
import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.errors import MissingDependency

_OLDEST_GLIBC = (2, 35)


@contextmanager
def _file_limit_kept() -> Iterator[None]:
    """mlx_lm sets RLIMIT_NOFILE to 2048 of 4096 when it is imported, and a hard limit never rises again."""
    original = resource.setrlimit
    resource.setrlimit = lambda *_: None
    try:
        yield
    finally:
        resource.setrlimit = original


def require_mlx() -> None:
    """Import mlx and mlx_lm, or raise MissingDependency with the one reason that this machine has for not having them."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a mistyped folder must never become a look-up
    try:
        with _file_limit_kept():
            importlib.import_module("mlx.core")
            importlib.import_module("mlx_lm.utils")
    except ImportError as error:
        raise MissingDependency(why_missing(error, platform.libc_ver())) from error


def why_missing(error: ImportError, libc: tuple[str, str]) -> str:
    """The sentence for a person whose machine cannot import mlx; `libc` is name and version as platform tells them."""
    name, version = libc
    if name == "glibc" and tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_GLIBC:
        return (
            f"`backend: mlx` needs macOS on Apple silicon or a Linux with glibc 2.35, and this Linux has glibc {version}; "
            "use `backend: auto`"
        )
    return (
        f"`backend: mlx` needs mlx and mlx-lm, which cannot be imported here ({str(error).splitlines()[0]}): "
        "pip install 'perennial-service[mlx]', or use `backend: auto`"
    )
