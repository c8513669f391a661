"""Preferences with MLX beside torch: from one adapter, through the same steps, the same losses, rewards, gradients and looks."""

import csv
import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.backends.base import PreferOutput, PreferRequest
from pipelines.backends.torch.prefer import prefer as torch_prefer
from pipelines.errors import Cancelled, RecipeError
from pipelines.recipe import Preference, Train
from tests.pipelines.backends.preferring import pair, sft_example, write_adapter, write_lines

mx = pytest.importorskip("mlx.core")
pytest.importorskip("mlx_lm")
backend = importlib.import_module("pipelines.backends.mlx.prefer")
loop = importlib.import_module("pipelines.backends.mlx.loop")

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
LOOSE = {"displacement": 9.0, "length": 99.0, "kl": 99.0, "refusal": 100.0, "sycophancy": 100.0}
FIGURES = ("loss", "margin", "chosen_reward", "rejected_reward", "reference_point", "anchor_loss", "grad_norm")
LOOKS = ("chosen", "kl", "length", "refusals", "dev_accuracy")


@pytest.fixture(scope="module")
def sft(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tiny_base, tmp_path_factory.mktemp("sft") / "adapter", moved=0.02)


@pytest.fixture
def request_for(tmp_path: Path, tiny_base: Path, sft: Path) -> Any:
    """Builds a request over 16 pairs (two prompts of other lengths), dev pairs, anchors and frozen examples."""

    def pairs(start: int, count: int) -> list[dict[str, Any]]:
        return [
            pair(f"p{i}", f"What is {i} + 1?" + " Yes?" * (i % 3), f"The answer is {i + 1}.", "hello kim!")
            for i in range(start, start + count)
        ]

    general = [sft_example(f"a{i}", f"17 + {i}?", f"The answer is {17 + i}.") for i in range(14)]
    files = {
        "train_file": write_lines(tmp_path / "train.jsonl", pairs(0, 16)),
        "dev_file": write_lines(tmp_path / "dev.jsonl", pairs(100, 6)),
        "anchors_file": write_lines(tmp_path / "anchors.jsonl", general[:8]),
        "frozen_file": write_lines(tmp_path / "frozen.jsonl", general[8:]),
    }

    def build(method: str, device: str = "mlx", **preference: Any) -> PreferRequest:
        given = {
            "learning_rate": 2e-3,
            "epochs": 1,
            "batch": {"per_device": 4, "accumulate": 1},
            "evaluate_every": 4,
            "save_every": 2,
            "probes": 6,
            "stops": LOOSE,
            **preference,
        }
        return PreferRequest(
            base=tiny_base,
            base_name="models/random",
            train=Train.model_validate({"max_tokens": 96, "backend": device, "precision": "float32"}),
            adapter=sft,
            threads=1,
            preference=Preference.model_validate(given),
            method=method,
            **files,
        )

    return build


def run(request: PreferRequest, out: Path) -> PreferOutput:
    out.mkdir(exist_ok=True)
    output: PreferOutput = backend.prefer(request, out)
    return output


def table(out: Path, name: str, columns: tuple[str, ...]) -> np.ndarray[Any, Any]:
    with (out / name).open() as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(row[column] or "nan") for column in columns] for row in rows])


@pytest.mark.parametrize("method", ["dpo", "kto", "bco"])
def test_a_run_goes_the_way_that_it_goes_in_torch(tmp_path: Path, request_for: Any, method: str) -> None:
    ours, theirs = tmp_path / "mlx", tmp_path / "torch"
    output = run(request_for(method), ours)
    theirs.mkdir()
    expected = torch_prefer(request_for(method, "cpu"), theirs)
    assert output.steps == expected.steps and output.kept_step == expected.kept_step > 0
    same = [
        name for name in PreferOutput.model_fields if name in ("pairs", "good", "bad", "tokens", "anchors", "left_out")
    ]
    assert all(getattr(output, name) == getattr(expected, name) for name in same)
    assert (output.desirable, output.undesirable) == (expected.desirable, expected.undesirable)
    for columns in (("step", "learning_rate"), FIGURES, LOOKS):
        figures = [table(out, "preference_history.csv", columns) for out in (ours, theirs)]
        np.testing.assert_allclose(*figures, rtol=2e-3, atol=1e-4)
    assert np.isfinite(table(ours, "preference_history.csv", ("loss", "anchor_loss"))[1:5]).all()
    dev = [table(out, "preference_dev.csv", ("before", "after")) for out in (ours, theirs)]
    np.testing.assert_allclose(*dev, rtol=1e-3, atol=1e-3)


def test_a_run_stopped_half_way_resumes_to_the_same_history_and_weights_without_asking_the_reference_again(
    tmp_path: Path, request_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    run(request_for("bco", epochs=2), whole)
    report = loop.report_progress

    def stop_at_five(out: Path, stage: str, done: int, total: int, **figures: Any) -> None:
        report(out, stage, done, total, **figures)
        if len(list((out / "checkpoints").glob("checkpoint-4/complete.json"))):
            raise Cancelled("the lease was lost")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "report_progress", stop_at_five)
        patch.setattr(loop.time, "monotonic", iter(range(0, 10**6, 2)).__next__)  # so that every step reports
        with pytest.raises(Cancelled):
            run(request_for("bco", epochs=2), half)
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.backends.reference._compute", lambda *_: pytest.fail("asked again"))
        run(request_for("bco", epochs=2), half)
    columns = (*FIGURES, "learning_rate", *LOOKS)
    histories = [table(out, "preference_history.csv", columns) for out in (whole, half)]
    np.testing.assert_array_equal(*histories)
    weights = [mx.load(str(out / "adapter" / "adapter_model.safetensors")) for out in (whole, half)]
    assert all(mx.array_equal(weights[0][name], weights[1][name]).item() for name in weights[0])
    assert sorted(os.listdir(whole)) == sorted(os.listdir(half))


def test_a_rule_that_trips_ends_the_run_and_the_last_good_weights_are_kept(
    tmp_path: Path, request_for: Any, sft: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.backends.watch._FEWEST_PROBES", 4)
    stops = {**LOOSE, "kl": 1e-4}
    output = run(request_for("dpo", epochs=4, evaluate_every=2, stops=stops), tmp_path / "out")
    assert output.stopped_by is not None and "KL" in output.stopped_by.upper()
    assert output.steps < output.planned_steps and output.kept_step < output.steps
    if output.kept_step == 0:
        kept, began = (mx.load(str(folder / "adapter_model.safetensors")) for folder in (tmp_path / "out/adapter", sft))
        assert all(mx.array_equal(kept[name], began[name]).item() for name in began)


def test_the_full_method_is_refused_in_a_sentence(tmp_path: Path, request_for: Any) -> None:
    request = request_for("dpo")
    full = request.model_copy(update={"train": request.train.model_copy(update={"method": "full"})})
    with pytest.raises(RecipeError, match="`train.method: full` leaves none"):
        run(full, tmp_path / "out")
