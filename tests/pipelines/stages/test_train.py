"""The train stage: a child that dies with its parent, goes on after a kill, and reports its failures in a sentence."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.backends.base import TrainRequest, fetch_base
from pipelines.backends.open import check_backend, open_backend
from pipelines.errors import Cancelled, MissingDependency, ModelError, TrainingError
from pipelines.recipe import Base, Train
from pipelines.stages.train import train

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def request_for(tmp_path: Path, tiny_base: Path) -> Any:
    """Builds a request over 80 examples; `trained` False marks no turn of them."""

    def build(*, trained: bool = True, **changes: Any) -> TrainRequest:
        turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello kim", "trained": trained}]
        lines = [json.dumps({"id": f"c{i}", "source": "new", "turns": turns}) for i in range(80)]
        path = tmp_path / "train.jsonl"
        path.write_text("\n".join(lines) + "\n")
        given = {"epochs": 3, "batch": {"per_device": 2, "accumulate": 2}, "max_tokens": 64, "save_every": 10, **changes}
        return TrainRequest(
            base=tiny_base, base_name="models/random", train=Train.model_validate(given), train_file=path, threads=1
        )

    return build


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(3000):
        if path.exists():
            return
        assert process.poll() is None, "it ended before it wrote " + path.name
        time.sleep(0.02)
    raise AssertionError(f"{path.name} never came")


def test_a_run_killed_with_9_goes_on_from_its_checkpoint_and_loses_no_step(tmp_path: Path, request_for: Any) -> None:
    out = tmp_path / "out"
    out.mkdir()
    request = request_for(epochs=4)

    def lease_is_lost_at_a_checkpoint() -> None:  # whichever is there: only the last two are kept
        if any((out / "checkpoints").glob("checkpoint-*/complete.json")):
            raise Cancelled("the lease was lost")

    with pytest.raises(Cancelled):
        train(request, out, lease_is_lost_at_a_checkpoint)
    assert not (out / "adapter").exists()
    result = train(request, out)
    assert result.steps == 80 and (out / "adapter" / "adapter_model.safetensors").is_file()
    steps = [line.split(",")[0] for line in (out / "loss_history.csv").read_text().splitlines()[1:]]
    assert steps == [str(step) for step in range(1, 81)]
    progress = [json.loads(line) for line in (out / "progress.jsonl").read_text().splitlines()]
    assert progress[-1]["done"] == progress[-1]["total"] == 80
    names = {path.name for path in out.iterdir()}
    assert names == {"adapter", "loss_history.csv", "training_metrics.json", "progress.jsonl", "train.log"}


def test_the_child_dies_with_a_parent_that_is_killed_with_9(tmp_path: Path, request_for: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "asked.json").write_text(request_for(epochs=200).model_dump_json())
    code = (
        "from pathlib import Path; from pipelines.stages.train import *; "
        f"train(TrainRequest.model_validate_json(Path({str(tmp_path / 'asked.json')!r}).read_text()), "
        f"Path({str(tmp_path / 'out')!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT)
    wait_for(tmp_path / "out" / "progress.jsonl", parent)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert eventually_still(tmp_path / "out")


def eventually_still(folder: Path) -> bool:
    """Whether nothing writes to a folder any more, within ten seconds."""
    for _ in range(10):
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        time.sleep(1.0)
        after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        if before == after:
            return True
    return False


def test_what_goes_wrong_in_the_child_is_raised_here_in_its_own_words(tmp_path: Path, request_for: Any) -> None:
    with pytest.raises(TrainingError, match="no token of the 0 training examples would get loss"):
        train(request_for(trained=False), tmp_path)


def test_a_child_that_dies_without_a_word_is_reported_with_its_signal(tmp_path: Path, request_for: Any) -> None:
    def kill_the_child() -> None:
        for entry in Path("/proc").glob("[0-9]*"):
            command = (entry / "cmdline").read_bytes() if (entry / "cmdline").exists() else b""
            if str(tmp_path / "request.json").encode() in command:
                os.kill(int(entry.name), signal.SIGKILL)

    if not Path("/proc").is_dir():
        pytest.skip("finds the child through /proc")
    with pytest.raises(TrainingError, match="killed by signal 9 without a word"):
        train(request_for(), tmp_path, kill_the_child)


def test_mlx_is_refused_before_anything_starts(tmp_path: Path, request_for: Any) -> None:
    with pytest.raises(MissingDependency, match="no `mlx` backend; set `backend: auto`"):
        train(request_for(backend="mlx"), tmp_path)
    with pytest.raises(MissingDependency):
        check_backend("mlx")
    assert open_backend("cpu").train is open_backend("auto").train


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
    assert fetch_base(Base(model=tiny_base.name), tiny_base.parent) == tiny_base
