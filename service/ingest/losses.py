"""What passed and was not recorded: counts by reason, kept in <home>/spool/losses.json so that every process can say it.

{"unnamed": {"count": 12, "last": 1764244800.5}}
"""

import fcntl
import threading
import time
from pathlib import Path

import msgspec
import structlog

from pipelines.artifacts import write_atomic

REASONS = {
    "unnamed": "named no person",
    "too_long": "had more bytes than PERENNIAL_MAX_BODY_BYTES allows",
    "busy": "came faster than they could be written to disk",
    "no_room": "found no room on the disk, or in what PERENNIAL_SPOOL_BYTES allows",
    "unreadable": "could not be read",
    "elsewhere": "went on from a history that only the upstream has",
    "refused": "could not be stored as they were",
    "forgotten": "were of a person who was forgotten meanwhile",
    "damaged": "were damaged on disk",
}
TOLD = frozenset(REASONS) - {"forgotten"}  # what somebody should mend
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
        self._new: dict[str, Loss] = {}
        self._said: dict[str, float] = {}

    def count(self, reason: str, error: str | None = None) -> None:
        """One more. Waits for no disk: `keep` writes."""
        now = time.time()
        with self._lock:
            loss = self._new.setdefault(reason, Loss())
            loss.count, loss.last = loss.count + 1, now
            is_silent = now - self._said.get(reason, 0.0) < _SAY_SECONDS
            if not is_silent:
                self._said[reason] = now
        if not is_silent:
            _log.warning("chat_not_recorded", why=reason, error=error)

    def keep(self) -> None:
        """Add what is new to the home's counts, to which other processes add too."""
        with self._lock:
            new, self._new = self._new, {}
        if not new:
            return
        try:
            with self._path.with_suffix(".lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                counts = _read(self._path)
                for reason, loss in new.items():
                    counts[reason] = Loss(loss.count + counts.get(reason, Loss()).count, loss.last)
                write_atomic(self._path, msgspec.json.encode(counts).decode())
        except OSError as error:
            _log.warning("counts_not_written", error=error.strerror)


def losses_file(home: Path) -> Path:
    """Where the counts are kept."""
    return home / "spool" / "losses.json"


def read_losses(home: Path) -> dict[str, Loss]:
    """The counts by reason; empty where nothing was lost, or they cannot be read."""
    return _read(losses_file(home))


def _read(path: Path) -> dict[str, Loss]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Loss])
    except (OSError, msgspec.MsgspecError):
        return {}
