"""`perennial engine`: keeps one engine process running and has it serve the champion.

    every 0.25 s:  engine dead?               start it again (at once, then after growing pauses)
                   champion row != served?    tell it to load the new form; the old one answers until the swap
                   write engine.json          what is served, for pages and API; older than 5 s = nobody watches

One supervisor per home folder: it holds the lock on engine.lock for as long as it lives.
"""

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import Busy, PerennialError
from pipelines.gguf.protocol import LoadRequest, Status, socket_path
from pipelines.isolated import Child, ended_with
from service.engine.client import engine_status, load_form
from service.engine.state import WatchFile, watch_path, write_watch
from service.settings import Settings
from service.store import files, models
from service.store.session import Store, open_store

POLL_SECONDS = 0.25
BEAT_SECONDS = 1.0
# A crash after a quiet while is answered at once; one right after the other ever more slowly.
PAUSES_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
QUIET_SECONDS = 30.0
RETRY_LOAD_SECONDS = 10.0
DEAF_SECONDS = 60.0
STOP_SECONDS = 10.0
MAX_LOG_BYTES = 5 << 20
_ENGINE = "pipelines.gguf.engine:serve_here"
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def run_supervisor(settings: Settings, stop: threading.Event | None = None) -> None:
    """Supervise the engine until `stop` is set, or SIGTERM or SIGINT comes when called in the main thread.

    Raises:
        Busy: another supervisor already runs for this home folder.
    """
    stop = stop or threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    settings.home.mkdir(parents=True, exist_ok=True)
    with _only_one(settings.home), closing(open_store(settings)) as store, closing(Supervisor(store, settings)) as it:
        while not stop.wait(POLL_SECONDS):
            it.step()


class Supervisor:
    """The engine process, what it should serve, and what went wrong last."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._child: Child | None = None
        self._crashes, self._restarts = 0, -1
        self._started = self._heard = self._beat = 0.0
        self._next_start = 0.0
        self._loader = ThreadPoolExecutor(1, "load")
        self._loading: Future[Status] | None = None
        self._wanted: LoadRequest | None = None
        self._retry_at = 0.0
        self._problem = ""
        self._watch: WatchFile | None = None
        self._is_mute = False
        _end_orphan(settings.home)
        self._follow_link()

    def step(self) -> None:
        """One look at everything; never waits long."""
        clock = time.monotonic()
        self._keep_alive(clock)
        status = engine_status(self._settings.home) if self._child else None
        if status is not None:
            self._heard = clock
            self._converge(status, clock)
        elif self._child and clock - self._heard > DEAF_SECONDS:
            self._problem = f"the engine did not answer for {DEAF_SECONDS:.0f} s and was ended"
            self._child.process.kill()
        self._tell(status, clock)

    def close(self) -> None:
        """Stop the engine, politely first."""
        if self._child:
            self._child.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._child.process.wait(STOP_SECONDS)
            self._child.close()
        self._loader.shutdown(wait=True)
        with suppress(OSError):
            watch_path(self._settings.home).unlink(missing_ok=True)

    def _keep_alive(self, clock: float) -> None:
        if self._child and (code := self._child.process.poll()) is not None:
            self._child.close()
            self._note_crash(clock, ended_with(code))
        if self._child is None and clock >= self._next_start:
            try:
                self._child = _start(self._settings)
            except OSError as error:
                self._problem = f"the engine cannot be started: {error.strerror}"
                self._next_start = clock + RETRY_LOAD_SECONDS
                _log.error("engine_not_started", error=error.strerror)
                return
            self._started = self._heard = clock
            self._restarts += 1
            self._retry_at = 0.0
            _log.info("engine_started", pid=self._child.process.pid, restarts=self._restarts)

    def _note_crash(self, clock: float, how: str) -> None:
        self._crashes = 0 if clock - self._started > QUIET_SECONDS else self._crashes + 1
        pause = PAUSES_SECONDS[min(self._crashes, len(PAUSES_SECONDS) - 1)]
        self._problem = f"the engine ended with {how} and is started again"
        self._child, self._next_start = None, clock + pause
        _log.warning("engine_ended", how=how, pause_seconds=pause)

    def _converge(self, status: Status, clock: float) -> None:
        """Have the engine load the champion if it serves something else."""
        if self._loading is not None:
            if not self._loading.done():
                return
            self._finish_load(self._loading, clock)
            self._loading = None
        wanted = self._champion()
        if wanted is None or (status.model == wanted.model and status.form == wanted.form):
            return
        if wanted == self._wanted and clock < self._retry_at:
            return
        self._wanted = wanted
        self._loading = self._loader.submit(load_form, self._settings.home, wanted)

    def _finish_load(self, load: "Future[Status]", clock: float) -> None:
        assert self._wanted is not None
        error = load.exception()
        if error is None:
            self._problem, self._retry_at = "", 0.0
            self._follow_link()
            _log.info("engine_serves", model=self._wanted.model, sha256=self._wanted.form.sha256)
        elif isinstance(error, PerennialError):
            self._problem, self._retry_at = str(error), clock + RETRY_LOAD_SECONDS
            _log.error("engine_load_failed", model=self._wanted.model, error=str(error))
        else:
            raise error

    def _champion(self) -> LoadRequest | None:
        try:
            with self._store.read() as session:
                form = models.champion_form(session)
        except SQLAlchemyError as error:
            _log.warning("champion_unknown", error=type(error).__name__)
            return self._wanted
        if form is None:
            return None
        return LoadRequest(model=form.model_id, form=files.served(self._settings.home, form))

    def _follow_link(self) -> None:
        """Mend the champion link if a crash came between a promotion and it; a silent database leaves it as it is."""
        try:
            with self._store.read() as session:
                form = models.champion_form(session)
            if form is not None:
                files.link_champion(self._settings.home, form)
        except (SQLAlchemyError, OSError) as error:
            _log.warning("champion_link_unknown", error=type(error).__name__)

    def _tell(self, status: Status | None, clock: float) -> None:
        """Write engine.json when something changed, and at least once a second."""
        watch = WatchFile(
            supervisor_pid=os.getpid(),
            engine_pid=self._child.process.pid if self._child else None,
            model=status.model if status else None,
            sha256=status.form.sha256 if status and status.form else None,
            loading=self._wanted.model if self._loading and self._wanted else None,
            restarts=max(0, self._restarts),
            problem=self._problem,
        )
        if watch == self._watch and clock - self._beat < BEAT_SECONDS:
            return
        self._watch, self._beat = watch, clock
        try:
            write_watch(self._settings.home, watch, time.time())
            self._is_mute = False
        except OSError as error:  # a full disk; whoever wants to know asks the engine (state.py)
            if not self._is_mute:
                _log.warning("engine_json_not_written", error=error.strerror)
            self._is_mute = True


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    with (home / "engine.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Busy(f"an engine already runs for {home}; one is enough for a machine") from error
        yield


def _start(settings: Settings) -> Child:
    """The engine, which dies with this process instead of lingering with its model."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    log = settings.logs / "engine.log"
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.unlink()
    room = {"context": settings.engine_context, "sequences": settings.engine_chats}
    return Child(_ENGINE, {"socket": str(socket_path(settings.home)), **room}, log=log)


def _end_orphan(home: Path) -> None:
    """End the engine of a supervisor that was killed; we hold the lock, so nobody watches it any more."""
    status = engine_status(home)
    if status is None:
        return
    _log.info("orphan_engine_ended", pid=status.pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(status.pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if _has_ended(status.pid):
                return
            time.sleep(0.1)


def _has_ended(pid: int) -> bool:
    """Whether a process runs no more. A zombie does not; the first process of a container may never collect it."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except ProcessLookupError:
        return True
    except OSError:  # it ended between the two looks, or this system has no /proc
        return False
    return stat.rpartition(")")[2].split()[0] in ("Z", "X")
