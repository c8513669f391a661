"""The train stage: a child that dies with its parent, goes on after a kill, and reports its failures in a sentence."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.backends.base import TrainRequest
from pipelines.backends.fetch import fetch_base
from pipelines.backends.launch import train
from pipelines.backends.open import module_of
from pipelines.errors import ChildCrashed, ModelError, TrainingError
from pipelines.recipe import Base, Train

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def request_for(tmp_path: Path, tiny_base: Path) -> Any:
    """Builds a request over 80 examples; `trained` False marks no turn of them."""

    def build(*, trained: bool = True, **changes: Any) -> TrainRequest:
        turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello kim", "trained": trained}]
        lines = [json.dumps({"id": f"c{i}", "source": "new", "turns": turns}) for i in range(80)]
        path = tmp_path / "train.jsonl"
        path.write_text("\n".join(lines) + "\n")
        given = {
            "epochs": 3,
            "batch": {"per_device": 2, "accumulate": 2},
            "max_tokens": 64,
            "save_every": 10,
            **changes,
        }
        return TrainRequest(
            base=tiny_base, base_name="models/random", train=Train.model_validate(given), train_file=path, threads=1
        )

    return build


ENDLESS = 1_000_000  # epochs: no machine is slow enough for such a run to end before somebody looks


def wait_until(met: Callable[[], bool]) -> None:
    """For minutes, as a machine with other work may need them; the usual case takes seconds."""
    deadline = time.monotonic() + 300
    while not met():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_the_child_dies_with_a_parent_that_is_killed_with_9(tmp_path: Path, request_for: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "asked.json").write_text(request_for(epochs=ENDLESS).model_dump_json())
    code = (
        "from pathlib import Path; from pipelines.backends.launch import *; "
        f"train(TrainRequest.model_validate_json(Path({str(tmp_path / 'asked.json')!r}).read_text()), "
        f"Path({str(tmp_path / 'out')!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT)
    try:
        wait_until(lambda: (tmp_path / "out" / "progress.jsonl").exists() or parent.poll() is not None)
        [child] = psutil.Process(parent.pid).children()
    finally:
        parent.kill()
        parent.wait()

    wait_until(lambda: is_gone(child))


def is_gone(process: psutil.Process) -> bool:
    """Whether it ended; an orphan that nobody waits for may stay as a zombie."""
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def test_what_goes_wrong_in_the_child_is_raised_here_in_its_own_words(tmp_path: Path, request_for: Any) -> None:
    with pytest.raises(TrainingError, match="no token of the 0 training examples would get loss"):
        train(request_for(trained=False), tmp_path)


def test_a_child_that_dies_without_a_word_is_reported_with_its_signal(tmp_path: Path, request_for: Any) -> None:
    def kill_the_child() -> None:
        for child in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):
                if "pipelines.backends.child:run_here" in child.cmdline():
                    child.send_signal(signal.SIGKILL)

    with pytest.raises(ChildCrashed, match=r"run_here crashed with SIGKILL .*; the end of train\.log: "):
        train(request_for(), tmp_path, kill_the_child)


@pytest.mark.parametrize(
    ("system", "chip", "packages", "module"),
    [
        ("darwin", "arm64", True, "pipelines.backends.mlx.backend"),
        ("darwin", "arm64", False, "pipelines.backends.torch.backend"),
        ("darwin", "x86_64", True, "pipelines.backends.torch.backend"),
        ("linux", "x86_64", True, "pipelines.backends.torch.backend"),
        ("linux", "aarch64", True, "pipelines.backends.torch.backend"),
    ],
)
def test_auto_is_mlx_on_an_apple_chip_that_has_it_and_torch_everywhere_else(
    monkeypatch: pytest.MonkeyPatch, system: str, chip: str, packages: bool, module: str
) -> None:
    monkeypatch.setattr("pipelines.backends.open.sys.platform", system)
    monkeypatch.setattr("pipelines.backends.open.platform.machine", lambda: chip)
    monkeypatch.setattr("pipelines.backends.open.find_spec", lambda name: object() if packages else None)
    assert module_of("auto") == module


@pytest.mark.parametrize(
    ("base", "sentence"),
    [
        (Base(model="models/missing"), "there is no folder models/missing"),
        (Base(model="Qwen/Qwen2.5-0.5B-Instruct"), "or `hub: true` under `base`"),
        (Base(model="empty"), "without config.json"),
    ],
)
def test_a_base_that_is_not_here_is_never_taken_for_a_hub_id(tmp_path: Path, base: Base, sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=sentence):
        fetch_base(base, tmp_path)


def test_a_local_base_is_found_below_the_project(tiny_base: Path) -> None:
    assert fetch_base(Base(model=tiny_base.name), tiny_base.parent).folder == tiny_base
