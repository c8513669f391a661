"""The engine under its supervisor: follows the champion row, comes back after kill -9, and there is one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipelines.errors import Busy
from pipelines.gguf.protocol import Status
from service.engine.client import engine_status
from service.engine.state import EngineView, engine_view, read_watch
from service.engine.supervisor import Supervisor, _has_ended, run_supervisor
from service.settings import Settings
from service.store.session import Store, open_store
from tests.service.served import add_model, crown

# Long enough for a slow machine that does other work too; nothing here takes more than a few seconds on an idle one.
PATIENCE_SECONDS = 90.0


@pytest.fixture
def settings(sqlite_settings: Settings) -> Settings:
    """SQLite only: what the engine does is the same on both databases."""
    return replace(sqlite_settings, engine_context=300)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Settings]:
    """A supervised engine in a thread; its settings."""
    stop = threading.Event()
    thread = threading.Thread(target=run_supervisor, args=(settings, stop))
    thread.start()
    yield settings
    stop.set()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive() and engine_status(settings.home) is None


def wait_for(home: Path, true: Callable[[Status], bool], seconds: float = PATIENCE_SECONDS) -> Status:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = engine_status(home)
        if status is not None and true(status):
            return status
        time.sleep(0.05)
    raise AssertionError(f"the engine did not get there: {status}")


def wait_for_view(home: Path, champion: str | None, true: Callable[[EngineView], bool]) -> EngineView:
    """What is told of the engine, once it is so: the supervisor tells a moment after the engine knows."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true(view := engine_view(home, champion)):
        assert time.monotonic() < deadline, f"this is never told of the engine: {view}"
        time.sleep(0.05)
    return view


def has_ended(pid: int) -> bool:
    """Whether a process ends within some time; where a container's first process collects nobody, it stays a zombie."""
    with suppress(psutil.NoSuchProcess):
        process, deadline = psutil.Process(pid), time.monotonic() + PATIENCE_SECONDS
        while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.05)
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def serves(model_id: str) -> Callable[[Status], bool]:
    return lambda status: status.model == model_id


def test_without_a_champion_it_serves_nothing_and_says_so(engine: Settings) -> None:
    assert wait_for(engine.home, lambda status: status.state == "empty").model is None
    wait_for_view(engine.home, None, lambda view: view.state == "empty")


def test_it_loads_the_champion_and_follows_the_row(store: Store, engine: Settings) -> None:
    add_model(store, engine, "first")
    add_model(store, engine, "second", "second")
    crown(store, "first")
    wait_for(engine.home, serves("first"))
    crown(store, "second", "first")
    status = wait_for(engine.home, serves("second"))
    view = wait_for_view(engine.home, "second", lambda view: view.state == "serving")
    assert status.form is not None and (view.model_id, view.sha256) == ("second", status.form.sha256)
    assert os.readlink(engine.home / "champion") == "models/second"
    assert status.context == 300  # by setting


def test_after_kill_9_it_is_back_within_seconds_with_the_champion(store: Store, engine: Settings) -> None:
    add_model(store, engine, "first")
    crown(store, "first")
    before = wait_for(engine.home, serves("first"))
    os.kill(before.pid, signal.SIGKILL)
    wait_for(engine.home, lambda status: status.model == "first" and status.pid != before.pid)
    wait_for_view(engine.home, "first", lambda view: view.state == "serving")
    told = read_watch(engine.home)
    assert told is not None and told.restarts == 1 and told.engine_pid != before.pid


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one_answering(store: Store, engine: Settings) -> None:
    add_model(store, engine, "first")
    add_model(store, engine, "broken", "second").write_bytes(b"GGUF but not really")
    crown(store, "first")
    wait_for(engine.home, serves("first"))
    crown(store, "broken", "first")
    view = wait_for_view(engine.home, "broken", lambda view: "has changed" in view.sentence)
    assert (view.state, view.model_id) == ("loading", "first")


def test_a_second_supervisor_for_the_same_home_is_refused(engine: Settings) -> None:
    wait_for(engine.home, lambda status: status.state == "empty")
    with pytest.raises(Busy, match="an engine already runs"):
        run_supervisor(engine, threading.Event())


def test_sigterm_stops_supervisor_and_engine_and_an_orphan_is_ended_at_the_next_start(settings: Settings) -> None:
    add_model(store := open_store(settings), settings, "first")
    crown(store, "first")
    store.close()
    first = _start(settings)
    orphan = wait_for(settings.home, serves("first")).pid
    first.kill()
    first.wait()
    second = _start(settings)
    new = wait_for(settings.home, lambda status: status.model == "first" and status.pid != orphan)
    second.send_signal(signal.SIGTERM)
    assert second.wait(PATIENCE_SECONDS) == 0 and engine_status(settings.home) is None
    assert has_ended(orphan) and has_ended(new.pid)


def test_an_orphan_that_nobody_collects_counts_as_ended() -> None:
    zombie = subprocess.Popen([sys.executable, "-c", ""])  # ended, and not collected until we wait for it
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert _has_ended(zombie.pid)
    zombie.wait()
    assert _has_ended(zombie.pid) and not _has_ended(os.getpid())


def test_a_database_that_does_not_answer_stops_no_supervisor(settings: Settings) -> None:
    store = open_store(replace(settings, database_url="postgresql://nobody@127.0.0.1:1/nothing"))
    with closing(Supervisor(store, settings)) as supervisor:
        supervisor.step()
        wait_for(settings.home, lambda status: status.state == "empty")
        supervisor.step()
    store.close()


def test_a_watch_file_that_is_old_or_unreadable_means_that_nobody_runs_it(tmp_path: Path, settings: Settings) -> None:
    assert "perennial engine" in engine_view(tmp_path, "m").sentence
    (tmp_path / "engine.json").write_text("{")
    assert engine_view(tmp_path, "m").state == "down"
    told = {
        "supervisor_pid": 1,
        "engine_pid": 2,
        "model": "m",
        "sha256": "s",
        "loading": None,
        "restarts": 0,
        "problem": "",
    }
    (tmp_path / "engine.json").write_text(json.dumps(told | {"at": 100.0}))
    assert [engine_view(tmp_path, "m", clock=clock).state for clock in (104.0, 106.0)] == ["serving", "down"]
    assert engine_view(tmp_path, "another", clock=104.0).state == "loading"


def _start(settings: Settings) -> "subprocess.Popen[bytes]":
    script = (
        "from service.settings import load_settings\n"
        "from service.engine.supervisor import run_supervisor\n"
        "run_supervisor(load_settings())"
    )
    environment = os.environ | {"PERENNIAL_HOME": str(settings.home), "PYTHONPATH": str(settings.project)}
    return subprocess.Popen([sys.executable, "-c", script], env=environment)
