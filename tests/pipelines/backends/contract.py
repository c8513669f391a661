"""What every training backend keeps, asked through the launcher and read from what it leaves: no test here knows torch.

test_contract.py runs these for every name in pipelines.backends.open.BACKENDS that this machine can open; a new backend is one
line there. `device` is the name, `whole` a finished run of SFT on it.
"""

import csv
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipelines.backends.base import BackendName, Machine, PreferOutput, PreferRequest, TrainOutput, TrainRequest
from pipelines.backends.examples import IGNORED, load_examples
from pipelines.backends.launch import prefer, train
from pipelines.errors import Cancelled, DataError, ModelError, PerennialError, TrainingError
from pipelines.recipe import Preference, Train
from pipelines.tokenizer import ChatTokenizer
from tests.pipelines.backends.preferring import pair, write_lines
from tests.pipelines.conftest import MakeBase

EPOCHS = 10
GPUS = ("cuda", "mps")
SETTINGS: dict[str, Any] = {
    "learning_rate": 2e-3,
    "epochs": EPOCHS,
    "batch": {"per_device": 4, "accumulate": 2},
    "max_tokens": 96,
    "evaluate_every": 20,
    "save_every": 10,
    "early_stopping": None,
    "lora": {"r": 4, "alpha": 8, "dropout": 0.1},
    "precision": "float32",
}


class Run(NamedTuple):
    """A request, the folder that it trained in, and what that gave."""

    request: TrainRequest
    out: Path
    output: TrainOutput


def rows(ending: str) -> list[dict[str, Any]]:
    """64 chats whose last answer gets no loss: `ending` must make no difference to what is learnt."""
    return [
        {
            "id": f"c{i}",
            "source": "general" if i % 4 == 0 else "new",
            "turns": [
                {"role": "user", "content": f"What is {i} + 1?"},
                {"role": "assistant", "content": f"The answer is {i + 1}.", "trained": True},
                {"role": "user", "content": "And then?"},
                {"role": "assistant", "content": ending},
            ],
        }
        for i in range(64)
    ]


UNTRAINED = {"id": "no loss", "source": "new", "turns": [{"role": "user", "content": "hi"}]}


def request_for(device: BackendName, base: Path, train_file: Path, **changes: Any) -> TrainRequest:
    settings = Train.model_validate({**SETTINGS, "backend": device, **changes})
    return TrainRequest(base=base, base_name="models/random", train=settings, train_file=train_file, threads=1)


def run_whole(device: BackendName, base: Path, folder: Path, ending: str) -> Run:
    request = request_for(device, base, write_lines(folder / "train.jsonl", [*rows(ending), UNTRAINED]))
    out = folder / "out"
    out.mkdir()
    return Run(request, out, train(request, out))


def assert_same_weights(out: Path, other: Path, device: BackendName) -> None:
    """To the last bit where sums have one order; a GPU adds in any order."""
    ours, theirs = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (out, other))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        np.testing.assert_allclose(tensor, theirs[name], rtol=0, atol=1e-4 if device in GPUS else 0, err_msg=name)


def losses_of(out: Path) -> list[float]:
    with (out / "loss_history.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def progress_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "progress.jsonl").read_text().splitlines()]


def after_a_checkpoint(out: Path) -> Callable[[], None]:
    """A claim that is lost once a checkpoint is whole."""

    def check() -> None:
        if list((out / "checkpoints").glob("*/complete.json")):
            raise Cancelled("the lease was lost")

    return check


# ---- the machine ----------------------------------------------------------------------------------------------------


def test_it_says_what_it_trains_on(device: BackendName, machine: Machine) -> None:
    assert machine.device == device and machine.memory_bytes > 0 and machine.checkpointing_from > 0
    assert all(sentence.startswith("`train.method: ") for sentence in machine.refuses.values())


def test_a_method_that_it_refuses_is_refused_before_anything_is_read(
    device: BackendName, machine: Machine, tmp_path: Path
) -> None:
    for method, sentence in machine.refuses.items():
        request = request_for(device, tmp_path / "none", tmp_path / "none.jsonl", method=method)
        with pytest.raises(TrainingError) as refusal:
            train(request, tmp_path)
        assert str(refusal.value) == sentence


# ---- SFT ------------------------------------------------------------------------------------------------------------


def test_it_leaves_an_adapter_in_peft_format_and_nothing_that_only_training_needs(whole: Run) -> None:
    names = {"adapter", "loss_history.csv", "training_metrics.json", "progress.jsonl", "train.log"}
    assert {path.name for path in whole.out.iterdir()} == names
    config = json.loads((whole.out / "adapter" / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 4, 8)
    assert config["base_model_name_or_path"] == "models/random"
    weights = load_file(whole.out / "adapter" / "adapter_model.safetensors")
    assert {str(tensor.dtype) for tensor in weights.values()} == {"float32"}
    assert {name.rsplit(".", 2)[1] for name in weights} == {"lora_A", "lora_B"}
    assert any(tensor.any() for name, tensor in weights.items() if "lora_B" in name)


def test_the_loss_falls_and_every_step_is_in_the_history(whole: Run) -> None:
    output = whole.output
    assert output.last_loss < 0.7 * output.first_loss, (output.first_loss, output.last_loss)
    assert output.steps == output.planned_steps == 8 * EPOCHS
    with (whole.out / output.loss_history).open() as file:
        history = list(csv.DictReader(file))
    assert [int(row["step"]) for row in history] == list(range(1, output.steps + 1))
    assert float(history[0]["loss"]) == pytest.approx(output.first_loss, abs=1e-4)


def test_progress_is_told_from_the_first_step_to_the_last(whole: Run) -> None:
    lines = progress_of(whole.out)
    assert {line["stage"] for line in lines} == {"train"} and lines[0]["done"] == 0
    assert lines[-1]["done"] == lines[-1]["total"] == whole.output.steps
    assert lines[-1]["tokens_per_second"] > 0 and lines[-1]["loss"] > 0


def test_what_it_chose_is_written_down(whole: Run) -> None:
    output, metrics = whole.output, json.loads((whole.out / whole.output.metrics).read_text())
    assert (output.precision, output.kind, output.trained_on) == ("float32", "adapter", "full")
    assert output.choices.keys() >= {"device", "threads", "precision", "optimizer"} and all(output.choices.values())
    assert metrics["choices"] == dict(output.choices) and metrics["versions"] and metrics["base"] == "models/random"
    assert metrics["hyper_parameters"] == whole.request.train.model_dump(mode="json")


def test_exactly_the_marked_tokens_get_loss(whole: Run) -> None:
    request, output = whole.request, whole.output
    data = load_examples(request.train_file, ChatTokenizer(request.base), request.train.max_tokens)
    marked = sum(label != IGNORED for example in data.examples for label in example.labels)
    assert output.trained_tokens == EPOCHS * marked
    assert (output.examples, dict(output.left_out)) == (64, {"no_trained_token": 1})


def test_an_answer_without_a_mark_changes_no_loss_and_no_weight(
    device: BackendName, whole: Run, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if device != "mlx":  # whose child computes with another library than this process
        request.getfixturevalue("same_process")
    other = run_whole(device, whole.request.base, tmp_path, ending="4, 5, 6!")
    assert losses_of(other.out) == pytest.approx(losses_of(whole.out), rel=1e-4 if device in GPUS else 0, abs=0)
    assert_same_weights(other.out, whole.out, device)


def test_a_killed_run_goes_on_to_the_very_weights_of_one_that_was_not(
    device: BackendName, whole: Run, tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        train(whole.request, tmp_path, after_a_checkpoint(tmp_path))
    assert not (tmp_path / "adapter").exists()
    before = len(progress_of(tmp_path))
    resumed = train(whole.request, tmp_path)
    assert progress_of(tmp_path)[before]["done"] >= 10
    assert resumed.tokens == whole.output.tokens
    assert losses_of(tmp_path) == pytest.approx(losses_of(whole.out), rel=1e-4 if device in GPUS else 0, abs=0)
    assert_same_weights(tmp_path, whole.out, device)


@pytest.mark.usefixtures("same_process")
def test_a_loss_that_is_no_number_ends_the_run_with_advice(
    device: BackendName, whole: Run, make_base: MakeBase, tmp_path: Path
) -> None:
    base = make_base()
    write_nan(base / "model.safetensors", "model.norm.weight")
    with pytest.raises(TrainingError, match="the loss became nan at step 1; lower train.learning_rate"):
        train(whole.request.model_copy(update={"base": base}), tmp_path)
    assert not (tmp_path / "adapter").exists()


def write_nan(path: Path, name: str) -> None:
    """Make the first value of a bfloat16 tensor no number, in place."""
    with path.open("r+b") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        tensor = json.loads(file.read(length))[name]
        assert tensor["dtype"] == "BF16"
        file.seek(8 + length + tensor["data_offsets"][0])
        file.write(struct.pack("<H", 0x7FC0))


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(
    ("field", "content", "kind", "sentence"),
    [
        ("train_file", None, DataError, "cannot read"),
        ("train_file", '{"secret": "010-1234-5678"}\n', DataError, r"train\.jsonl, line 1"),
        ("base", None, ModelError, "."),
    ],
)
def test_a_file_that_it_cannot_use_is_named_in_a_sentence_without_its_text(
    whole: Run, tmp_path: Path, field: str, content: str | None, kind: type[PerennialError], sentence: str
) -> None:
    path = tmp_path / "train.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(kind, match=sentence) as refusal:
        train(whole.request.model_copy(update={field: path}), tmp_path)
    assert "train.jsonl" in str(refusal.value) and "1234" not in str(refusal.value)


# ---- preferences ----------------------------------------------------------------------------------------------------


def pairs(start: int, count: int) -> list[dict[str, Any]]:
    return [
        pair(f"p{i}", f"What is {i} + 1?", f"The answer is {i + 1}.", "hello kim!") for i in range(start, start + count)
    ]


def run_preference(whole: Run, method: str, folder: Path) -> PreferOutput:
    lone = {**pair("lone", "hi", "", "go away", kind="labelled"), "chosen": None}
    long = pair("long", "hi", "word " * 200, "hello kim!")
    settings = {"learning_rate": 1e-3, "epochs": 2, "batch": {"per_device": 4, "accumulate": 1}, "probes": 4}
    request = PreferRequest(
        base=whole.request.base,
        base_name="models/random",
        train=whole.request.train,
        preference=Preference.model_validate(settings),
        method=method,
        adapter=whole.out / "adapter",
        train_file=write_lines(folder / "pairs.jsonl", [*pairs(0, 24), lone, long]),
        dev_file=write_lines(folder / "dev.jsonl", pairs(100, 8)),
        threads=1,
    )
    (folder / "out").mkdir()
    return prefer(request, folder / "out")


@pytest.mark.parametrize(("method", "log"), [("dpo", "prefer.log"), ("kto", None)])
def test_held_out_pairs_move_towards_what_people_prefer(
    whole: Run, tmp_path: Path, request: pytest.FixtureRequest, method: str, log: str | None
) -> None:
    if log is None:  # one method in a process of its own is enough
        request.getfixturevalue("same_process")
    output = run_preference(whole, method, tmp_path)
    out = tmp_path / "out"
    with (out / output.dev).open() as file:
        answers = list(csv.DictReader(file))
    moved = {
        side: sum(float(row["after"]) - float(row["before"]) for row in answers if row["answer"] == side)
        for side in ("chosen", "rejected")
    }
    assert len(answers) == 16 and moved["chosen"] > moved["rejected"] + 1
    assert output.steps == output.planned_steps and output.kept_step > 0
    lost = {"dpo": {"not_a_pair": 1, "too_long": 1}, "kto": {"too_long": 1}}[method]
    assert dict(output.left_out) == lost
    assert output.precision == "float32" and output.choices.keys() >= {"precision", "stop_rules", "steps"}
    lines = progress_of(out)
    assert {line["stage"] for line in lines} == {"prefer"} and lines[-1]["done"] == output.steps
    names = {"adapter", output.dev, output.history, output.metrics, "progress.jsonl", log} - {None}
    assert {path.name for path in out.iterdir()} == names


@pytest.mark.usefixtures("same_process")
def test_preferences_without_an_adapter_to_begin_with_are_refused(whole: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(whole.out / "adapter", other / "adapter")
    (other / "adapter" / "adapter_config.json").unlink()
    with pytest.raises(ModelError, match="adapter"):
        run_preference(whole._replace(out=other), "dpo", tmp_path)
