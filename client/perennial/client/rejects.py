"""What the service will not store: told to the app's callback, counted in the log, kept beside the spool.

{"at": "2026-11-27T12:00:00+00:00", "status": 422, "detail": "messages[0].role: ...", "kind": "conversation", ...}
"""

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from perennial.client.records import Item, Rejection, encode

NAME = "rejected.ndjson"
MOST_BYTES = 16 << 20
OnReject = Callable[[Rejection], object]
_log = logging.getLogger("perennial.client")


class Rejects:
    """Where rejected items go. The log has no word of them: the service's sentences may quote what people wrote."""

    def __init__(self, folder: Path | None, on_reject: OnReject | None) -> None:
        self._path = None if folder is None else folder / NAME
        self._on_reject = on_reject

    def add(self, item: Item, status: int | None, detail: str) -> None:
        """Keeps an item with the service's sentence, and tells the app."""
        kept = self._path is not None and self._keep(item, status, detail)
        where = f"; see {NAME} in the spool folder" if kept else ""
        _log.warning("a %s was rejected with status %s%s", item.kind, status, where)
        if self._on_reject is not None:
            try:
                self._on_reject(Rejection(item.kind, item.id, status, detail, item.body))
            except Exception as error:  # the app's own; it must not end delivery
                _log.error("on_reject raised %s", type(error).__name__)

    def _keep(self, item: Item, status: int | None, detail: str) -> bool:
        assert self._path is not None
        said = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "status": status, "detail": detail}
        about = {"kind": item.kind, "message": item.message, "take_back": item.take_back, "body": item.body}
        try:
            if self._path.exists() and self._path.stat().st_size > MOST_BYTES:
                self._path.replace(self._path.with_name(f"older-{NAME}"))
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                os.write(fd, encode(said | about) + b"\n")
            finally:
                os.close(fd)
        except OSError as error:
            _log.error("%s cannot be written: %s", NAME, error.strerror or error)
            return False
        return True
