"""Out of the spool and into the database, in a process of its own, so that no stream waits for a thread that records.

A chat leaves the spool after its commit. What a crash makes it store twice finds its messages there by their names, which are
derived or given: exactly once. One person's chats are stored in order.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import ArtifactError, Busy, PerennialError
from service.ingest import Incoming, Outcome, Writer
from service.ingest.losses import Losses
from service.ingest.reused import note_reused
from service.ingest.spool import Spool
from service.logs import place_of, set_up_logging
from service.private_files import private_files
from service.proxy.exchange import Exchange
from service.proxy.record import Elsewhere, Said, attempts, understand
from service.settings import Settings
from service.store.people import app_id
from service.store.session import Store, open_store
from service.vault import Vault, open_vault

_LOOK_SECONDS = 0.05
_MOST_WAVE = 100
_PAUSES = (0.5, 1.0, 2.0, 5.0)
_AGAIN_SECONDS = 60.0
_SWEEP_SECONDS = 3600.0
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
_decoder = msgspec.msgpack.Decoder(Exchange)


def store_chats(settings: Settings, parent: int) -> None:
    """What the process does: store what comes into the spool until it is told to end by SIGTERM, and once more then.

    Ends with the process `parent` too, however that ended.
    """
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then ends us
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # held back until now, so that none comes too early
    set_up_logging()
    with private_files():
        store = open_store(settings)
        vault = open_vault(settings, store)
        with Writer(store, vault, settings.max_queue) as writer:
            spool = Spool(settings.spool, vault, settings.spool_bytes)
            Storing(settings, store, vault, writer, spool, Losses(settings.home)).run(
                lambda: ending.is_set() or os.getppid() != parent
            )
        store.close()


@dataclass
class _Under:
    """An exchange under way: what is tried for it one after the other, and what became of the last try."""

    name: str
    said: Said
    tries: Iterator[Incoming]
    done: "Future[list[Outcome]]"


class Storing:
    """Takes what is in the spool to the writer."""

    def __init__(
        self, settings: Settings, store: Store, vault: Vault, writer: Writer, spool: Spool, losses: Losses
    ) -> None:
        self._consent, self._folder = settings.proxy_consent, settings.spool
        self._store, self._vault, self._writer, self._spool, self._losses = store, vault, writer, spool, losses
        self._put_off: dict[str, float] = {}
        self._keep_seconds, self._sweep_at = settings.retention_days * 86_400.0, 0.0

    def run(self, is_ending: Callable[[], bool]) -> None:
        """Store whatever comes until it ends, and once more then."""
        failures = 0
        while True:
            is_last = is_ending()
            try:
                with self._spool.only_drain() as is_ours:
                    if is_ours:
                        self.store_all()
                        self._sweep()
                failures = 0
            except (Busy, SQLAlchemyError, OSError) as error:  # the database is away, or its disk full: later
                _log.info("chats_wait", error=type(error).__name__)
                failures += 1
            self._losses.keep()
            if is_last:
                return
            _sleep(_PAUSES[min(failures, len(_PAUSES)) - 1] if failures else _LOOK_SECONDS, is_ending)

    def _sweep(self) -> None:
        """What could not be read is kept as long as raw text is, for whoever looks into it."""
        if time.monotonic() >= self._sweep_at:
            self._spool.drop_set_aside(time.time() - self._keep_seconds)
            self._sweep_at = time.monotonic() + _SWEEP_SECONDS

    def store_all(self) -> None:
        """Store what is in the spool now.

        Raises:
            Busy, SQLAlchemyError, OSError: the database does not take it; what is not stored stays in the spool.
        """
        now = time.monotonic()
        names = [name for name in self._spool.names() if self._put_off.get(name, 0.0) <= now]
        wave: list[tuple[str, Said]] = []
        people: set[tuple[str, str]] = set()
        for name in names:
            said = self._understood(name)
            if said is None:
                continue
            person = (said.exchange.who.app, said.user)
            if person in people or len(wave) >= _MOST_WAVE:
                self._store_wave(wave)
                wave, people = [], set()
            wave.append((name, said))
            people.add(person)
        self._store_wave(wave)

    def _understood(self, name: str) -> Said | None:
        """What a chat in the spool says; None if nothing comes of it, and it is out of the spool then."""
        try:
            exchange = _decoder.decode(self._spool.read(name))
        except FileNotFoundError:
            return None
        except (ArtifactError, msgspec.MsgspecError):
            self._losses.count("damaged")
            self._spool.set_aside(name)
            return None
        with self._dropping(name):
            said = understand(exchange)
            if said is not None and not self._is_forgotten(said):
                return said
            self._drop(name, None if said is None else "forgotten")
        return None

    @contextmanager
    def _dropping(self, name: str) -> Iterator[None]:
        """What goes wrong inside with one chat is no reason that the others wait for ever; that the database is away is."""
        try:
            yield
        except (Busy, SQLAlchemyError, OSError):
            raise
        except Elsewhere:
            self._drop(name, "elsewhere")
        except PerennialError as error:
            self._drop(name, "unreadable", type(error).__name__)
        except Exception as error:  # one of ours: the chat is kept for whoever mends it
            _log.error("chat_set_aside", error=type(error).__name__, place=place_of(error))
            self._losses.count("unreadable", type(error).__name__)
            self._spool.set_aside(name)

    def _is_forgotten(self, said: Said) -> bool:
        """Whether the person was forgotten after this chat, which therefore must not come back."""
        later = [one for one in self._store.erasures.read().values() if one.at.timestamp() >= said.exchange.at]
        if not later:
            return False
        with self._store.read() as session:
            app = app_id(session, said.exchange.who.app)
        hashed = None if app is None else self._vault.person_hash(app, said.user)
        return any(one.hash == hashed for one in later)

    def _store_wave(self, wave: Sequence[tuple[str, Said]]) -> None:
        """Store chats of different people together; each is out of the spool once it is stored."""
        under = [one for one in (self._begin(name, said) for name, said in wave) if one is not None]
        while under:
            ended = [(one, one.done.result()[0]) for one in under]
            self._spool.remove(one.name for one, outcome in ended if outcome.status < 400)
            under = [one for one, outcome in ended if outcome.status >= 400 and self._again(one, outcome)]

    def _begin(self, name: str, said: Said) -> _Under | None:
        with self._dropping(name):
            tries = attempts(self._store, self._vault, said, self._consent)
            return _Under(name, said, tries, self._writer.submit([next(tries)]))
        return None

    def _again(self, one: _Under, outcome: Outcome) -> bool:
        """Whether a chat that was not stored is tried in another way now."""
        if outcome.result == "failed":  # through no fault of its own; the writer's log has more
            self._put_off[one.name] = time.monotonic() + _AGAIN_SECONDS
            return False
        following = next(one.tries, None)
        if following is None:
            self._drop(one.name, "refused", outcome.result)
            return False
        if one.said.name is not None:
            note_reused(self._folder, self._vault, one.said.exchange.who.app, one.said.name)
        one.done = self._writer.submit([following])
        return True

    def _drop(self, name: str, reason: str | None, error: str | None = None) -> None:
        if reason is not None:
            self._losses.count(reason, error)
        self._spool.remove([name])


def _sleep(seconds: float, is_ending: Callable[[], bool]) -> None:
    """Sleep so long, or until it ends."""
    until = time.monotonic() + seconds
    while not is_ending() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_SECONDS))
