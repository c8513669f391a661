"""What a child process may do to its parent, and a parent to its child, without either taking the other along."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.errors import Cancelled, ChildCrashed, ChildTimedOut, InputError
from pipelines.isolated import Child, child_environment, run_in_child

PROJECT = Path(__file__).resolve().parents[2]
BODIES = "tests.pipelines.gguf.crash"
HERE = "tests.pipelines.test_isolated"


def give_back(arguments: dict[str, Any]) -> dict[str, Any]:
    return arguments


def tell_environment(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: os.environ.get(name) for name in arguments["names"]}


def fail(_arguments: dict[str, Any]) -> dict[str, Any]:
    raise ValueError("no good")


def open_counter(arguments: dict[str, Any]) -> Any:
    start = arguments["start"]
    return lambda job: {"sum": start + job["n"]}


def start_another(arguments: dict[str, Any]) -> dict[str, Any]:
    """Start a process, write down its id, and wait."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    Path(arguments["path"]).write_text(str(other.pid))
    time.sleep(300)
    return {}


def wait_for_end(process: psutil.Process) -> None:
    deadline = time.monotonic() + 60
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.02)


def written(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, "it was never written"
        time.sleep(0.02)
    return path.read_text()


def test_a_crash_names_the_signal() -> None:
    with pytest.raises(ChildCrashed, match="segfault crashed with SIGSEGV"):
        run_in_child(f"{BODIES}:segfault", {}, timeout_seconds=60)


def test_an_error_that_nobody_expected_is_a_crash_with_its_last_words() -> None:
    with pytest.raises(ChildCrashed, match="fail crashed with exit status 1: ValueError: no good"):
        run_in_child(f"{HERE}:fail", {}, timeout_seconds=60)


def test_what_a_child_prints_is_in_its_log_and_the_end_of_it_in_the_sentence(tmp_path: Path) -> None:
    log = tmp_path / "work.log"
    with pytest.raises(ChildCrashed, match=r"; the end of work\.log: ValueError: no good"):
        run_in_child(f"{HERE}:fail", {}, log=log)
    assert "Traceback" in log.read_text()


def test_a_child_that_hangs_is_stopped() -> None:
    with pytest.raises(ChildTimedOut, match="longer than 2 s"):
        run_in_child(f"{BODIES}:hang", {}, timeout_seconds=2)


def test_an_error_of_ours_comes_back_from_the_child_as_it_is() -> None:
    with pytest.raises(InputError, match="^a clear sentence$"):
        run_in_child(f"{BODIES}:refuse", {}, timeout_seconds=60)


def test_noise_on_standard_output_does_not_disturb_the_answer() -> None:
    assert run_in_child(f"{BODIES}:chatter", {"n": 3}, timeout_seconds=60) == {"n": 3}


def test_arguments_and_answers_may_be_longer_than_a_pipe() -> None:
    long = {"text": "ü\n" * 2_000_000}
    assert run_in_child(f"{HERE}:give_back", long, timeout_seconds=60) == long


def test_a_function_that_gives_one_back_answers_further_lines() -> None:
    with Child(f"{HERE}:open_counter", {"start": 40}) as child:
        assert child.answer(60) == {}
        assert [child.ask({"n": n}, 60) for n in (1, 2)] == [{"sum": 41}, {"sum": 42}]


def test_the_environment_differs_for_the_one_child_that_asks() -> None:
    names = {"names": ["HF_HUB_OFFLINE", "OMP_WAIT_POLICY"]}
    before = dict(os.environ)
    told = run_in_child(f"{HERE}:tell_environment", names, environment={"HF_HUB_OFFLINE": "0"})
    assert told == {"HF_HUB_OFFLINE": "0", "OMP_WAIT_POLICY": "passive"} and dict(os.environ) == before
    assert run_in_child(f"{HERE}:tell_environment", names)["HF_HUB_OFFLINE"] == "1"


def test_a_lost_claim_ends_the_child_before_it_is_told() -> None:
    others = set(psutil.Process().children())  # a database that other tests started
    children: list[psutil.Process] = []

    def lost() -> None:
        children.extend(set(psutil.Process().children()) - others)
        raise Cancelled("the lease was lost")

    with pytest.raises(Cancelled):
        run_in_child(f"{BODIES}:hang", {}, still_ours=lost)
    assert children and not any(child.is_running() for child in children)


def test_a_child_ends_when_the_pipe_to_it_closes(tmp_path: Path) -> None:
    """All that a system without Linux's prctl has."""
    with Child(f"{HERE}:start_another", {"path": str(tmp_path / "pid")}) as child:
        other = psutil.Process(int(written(tmp_path / "pid")))
        assert child.process.stdin is not None
        child.process.stdin.close()
        assert child.process.wait(60) == 3
        other.kill()


def test_the_leader_of_a_group_takes_all_of_it_along(tmp_path: Path) -> None:
    with Child(f"{HERE}:start_another", {"path": str(tmp_path / "pid")}, own_group=True) as child:
        other = psutil.Process(int(written(tmp_path / "pid")))
        assert child.process.stdin is not None
        child.process.stdin.close()
        assert child.process.wait(60) == -signal.SIGKILL
        wait_for_end(other)


def test_a_child_dies_with_a_parent_that_is_killed_with_9(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    code = f"from pipelines.isolated import *; run_in_child('{HERE}:start_another', {{'path': {str(path)!r}}})"
    with subprocess.Popen([sys.executable, "-c", code], env=child_environment(), cwd=PROJECT) as parent:
        other = psutil.Process(int(written(path)))
        child = psutil.Process(other.ppid())
        parent.kill()
    wait_for_end(child)
    other.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the closed pipe ends it")
def test_a_child_whose_parent_died_while_it_started_ends_by_itself() -> None:
    request = {"function": f"{BODIES}:hang", "arguments": {}, "parent": 1 << 30}
    command = [sys.executable, "-P", "-m", "pipelines.isolated"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=child_environment(), text=True
    ) as child:
        assert child.stdin is not None and child.stderr is not None
        child.stdin.write(json.dumps(request) + "\n")
        child.stdin.flush()
        assert child.wait(60) == 1 and "is gone" in child.stderr.read()
