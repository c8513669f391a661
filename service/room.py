"""Room on the disks that hold the home and SQLite's database: rounds leave the last of it to what people send."""

import shutil
from collections.abc import Callable
from pathlib import Path

from service.settings import Settings

LOW = 4  # times `min_free_bytes`: from there on it is told
_AGAIN = 1.5  # times: a round that stopped starts again only with more, or it would stop and start for ever
GIGABYTE = 1e9


def free_bytes(settings: Settings) -> int:
    """What is free where the home lies, or SQLite's database if there is less."""
    folders = [settings.home]
    if settings.database_url.startswith("sqlite"):
        folders.append(Path(settings.database_url.partition(":///")[2]).parent)
    return min(shutil.disk_usage(folder).free for folder in folders)


class RoundRoom:
    """Whether a round may start or go on: not below `min_free_bytes`, and once it had to stop not before there is more."""

    def __init__(self, settings: Settings, free: Callable[[Settings], int] = free_bytes) -> None:
        self._settings, self._free = settings, free
        self._needed = settings.min_free_bytes

    def allows(self) -> bool:
        """Whether there is room now."""
        enough = self._free(self._settings) >= self._needed
        self._needed = round(self._settings.min_free_bytes * (1 if enough else _AGAIN))
        return enough

    @property
    def sentence(self) -> str:
        """What a round that waits says."""
        least = self._settings.min_free_bytes / GIGABYTE
        return (
            f"it waits for room: less than {least:.2f} GB (PERENNIAL_MIN_FREE_BYTES) are free, and goes on by itself once "
            f"{least * _AGAIN:.2f} GB are"
        )
