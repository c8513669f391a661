"""The worker: turns rounds as child processes, and goes on curating, keeping leases and deleting what is due.

worker ──stdin pipe──> service.rounds.child (own process group) ──> training, scoring, llama.cpp in their own processes
   └── heartbeat thread: renews the lease; when it is lost or the round cancelled, kills the whole group
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import Cancelled
from pipelines.isolated import Child, ended_with
from service.liveness import another_lives
from service.room import RoundRoom
from service.rounds.child import settings_record
from service.rounds.chores import Chore, open_chores
from service.rounds.leases import LeaseWatch
from service.rounds.quiet import LOOK_AGAIN_SECONDS, Pause, Surroundings, objection, only_of
from service.rounds.requests import Claim, claim_round, release_dead, say_why_waiting, sweep_leftovers
from service.rounds.schedule import running_schedules
from service.settings import Settings
from service.store import crashes
from service.store.clock import database_time
from service.store.session import Store, is_unavailable, open_store
from service.store.tables import now
from service.vault import open_vault

MAX_CRASHES = 3
_IDLE_SECONDS = 0.5
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def run_worker(
    settings: Settings,
    once: bool = False,
    stop: threading.Event | None = None,
    chores: Sequence[Chore] | None = None,
    around: Surroundings | None = None,
) -> None:
    """Work until `stop` is set; with `once`, until no round waits and no chore (curation, retention) is due.

    A worker that ends, or is killed, loses nothing: its round goes on in the next worker from the last finished stage.
    """
    if stop is None:
        stop = threading.Event()
        _stop_on_terminate(stop)
    store = open_store(settings)
    vault = open_vault(settings, store)
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
    try:
        with _noted(store):
            release_dead(store, socket.gethostname())
            sweep_leftovers(settings, store)
            opened = open_chores(settings, store, vault, apart=not once) if chores is None else nullcontext(chores)
            with running_schedules(store), opened as due:
                _work(settings, store, owner, due, once, stop, around or Surroundings())
    finally:
        store.close()


@contextmanager
def _noted(store: Store) -> Iterator[None]:
    """Notes how this worker ends, and at its start how those before it did that could not say so any more."""
    host, pid = socket.gethostname(), os.getpid()
    with store.begin() as session:
        crashes.note_killed(session, host, another_lives, database_time(session))
    try:
        yield
    except Exception as error:
        _log.error("worker_crashed", error=type(error).__name__)
        with suppress(SQLAlchemyError), store.begin() as session:
            crashes.note_crash(session, f"{host}:{pid}", type(error).__name__, database_time(session))
        raise
    with suppress(SQLAlchemyError), store.begin() as session:
        crashes.note_end(session, f"{host}:{pid}")


def _stop_on_terminate(stop: threading.Event) -> None:
    """Let SIGTERM and Ctrl-C end the loop in order, where this is a process's main thread."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())


def _work(
    settings: Settings,
    store: Store,
    owner: str,
    chores: Sequence[Chore],
    once: bool,
    stop: threading.Event,
    around: Surroundings,
) -> None:
    running: RoundProcess | None = None
    room, watch = RoundRoom(settings), LeaseWatch()
    try:
        while not stop.is_set():
            try:
                running = _next(settings, store, owner, room, watch, running, around)
                busy = any([chore() for chore in chores])
            except Exception as error:
                if not (is_unavailable(error) or isinstance(error, OSError)):  # an OSError: a full disk, say
                    raise
                _log.warning("worker_waits", error=type(error).__name__)
                busy = False
            if once and running is None and not busy:
                return
            if not busy:
                stop.wait(_IDLE_SECONDS)
    finally:
        if running is not None:
            running.give_up()


def _next(
    settings: Settings,
    store: Store,
    owner: str,
    room: RoundRoom,
    watch: LeaseWatch,
    running: "RoundProcess | None",
    around: Surroundings,
) -> "RoundProcess | None":
    """The round that is to run now: the one that runs, or a new one, or none without room on the disk or at this time."""
    if running is not None and running.ended():
        running = None
        sweep_leftovers(settings, store)
    if running is not None and (why := running.pause.due()):
        running.put_back(why, LOOK_AGAIN_SECONDS)
        return None
    if room.allows():
        return running or _claim(settings, store, owner, watch, around)
    if running is not None:
        running.put_back(room.sentence)
        sweep_leftovers(settings, store)
    say_why_waiting(store, room.sentence)
    return None


def _claim(
    settings: Settings, store: Store, owner: str, watch: LeaseWatch, around: Surroundings
) -> "RoundProcess | None":
    claimed = claim_round(store, owner, settings.lease_seconds, watch)
    if claimed is None:
        return None
    row, claim = claimed
    only = only_of(row)
    if why := objection(only, around):
        claim.put_back(why, LOOK_AGAIN_SECONDS)
        return None
    try:
        return RoundProcess(settings, claim, Pause(only, settings.rounds / f"{claim.round_id:04d}", around))
    except OSError:  # no room for its log, no process to be had
        claim.release()
        raise


class RoundProcess:
    """A round running as a child process group, with its lease kept alive by a thread of this process."""

    def __init__(self, settings: Settings, claim: Claim, pause: Pause | None = None) -> None:
        self._settings, self._claim = settings, claim
        self.pause = pause or Pause(None, settings.rounds, Surroundings())
        self._finished, self._lease_lost, self._cancelled = threading.Event(), threading.Event(), threading.Event()
        self._child = _start(settings, claim)
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._heart.start()

    def __enter__(self) -> "RoundProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_up()

    @property
    def pid(self) -> int:
        """The id of the child's process."""
        return self._child.process.pid

    def ended(self) -> bool:
        """True once the child is gone and what it left behind is dealt with."""
        code = self._child.process.poll()
        if code is None:
            return False
        self._end()
        if self._lease_lost.is_set():  # killed because the database was away too long: no fault of the round
            self._claim.release()
        elif code != 0 and not self._cancelled.is_set():
            self._crashed(code)
        return True

    def give_up(self) -> None:
        """Kill the group and let the next worker go on with the round at once."""
        self._end()
        self._claim.release()

    def put_back(self, why: str, wait_seconds: float = 0.0) -> None:
        """Kill the group and let the round wait, saying why; it goes on from its newest checkpoint."""
        self._lease_lost.set()  # if that cannot be written now, as on a full disk, it still was no crash
        self._end()
        self._claim.put_back(why, wait_seconds)

    def _end(self) -> None:
        self._finished.set()
        self._child.close()
        self._heart.join(timeout=self._settings.lease_seconds)

    def _crashed(self, code: int) -> None:
        """A crash is tried again from the last finished stage; the third in a row on one stage ends the round."""
        how = ended_with(code)
        try:
            crashes = self._claim.count_crash()
        except Cancelled as error:
            self._cancel(error)
            return
        _log.error("round_crashed", round=self._claim.round_id, how=how)
        if crashes < MAX_CRASHES:
            self._claim.release()
            return
        log = log_path(self._settings, self._claim.round_id).relative_to(self._settings.home)
        message = f"the process of the round ended with {how} {crashes} times in one stage; its last words are in {log}"
        self._claim.finish("error", message, now())

    def _cancel(self, why: Cancelled) -> None:
        _log.info("round_stopped", round=self._claim.round_id, why=str(why))
        self._claim.finish("cancelled", str(why), now())

    def _beat(self) -> None:
        """Renew the lease until the round ends; without a lease the child must not go on."""
        lease = self._settings.lease_seconds
        held_until = time.monotonic() + lease
        while not self._finished.wait(min(lease / 3, 2.0)):
            try:
                self._claim.renew(lease)
                held_until = time.monotonic() + lease
            except Cancelled as error:
                if self._claim.ended_by_us():  # the child recorded the end, and may still promote its model
                    return
                self._cancelled.set()
                self._child.close()
                self._cancel(error)
                return
            except Exception as error:
                if not is_unavailable(error) or time.monotonic() > held_until - 1:
                    _log.error("lease_lost", round=self._claim.round_id, error=type(error).__name__)
                    self._lease_lost.set()
                    self._child.close()
                    return


def log_path(settings: Settings, round_id: int) -> Path:
    """Where a round's process writes what it prints: ids, counts and tracebacks, never user text."""
    return settings.logs / f"round-{round_id:04d}.log"


def _start(settings: Settings, claim: Claim) -> Child:
    path = log_path(settings, claim.round_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    claimed = {"round": claim.round_id, "fence": claim.fence, "settings": settings_record(settings)}
    return Child("service.rounds.child:turn", claimed, log=path, own_group=True)
