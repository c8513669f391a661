"""What Client and AsyncClient share: one way to make an outbox, and one to hand an item over."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from perennial.client.backlog import Backlog, Memory
from perennial.client.errors import Closed, Rejected, Unavailable
from perennial.client.options import Options
from perennial.client.outbox import FIRST_PAUSE_SECONDS, Outbox
from perennial.client.records import Item, Kind, Receipt, Status
from perennial.client.rejects import Rejects
from perennial.client.shapes import message_ids
from perennial.client.spool import Spool
from perennial.client.wire import Wire

_log = logging.getLogger("perennial.client")


class Core:
    """A wire, and an outbox before it unless every call waits for its answer."""

    def __init__(self, url: str, options: Options) -> None:
        """Raises ValueError for an address or a key that can never work; OSError for a spool, if errors are asked for."""
        timeout = httpx.Timeout(options.timeout_seconds, connect=min(5.0, options.timeout_seconds))
        http: dict[str, Any] = {
            "verify": options.verify,
            "proxy": options.proxy,
            "transport": options.transport,
            "timeout": timeout,
        }
        self._wire, self._options = Wire(url, options.key, http), options
        self._app = {} if options.app is None else {"app": options.app}
        self._is_closed = False
        backlog = _open_backlog(options)
        folder = Path(options.spool) if options.spool is not None and backlog.keeps else None
        self._outbox = Outbox(self._wire, backlog, Rejects(folder, options.on_reject), options.exit_seconds)

    @property
    def is_strict(self) -> bool:
        """Whether every call waits for its answer, and raises."""
        return self._options.raise_errors

    def fields(self, **given: Any) -> dict[str, Any]:
        """Fields of a body, with the client's app."""
        return self._app | given

    def hand_over(self, kind: Kind, make: Callable[[], Item]) -> Receipt:
        """Hands an item over and returns; in strict mode waits for the answer.

        Raises, in strict mode only:
            Rejected, Unavailable, Closed.
        """
        try:
            item = make()
        except Exception as error:  # whatever an app's objects do when they are asked for their fields
            if self.is_strict:
                raise
            self._outbox.reject(Item(kind, {}), str(error) if isinstance(error, Rejected) else type(error).__name__)
            return Receipt("", accepted=False)
        if self.is_strict:
            self._send_now(item)
            accepted = True
        else:
            accepted = self._outbox.append(item)
        return Receipt(item.id, message_ids(item) if item.kind == "conversation" else (), accepted)

    def flush(self, seconds: float | None) -> bool:
        """As Outbox.flush."""
        return self._outbox.flush(seconds)

    def close(self, seconds: float | None) -> bool:
        """As Outbox.close."""
        self._is_closed = True
        return self._outbox.close(self._options.exit_seconds if seconds is None else seconds)

    def status(self) -> Status:
        """As Outbox.status."""
        return self._outbox.status()

    def _send_now(self, item: Item) -> None:
        """Sends until there is an answer, or time is over."""
        deadline, pause = time.monotonic() + self._options.timeout_seconds, FIRST_PAUSE_SECONDS
        while True:
            if self._is_closed:
                raise Closed("this client is closed")
            outcome = self._wire.send(item)
            if outcome.fate == "stored":
                return
            if outcome.fate in ("rejected", "refused"):
                raise Rejected(outcome.detail, outcome.status)
            wait = max(pause, outcome.after_seconds or 0.0)
            if time.monotonic() + wait > deadline:
                raise Unavailable(outcome.detail)
            time.sleep(wait)
            pause *= 2


def _open_backlog(options: Options) -> Backlog:
    """The spool, or memory where there is none or it cannot be used."""
    memory = Memory(options.queue_items, options.queue_bytes)
    if options.spool is None or options.raise_errors:
        return memory
    try:
        return Spool(Path(options.spool), options.spool_bytes, memory)
    except OSError as error:
        _log.error("there is no spool, what waits is in memory only: %s", error)
        return memory
