"""The engine under its supervisor: follows the champion row, comes back after kill -9, and there is one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.errors import Busy
from pipelines.gguf.protocol import Status
from service.serving.client import engine_status
from service.serving.state import engine_view, read_watch
from service.serving.supervisor import run_supervisor
from service.settings import Settings
from service.store.session import Store, open_store
from tests.service.served import add_model, crown

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Settings]:
    """A supervised engine in a thread; its settings."""
    stop = threading.Event()
    thread = threading.Thread(target=run_supervisor, args=(settings, stop))
    thread.start()
    yield settings
    stop.set()
    thread.join(30)
    assert not thread.is_alive() and engine_status(settings.home) is None


def wait_for(home: Path, true: Callable[[Status], bool], seconds: float = 30.0) -> Status:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = engine_status(home)
        if status is not None and true(status):
            return status
        time.sleep(0.05)
    raise AssertionError(f"the engine did not get there: {status}")


def serves(model_id: str) -> Callable[[Status], bool]:
    return lambda status: status.model == model_id


def test_without_a_champion_it_serves_nothing_and_says_so(engine: Settings) -> None:
    assert wait_for(engine.home, lambda status: status.state == "empty").model is None
    time.sleep(0.5)
    assert engine_view(engine.home, None).state == "empty"


def test_it_loads_the_champion_and_follows_the_row_within_a_second(store: Store, engine: Settings) -> None:
    add_model(store, engine, "first")
    add_model(store, engine, "second", "second")
    crown(store, "first")
    wait_for(engine.home, serves("first"))
    started = time.monotonic()
    crown(store, "second", "first")
    status = wait_for(engine.home, serves("second"))
    assert time.monotonic() - started < 5 and status.form is not None
    time.sleep(0.6)
    view = engine_view(engine.home, "second")
    assert (view.state, view.model_id, view.sha256) == ("serving", "second", status.form.sha256)
    assert os.readlink(engine.home / "champion") == "models/second"


def test_after_kill_9_it_is_back_within_seconds_with_the_champion(store: Store, engine: Settings) -> None:
    add_model(store, engine, "first")
    crown(store, "first")
    before = wait_for(engine.home, serves("first"))
    os.kill(before.pid, signal.SIGKILL)
    started = time.monotonic()
    after = wait_for(engine.home, lambda status: status.model == "first" and status.pid != before.pid)
    assert after.pid != before.pid and time.monotonic() - started < 10
    time.sleep(1.2)
    told = read_watch(engine.home)
    assert told is not None and told.restarts == 1


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one_answering(store: Store, engine: Settings) -> None:
    add_model(store, engine, "first")
    add_model(store, engine, "broken", "second").write_bytes(b"GGUF but not really")
    crown(store, "first")
    wait_for(engine.home, serves("first"))
    crown(store, "broken", "first")
    deadline = time.monotonic() + 10
    while "has changed" not in engine_view(engine.home, "broken").sentence and time.monotonic() < deadline:
        time.sleep(0.1)
    view = engine_view(engine.home, "broken")
    assert (view.state, view.model_id) == ("loading", "first") and "has changed" in view.sentence


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
    assert second.wait(20) == 0 and engine_status(settings.home) is None
    for pid in (orphan, new.pid):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_watch_file_that_is_old_or_unreadable_means_that_nobody_runs_it(tmp_path: Path, settings: Settings) -> None:
    assert "perennial engine" in engine_view(tmp_path, "m").sentence
    (tmp_path / "engine.json").write_text("{")
    assert engine_view(tmp_path, "m").state == "down"
    told = {"supervisor_pid": 1, "engine_pid": 2, "model": "m", "sha256": "s", "loading": None, "restarts": 0, "problem": ""}
    (tmp_path / "engine.json").write_text(json.dumps(told | {"at": 100.0}))
    assert [engine_view(tmp_path, "m", clock=clock).state for clock in (104.0, 106.0)] == ["serving", "down"]
    assert engine_view(tmp_path, "another", clock=104.0).state == "loading"


def _start(settings: Settings) -> "subprocess.Popen[bytes]":
    script = (
        "from service.settings import load_settings\n"
        "from service.serving.supervisor import run_supervisor\n"
        "run_supervisor(load_settings())"
    )
    environment = os.environ | {"PERENNIAL_HOME": str(settings.home), "PYTHONPATH": str(settings.project)}
    return subprocess.Popen([sys.executable, "-c", script], env=environment)
