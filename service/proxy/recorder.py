"""From the hot path to the disk: one thread writes what passed into the spool, and a process of its own stores it.

    put -> [memory, bounded] -> spooler -> [spool, sealed, bounded] -> storing.py's process -> commit -> out of the spool

An exchange is safe from its file's fsync on.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import msgspec
import structlog

from pipelines.errors import DataError
from pipelines.isolated import ended_with
from service.ingest.losses import Losses
from service.ingest.spool import Spool
from service.proxy.exchange import Exchange
from service.proxy.reading import asker, parse_object, unpack
from service.proxy.storing import store_chats
from service.settings import Settings
from service.vault import Vault

MOST_HELD_BYTES = 128 << 20
_KEEP_SECONDS = 2.0
_START_AGAIN_SECONDS = 2.0
_END_SECONDS = 8.0
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Recorder:
    """Takes exchanges from any thread without waiting, and stores them."""

    def __init__(self, settings: Settings, vault: Vault) -> None:
        self._settings = settings
        self._spool = Spool(settings.spool, vault, settings.spool_bytes)
        self._losses = Losses(settings.home)
        self._storing = _Process(settings)
        self._held: deque[Exchange] = deque()
        self._held_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._last_name = 0
        self._spooler = threading.Thread(target=self._run, name="chat-spooler", daemon=True)

    def __enter__(self) -> Self:
        self._spooler.start()
        self._storing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Everything that was put is on disk when this returns, and stored if the database takes it within seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._spooler.join()
        self._storing.close()

    def miss(self, reason: str) -> None:
        """Count an exchange that is not recorded (losses.py has the reasons)."""
        self._losses.count(reason)

    def put(self, exchange: Exchange) -> None:
        """Have an exchange recorded; counted as lost if too many are held already."""
        size = len(exchange.request) + len(exchange.answer)
        with self._changed:
            is_full = self._held_bytes + size > MOST_HELD_BYTES
            if not is_full:
                self._held.append(exchange)
                self._held_bytes += size
                self._changed.notify()
        if is_full:
            self._losses.count("busy")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held or self._closing, _KEEP_SECONDS)
                taken, is_last = list(self._held), self._closing
                self._held.clear()
                self._held_bytes = 0
            if taken:
                self._keep(taken)
            self._losses.keep()
            if is_last and not taken:
                return

    def _keep(self, taken: Sequence[Exchange]) -> None:
        named = [one for one in map(self._with_user, taken) if one is not None]
        kept = self._spool.put([(self._next_name(one), msgspec.msgpack.encode(one)) for one in named])
        for _ in named[kept:]:
            self._losses.count("no_room")

    def _with_user(self, exchange: Exchange) -> Exchange | None:
        """The exchange with its person's id, wherever that stood; None if it names nobody."""
        if exchange.who.user is not None:
            return exchange
        with suppress(DataError):
            user = asker(parse_object(unpack(exchange.request, exchange.request_encoding))) or self._settings.proxy_user
            if user is not None and 1 <= len(user) <= 256 and "\0" not in user:
                return msgspec.structs.replace(exchange, who=msgspec.structs.replace(exchange.who, user=user))
            self._losses.count("unnamed")
            return None
        self._losses.count("unreadable")
        return None

    def _next_name(self, exchange: Exchange) -> str:
        self._last_name = max(time.time_ns(), self._last_name + 1)
        return f"{self._last_name:020d}-{exchange.id}"


class _Process:
    """The process that stores, started again when it ends, until it is closed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context = multiprocessing.get_context("spawn")
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._run, name="chat-storing", daemon=True)

    def start(self) -> None:
        self._watch.start()

    def close(self) -> None:
        """End after what is in the spool now, or after some seconds; what is left there is for the next start."""
        self._closed.set()
        self._watch.join()

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # of this thread, and what it starts begins so
        while not self._closed.is_set():
            process = self._context.Process(target=store_chats, args=(self._settings, os.getpid()), daemon=True)
            process.start()
            while process.is_alive() and not self._closed.is_set():
                process.join(0.1)
            process.terminate()
            process.join(_END_SECONDS)
            if process.is_alive():  # the database hangs
                process.kill()
                process.join()
            if not self._closed.is_set():
                _log.error("storing_ended", how=ended_with(process.exitcode or 0))
                self._closed.wait(_START_AGAIN_SECONDS)
