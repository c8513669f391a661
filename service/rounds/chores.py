"""What a worker does beside rounds: it curates what came in, deletes originals that are due, and says it is alive."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Self

import structlog

from pipelines.errors import Cancelled, InputError, MissingDependency
from pipelines.isolated import StillOurs
from service.curation import Curator, Lane, Spending, curate_due, delete_raw, delete_rejected, note_look, open_curator
from service.log_files import sweep_logs
from service.models.gc import collect
from service.rounds.aftercare import Aftercare, bring_due
from service.rounds.requests import sweep_leftovers
from service.settings import Settings
from service.store import curation, health
from service.store.erasing import sweep_orphans
from service.store.session import Store, is_unavailable
from service.vault import Vault

Chore = Callable[[], bool]
"""Does a little of what is due; True if there may be more."""

_AT_A_TIME = 32
_RETENTION_SECONDS = 3600.0
_ORPHAN_SECONDS = 24 * 3600.0
_WEIGHTS_SECONDS = 60.0
_RETRY_SECONDS = 60.0
_IDLE_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@contextmanager
def open_chores(settings: Settings, store: Store, vault: Vault, apart: bool = True) -> Iterator[Sequence[Chore]]:
    """The chores of a worker; the curators' processes live as long as the block.

    `apart`: what is heavy to curate is curated beside everything else, in a thread and a process of its own; otherwise
    once nothing light is left.
    """
    spending = Spending()
    with ExitStack() as stack:
        curation = stack.enter_context(_Curation(settings, store, vault, spending, "light" if apart else None))
        retention, orphans, weights = _Retention(settings, store), _OrphanKeys(store), _Weights(settings, store)
        chores = [_alive(store), curation.curate_some, retention.delete_some, orphans.sweep, weights.sweep]
        if apart:
            chores.append(stack.enter_context(_HeavyLane(settings, store, vault, spending)).watch)
            chores.append(stack.enter_context(Aftercare(settings, store)).watch)
        else:
            chores.append(partial(bring_due, settings, store))
        yield chores


def _alive(store: Store) -> Chore:
    owner = f"{socket.gethostname()}:{os.getpid()}"

    def beat() -> bool:
        health.beat(store, owner)
        return False

    return beat


class _Curation:
    """A batch of one lane per call. Without a model for names, and no leave to go without, it waits and says so.

    The curator's process is started once there is something to curate, and ended when that was a minute ago.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        vault: Vault,
        spending: Spending,
        lane: Lane | None,
        still_ours: StillOurs = lambda: None,
    ) -> None:
        self._settings, self._store, self._vault = settings, store, vault
        self._spending, self._lane, self._still_ours = spending, lane, still_ours
        self._process = ExitStack()
        self._curator: Curator | None = None
        self._not_before = self._worked_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def curate_some(self) -> bool:
        """Curate a batch; whether there was one. What keeps the curator from starting is said once a minute."""
        if time.monotonic() < self._not_before:
            return False
        try:
            done = self._curate()
        except (InputError, MissingDependency) as error:
            self._close()
            self._not_before = time.monotonic() + _RETRY_SECONDS
            _log.error("curation_waits", why=str(error))
            return False
        if done:
            _log.info("curated", lane=self._lane or "all", **done)
        return bool(done)

    def _curate(self) -> dict[str, int]:
        if not self._has_work():
            if self._curator is not None and time.monotonic() > self._worked_at + _IDLE_SECONDS:
                self._close()
            return {}
        if self._curator is None:
            lane: Lane = "light" if self._lane == "light" else "heavy"
            opened = open_curator(self._settings, lane, self._still_ours, self._store)
            self._curator = self._process.enter_context(opened)
        self._worked_at = time.monotonic()
        return curate_due(self._store, self._vault, self._curator, _AT_A_TIME, self._lane, self._spending)

    def _has_work(self) -> bool:
        with self._store.read() as session:
            lanes = (False, True) if self._lane is None else (self._lane == "heavy",)
            return any(curation.is_due(session, heavy) for heavy in lanes)

    def _close(self) -> None:
        self._curator = None
        self._process.close()


class _HeavyLane:
    """Curates what is heavy in a thread and a process of its own, so that nobody else waits for it."""

    def __init__(self, settings: Settings, store: Store, vault: Vault, spending: Spending) -> None:
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._curation = _Curation(settings, store, vault, spending, "heavy", self._go_on)
        self._thread = threading.Thread(target=self._run, name="heavy-curation", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def watch(self) -> bool:
        """Nothing for the caller to do; raises what ended the thread, which ends the worker as any chore's error does."""
        if self._error is not None:
            raise self._error
        return False

    def _run(self) -> None:
        try:
            with self._curation:
                while not self._stop.is_set():
                    if not self._curate():
                        self._stop.wait(_LOOK_SECONDS)
        except Cancelled:  # the worker ends: the conversation waits for the next one
            pass
        except BaseException as error:
            self._error = error

    def _curate(self) -> bool:
        try:
            return self._curation.curate_some()
        except Exception as error:
            if not is_unavailable(error):
                raise
            _log.warning("heavy_curation_waits_for_database", error=type(error).__name__)
            return False

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Cancelled("the worker ends")


class _Retention:
    """Deletes raw text, what was rejected and logs that are older than the settings allow, looking once an hour."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._due = 0.0

    def delete_some(self) -> bool:
        if time.monotonic() < self._due:
            return False
        with self._store.begin() as session:
            until = note_look(session).trusted
        deleted = 0 if until is None else delete_raw(self._store, until, self._settings.retention_days)
        rejected = 0 if until is None else delete_rejected(self._store, until, self._settings.rejected_days)
        if deleted + rejected == 0:
            self._due = time.monotonic() + _RETENTION_SECONDS
            sweep_logs(self._settings, time.time())
        else:
            _log.info("originals_deleted", conversations=deleted, rejected=rejected)
        return deleted + rejected > 0


class _OrphanKeys:
    """Deletes keys of people who never came to be, looking once a day."""

    def __init__(self, store: Store) -> None:
        self._store, self._due = store, 0.0

    def sweep(self) -> bool:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _ORPHAN_SECONDS
            with self._store.begin() as session:
                until = note_look(session).trusted
            if until is not None and (swept := sweep_orphans(self._store, until)):
                _log.info("orphan_keys_deleted", keys=swept)
        return False


class _Weights:
    """Deletes weights that nobody may use any more, once a minute: of cancelled rounds, and what an erased person taught."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store, self._due = settings, store, 0.0

    def sweep(self) -> bool:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _WEIGHTS_SECONDS
            sweep_leftovers(self._settings, self._store)
            collect(self._store, self._settings, keep=None, by="worker")
        return False
