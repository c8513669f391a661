"""What passed and was not recorded: counts by reason, kept in <home>/proxy.json so that every process can say it.

{"unnamed": {"count": 12, "last": 1764244800.5}}
"""

import threading
import time
from pathlib import Path

import msgspec
import structlog

from pipelines.artifacts import write_atomic

REASONS = {
    "unnamed": "named no person",
    "busy": "came faster than they could be written to disk",
    "no_room": "found no room on the disk, or in what PERENNIAL_SPOOL_BYTES allows",
    "unreadable": "could not be read",
    "elsewhere": "went on from a history that only the upstream has",
    "refused": "could not be stored as they were",
    "forgotten": "were of a person who was forgotten meanwhile",
    "damaged": "were damaged on disk",
}
_SAY_SECONDS = 60.0
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Loss(msgspec.Struct):
    """How many there were of a kind, and when the last (seconds since 1970)."""

    count: int = 0
    last: float = 0.0


class Losses:
    """Counts what is not recorded; says so in the log at most once a minute for each reason."""

    def __init__(self, home: Path) -> None:
        self._path, self._lock = losses_file(home), threading.Lock()
        self._counts = read_losses(home)
        self._said: dict[str, float] = {}
        self._kept_at = 0.0

    def count(self, reason: str, error: str | None = None) -> None:
        """One more. Never blocks on a disk: `keep` writes."""
        now = time.time()
        with self._lock:
            loss = self._counts.setdefault(reason, Loss())
            loss.count, loss.last = loss.count + 1, now
            is_silent = now - self._said.get(reason, 0.0) < _SAY_SECONDS
            if not is_silent:
                self._said[reason] = now
        if not is_silent:
            _log.warning("chat_not_recorded", why=reason, error=error, so_far=loss.count)

    def keep(self) -> None:
        """Write the counts down if they changed."""
        with self._lock:
            last = max((loss.last for loss in self._counts.values()), default=0.0)
            if last <= self._kept_at:
                return
            self._kept_at, text = last, msgspec.json.encode(self._counts).decode()
        try:
            write_atomic(self._path, text)
        except OSError as error:
            _log.warning("counts_not_written", error=error.strerror)


def losses_file(home: Path) -> Path:
    """Where the counts are kept."""
    return home / "proxy.json"


def read_losses(home: Path) -> dict[str, Loss]:
    """The counts by reason; empty where nothing was lost, or they cannot be read."""
    try:
        return msgspec.json.decode(losses_file(home).read_bytes(), type=dict[str, Loss])
    except (OSError, msgspec.MsgspecError):
        return {}
