"""How long logs, and what imports leave behind, stay in the home.

logs/*.log                 `log_days` after its last line (the engine's begins anew at its start beyond some size)
imports/*.rejects.ndjson   `rejected_days` after its import
imports/unpacked-*         a day: what an import unpacked and, killed, did not take away
"""

from collections.abc import Iterator
from pathlib import Path

import structlog

from service.settings import Settings

_DAY_SECONDS = 86_400
_UNPACKED_DAYS = 1
_log = structlog.get_logger(__name__)


def sweep_logs(settings: Settings, at: float) -> int:
    """Deletes files whose time has passed at `at` (seconds since 1970); returns how many."""
    gone = 0
    for path, days in _files(settings):
        try:
            if path.stat().st_mtime < at - days * _DAY_SECONDS:
                path.unlink()
                gone += 1
        except OSError as error:  # another process took it: the next look sees
            _log.warning("log_not_swept", file=path.name, error=type(error).__name__)
    if gone:
        _log.info("logs_deleted", files=gone)
    return gone


def _files(settings: Settings) -> Iterator[tuple[Path, int]]:
    """Every file with a time, and how many days it has."""
    for path in settings.logs.glob("*.log"):
        yield path, settings.log_days
    for path in (settings.home / "imports").glob("*.rejects.ndjson"):
        yield path, settings.rejected_days
    for path in (settings.home / "imports").glob("unpacked-*"):
        yield path, _UNPACKED_DAYS
