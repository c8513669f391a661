"""The processes of `perennial up`: they end with it, are started again, and not for ever."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from pipelines.errors import PerennialError
from service.cli.parts import MAX_FAILURES, WINDOW_SECONDS, Ends, Parts
from service.demo.processes import free_port
from service.engine.state import STALE_SECONDS, engine_view
from service.settings import Settings
from service.store.health import last_beat
from service.store.session import open_store
from tests.disks import fill, small_disk
from tests.service.cli.test_up import PROJECT, UP, environment

PATIENCE_SECONDS = 90.0


def wait_for(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not met():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def family_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Web, worker, the engine's supervisor and the engine; the making of the first champion has failed by then."""

    def running() -> list[psutil.Process]:
        return [one for one in psutil.Process(process.pid).children(recursive=True) if runs(one)]

    wait_for(lambda: len(running()) == 4)
    return running()


@contextmanager
def up(home: Path, port: int) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """`perennial up` without a first champion, once it says that it is up; and what it says."""
    log = home.parent / f"{home.name}.log"
    with log.open("a") as output:
        process = subprocess.Popen(
            [*UP.split(), "--names", "rules"], cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env=environment(home, port, PERENNIAL_RECIPE="nowhere.yaml"), text=True,
        )  # fmt: skip
    try:
        wait_for(lambda: "Perennial is up" in log.read_text() or process.poll() is not None)
        yield process, log
    finally:
        process.terminate()
        process.wait(60)


def test_up_is_alone_in_its_home_and_killed_it_leaves_nobody_behind(tmp_path: Path) -> None:
    port = free_port(0)
    with up(tmp_path / "home", port) as (first, log):
        family = family_of(first)
        other = subprocess.run(
            UP.split(), cwd=PROJECT, env=environment(tmp_path / "home", free_port(0)), capture_output=True, text=True
        )
        assert other.returncode == 1 and other.stderr.count("\n") == 1
        assert f"runs for the home {tmp_path / 'home'} already" in other.stderr and "is up" not in other.stdout
        next(one for one in family if "serve" in one.cmdline()).kill()
        # the socket is `up`'s: whoever comes now waits for the next web process instead of being refused
        assert is_ready(port) and first.poll() is None
        assert "serve ended with SIGKILL; starting it again in 1 s" in log.read_text()
        family = family_of(first)
        first.kill()
        first.wait()
        wait_for(lambda: not any(runs(one) for one in family))
        log.unlink()
        with up(tmp_path / "home", port) as (second, log):
            assert second.poll() is None and is_ready(port)
    assert second.returncode == 0 and "Traceback" not in log.read_text()


def test_a_full_disk_ends_nobody_and_is_over_when_it_is(tmp_path: Path) -> None:
    port = free_port(0)
    with small_disk(tmp_path / "disk", 16 << 20) as disk, up(disk / "home", port) as (process, _):
        family = family_of(process)
        everything = fill(disk)
        wait_for(lambda: not is_ready(port))
        wait_for(lambda: time.time() - (disk / "home" / "engine.json").stat().st_mtime > 2 * STALE_SECONDS)
        assert engine_view(disk / "home", None).state == "empty", "it answers, though nobody can write that down"
        everything.unlink()
        wait_for(lambda: is_ready(port))
        row = {"id": "c", "user": "ana", "messages": [{"role": "user", "content": "Hi"}]}
        sent = httpx.post(f"http://127.0.0.1:{port}/v1/conversations", json=row, trust_env=False, timeout=30)
        assert sent.status_code == 201 and all(runs(one) for one in family) and process.poll() is None


def is_ready(port: int) -> bool:
    asked = httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False, timeout=PATIENCE_SECONDS)
    return asked.status_code == 200


def test_a_part_ends_when_the_pipe_from_up_closes(sqlite_settings: Settings) -> None:
    words = [sys.executable, "-m", "service.part", str(os.getpid()), "worker"]
    part = subprocess.Popen(
        words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=PROJECT, env=environment(sqlite_settings.home, 1)
    )
    store = open_store(sqlite_settings)

    def was_seen() -> bool:
        with store.read() as session:
            return last_beat(session) is not None

    wait_for(was_seen)
    store.close()
    assert part.stdin is not None and part.poll() is None
    part.stdin.close()
    assert part.wait(PATIENCE_SECONDS) == 3


def test_a_web_process_that_never_gets_to_work_ends_up_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(os, "getpid", lambda: 1)  # it looks for its parent, and ends at once
    with Parts({"serve": ["serve", "--port", "0"]}, (), said.append, pause_seconds=0.01) as parts:
        with pytest.raises(PerennialError, match=f"`perennial serve` ended {MAX_FAILURES} times before it was at work"):
            while True:
                parts.look(is_up=True)
                time.sleep(0.01)
    assert len(said) == MAX_FAILURES - 1


def test_only_the_last_minute_counts_however_long_it_runs() -> None:
    ends = Ends()
    for hour in range(100):
        assert ends.note(hour * WINDOW_SECONDS, was_at_work=False) == 1.0
        assert not ends.is_hopeless
    pauses = [ends.note(100 * WINDOW_SECONDS + second, was_at_work=True) for second in range(40)]
    assert pauses == [min(30.0, second + 1.0) for second in range(40)] and not ends.is_hopeless


def test_one_that_never_was_at_work_is_given_up_and_one_that_was_is_not() -> None:
    ends = Ends()
    for second in range(MAX_FAILURES):
        assert not ends.is_hopeless
        ends.note(float(second), was_at_work=False)
    assert ends.is_hopeless
