"""From the hot path to the database, off the hot path: two threads with a spool on disk between them.

    put -> [memory, bounded] -> spooler -> [spool, sealed, bounded] -> drainer -> writer -> commit -> out of the spool

An exchange is safe from its file's fsync on. It leaves the spool after the commit, and what a crash makes it store twice
finds its messages there by their names, which are derived: exactly once. One person's exchanges are stored in order.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import ArtifactError, Busy, DataError, PerennialError
from service.ingest import Incoming, Outcome, Writer
from service.ingest.losses import Losses
from service.ingest.reused import note_reused
from service.ingest.spool import Spool
from service.logs import place_of
from service.proxy.exchange import Exchange
from service.proxy.reading import asker, parse_object, unpack
from service.proxy.record import Elsewhere, Said, attempts, understand
from service.settings import Settings
from service.store.people import app_id
from service.store.session import Store
from service.vault import Vault

MOST_HELD_BYTES = 128 << 20
_LOOK_SECONDS = 0.5
_MOST_WAVE = 100
_PAUSES = (0.5, 1.0, 2.0, 5.0)
_AGAIN_SECONDS = 60.0
_END_SECONDS = 5.0
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
_decoder = msgspec.msgpack.Decoder(Exchange)


class Recorder:
    """Takes exchanges from any thread without waiting, and stores them."""

    def __init__(self, settings: Settings, store: Store, vault: Vault, writer: Writer) -> None:
        self._settings = settings
        self._spool = Spool(settings.spool, vault, settings.spool_bytes)
        self._losses = Losses(settings.home)
        self._drain = _Drain(settings, store, vault, writer, self._spool, self._losses)
        self._held: deque[Exchange] = deque()
        self._held_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._last_name = 0
        self._spooler = threading.Thread(target=self._run, name="chat-spooler", daemon=True)

    def __enter__(self) -> Self:
        self._spooler.start()
        self._drain.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Everything that was put is on disk when this returns, and stored if the database takes it within seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._spooler.join()
        self._drain.close(_END_SECONDS)
        self._losses.keep()

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
                self._changed.wait_for(lambda: self._held or self._closing)
                taken = list(self._held)
                self._held.clear()
                self._held_bytes = 0
            if not taken:
                return
            self._keep(taken)
            self._drain.wake()

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


@dataclass
class _Under:
    """An exchange under way: what is tried for it one after the other, and what became of the last try."""

    name: str
    said: Said
    tries: Iterator[Incoming]
    done: "Future[list[Outcome]]"


class _Drain:
    """Takes what is in the spool to the writer."""

    def __init__(
        self, settings: Settings, store: Store, vault: Vault, writer: Writer, spool: Spool, losses: Losses
    ) -> None:
        self._consent, self._folder = settings.proxy_consent, settings.spool
        self._store, self._vault, self._writer, self._spool, self._losses = store, vault, writer, spool, losses
        self._awake = threading.Event()
        self._ending = threading.Event()
        self._put_off: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="chat-drainer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._awake.set()

    def close(self, seconds: float) -> None:
        """End after what is in the spool now, or after so many seconds; what is left there is for the next start."""
        self._ending.set()
        self._awake.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        failures = 0
        while True:
            is_last = self._ending.is_set()
            self._awake.clear()
            try:
                with self._spool.only_drain() as is_ours:
                    if is_ours:
                        self._drain_all()
                failures = 0
            except (Busy, SQLAlchemyError, OSError) as error:  # the database is away, or its disk full: later
                _log.info("chats_wait", error=type(error).__name__)
                failures += 1
            except Exception as error:  # one of ours; the thread must go on
                _log.error("chats_wait", error=type(error).__name__, place=place_of(error))
                failures += 1
            self._losses.keep()
            if is_last:
                return
            if failures:
                self._ending.wait(_PAUSES[min(failures, len(_PAUSES)) - 1])
            else:
                self._awake.wait(_LOOK_SECONDS)

    def _drain_all(self) -> None:
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
