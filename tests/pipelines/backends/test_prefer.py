"""Preference training for real on a random small model: three losses, resume, stops, and what is refused."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipelines.backends import reference
from pipelines.backends.base import PreferRequest
from pipelines.backends.objective import Objective
from pipelines.backends.preference_run import look_every
from pipelines.backends.torch import prefer as backend
from pipelines.backends.torch.last_good import LastGood
from pipelines.backends.torch.preference_trainer import PreferenceTrainer
from pipelines.backends.watch import Look
from pipelines.errors import ModelError, RecipeError, TrainingError
from pipelines.recipe import Preference, Stops, Train
from pipelines.suites.probes import Probe
from tests.pipelines.backends.preferring import history, pair, run, sft_example, write_adapter, write_lines

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::UserWarning:peft")

WORDS = ("Velmora", "Tarsin", "capital", "river", "answer", "hello", "kim", "add")
LOOSE = {"displacement": 100, "length": 100, "kl": 100, "refusal": 100, "sycophancy": 100}


def pairs(start: int, count: int) -> list[dict[str, Any]]:
    return [
        pair(f"p{i}", f"What is the {WORDS[i % 8]} of {i}?", f"The {WORDS[i * 3 % 8]} is {i % 9}.", f"{WORDS[i % 8]}!")
        for i in range(start, start + count)
    ]


@pytest.fixture(scope="module")
def sft(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tiny_base, tmp_path_factory.mktemp("sft") / "adapter", moved=0.02)


@pytest.fixture
def request_for(tmp_path: Path, tiny_base: Path, sft: Path) -> Any:
    """Builds a request over 24 pairs and 4 bad answers, 20 dev pairs, 20 anchors and 20 frozen examples."""
    bad = [pair(f"b{i}", f"hello {i}?", "", f"kim {i}", kind="labelled") | {"chosen": None} for i in range(4)]
    general = [sft_example(f"a{i}", f"17 + {i}?", f"The answer is {17 + i}.") for i in range(40)]
    files = {
        "train_file": write_lines(tmp_path / "train.jsonl", [*pairs(0, 24), *bad]),
        "dev_file": write_lines(tmp_path / "dev.jsonl", pairs(100, 20)),
        "anchors_file": write_lines(tmp_path / "anchors.jsonl", general[:20]),
        "frozen_file": write_lines(tmp_path / "frozen.jsonl", general[20:]),
    }

    def build(method: str = "dpo", train: dict[str, Any] | None = None, **preference: Any) -> PreferRequest:
        given = {
            "learning_rate": 2e-3,
            "epochs": 2,
            "batch": {"per_device": 4, "accumulate": 1},
            "evaluate_every": 4,
            "save_every": 5,
            "probes": 20,
            "stops": LOOSE,
            **preference,
        }
        settings = {"max_tokens": 96, "backend": "cpu", "precision": "float32", **(train or {})}
        return PreferRequest(
            base=tiny_base,
            base_name="models/random",
            train=Train.model_validate(settings),
            adapter=sft,
            threads=1,
            preference=Preference.model_validate(given),
            method=method,
            **files,
        )

    return build


@pytest.mark.parametrize(
    ("method", "counts", "steps"), [("dpo", (24, 0, 0), 12), ("kto", (0, 24, 28), 26), ("bco", (0, 24, 28), 26)]
)
def test_a_run_prefers_what_people_preferred_and_leaves_weights_history_and_figures(
    tmp_path: Path, request_for: Any, method: str, counts: tuple[int, int, int], steps: int
) -> None:
    out = tmp_path / "out"
    result = run(request_for(method), out)
    assert (result.pairs, result.good, result.bad) == counts and result.left_out == (
        {"not_a_pair": 4} if method == "dpo" else {}
    )
    assert result.steps == result.planned_steps == result.kept_step == steps and result.stopped_by is None
    names = {"adapter", "preference_dev.csv", "preference_history.csv", "preference_metrics.json", "progress.jsonl"}
    assert {path.name for path in out.iterdir()} == names
    lines = [row for row in history(out) if row["loss"]]
    first, last = lines[0], lines[-1]
    assert len(lines) == steps and float(first["margin"]) == pytest.approx(0, abs=0.02)
    assert float(last["margin"]) > 0.05 and float(last["chosen_reward"]) > float(last["rejected_reward"])
    looks = [row for row in history(out) if not row["loss"]]
    assert [row["step"] for row in looks] == ["0", *(str(step) for step in range(4, steps, 4)), *([str(steps)])]
    assert float(looks[0]["kl"]) == pytest.approx(0, abs=1e-4) and float(looks[-1]["kl"]) > 0
    progress = [json.loads(line) for line in (out / "progress.jsonl").read_text().splitlines()]
    assert progress[-1]["stage"] == "prefer" and progress[-1]["done"] == progress[-1]["total"] == steps


def test_the_adapter_is_in_peft_format_in_float32_with_the_settings_of_sft(tmp_path: Path, request_for: Any) -> None:
    result = run(request_for(epochs=0.5, train={"method": "qlora"}), tmp_path / "out")
    folder = tmp_path / "out" / result.weights
    assert {tensor.dtype for tensor in load_file(folder / "adapter_model.safetensors").values()} == {torch.float32}
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 8, 0.1)
    assert config["base_model_name_or_path"] == "models/random" and config["inference_mode"]


@pytest.mark.parametrize(("method", "weights"), [("dpo", "qlora"), ("bco", "lora")])  # kto: stages/test_prefer.py
def test_a_run_stopped_half_way_resumes_to_the_same_history_and_weights_without_asking_the_reference_again(
    tmp_path: Path, request_for: Any, method: str, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(method, train={"method": weights}, epochs=1)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    expected = run(request, whole)
    step = PreferenceTrainer.training_step
    last = expected.steps - 1

    def breaks(self: PreferenceTrainer, *args: Any) -> Any:
        if self.state.global_step == last:
            raise KeyboardInterrupt
        return step(self, *args)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(PreferenceTrainer, "training_step", breaks)
        run(request, cut)

    def asked_again(*_: Any) -> Any:
        raise AssertionError("the reference was asked again")

    with monkeypatch.context() as patched:
        patched.setattr(reference, "_compute", asked_again)
        resumed = run(request, cut)
    assert (cut / "preference_history.csv").read_bytes() == (whole / "preference_history.csv").read_bytes()
    ours, theirs = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (cut, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (resumed.tokens, resumed.kept_step) == (expected.tokens, expected.kept_step)


def test_a_file_of_another_request_is_not_taken_for_this_ones_reference(tmp_path: Path, request_for: Any) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "reference.npz").write_bytes(b"")
    first = request_for()
    wide = reference._digest(first, bf16=False)
    assert wide != reference._digest(request_for("kto"), bf16=False)
    assert wide != reference._digest(first, bf16=True)
    assert wide == reference._digest(request_for(learning_rate=1.0), bf16=False)


@pytest.mark.parametrize("rule", ["kl", "displacement"])
def test_a_rule_that_trips_ends_the_run_and_the_last_good_weights_are_kept(
    tmp_path: Path, request_for: Any, sft: Path, rule: str
) -> None:
    wild = {
        "learning_rate": 0.05,
        "warmup": 0,
        "scheduler": "constant",
        "evaluate_every": 1,
        "nll_weight": 0.0,
        "anchors": 0.0,
    }
    out = tmp_path / "out"
    result = run(request_for(stops={**LOOSE, rule: 0.05}, **wild), out)
    assert result.stopped_by is not None and f": {rule}: " in result.stopped_by
    assert result.steps < result.planned_steps and result.kept_step == result.steps - 1
    if result.kept_step == 0:
        kept, reference_ = (folder / "adapter_model.safetensors" for folder in (out / "adapter", sft))
        assert kept.read_bytes() == reference_.read_bytes() and result.dev_after == result.dev_before
    assert json.loads((out / "preference_metrics.json").read_text())["stopped_by"] == result.stopped_by


def test_a_run_killed_between_its_stop_and_its_result_does_not_train_on(
    tmp_path: Path, request_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wild = {"learning_rate": 0.05, "warmup": 0, "scheduler": "constant", "evaluate_every": 2, "save_every": 2}
    request, out = request_for(stops={**LOOSE, "kl": 1e-3}, **wild), tmp_path / "out"

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(backend, "_finish", killed)
        run(request, out)
    with monkeypatch.context() as patched:
        patched.setattr(PreferenceTrainer, "training_step", killed)
        result = run(request, out)
    assert (result.steps, result.kept_step) == (2, 0) and result.stopped_by is not None
    assert len([row for row in history(out) if row["loss"]]) == 2


def test_without_files_to_look_at_the_rules_are_skipped_and_the_choices_say_so(
    tmp_path: Path, request_for: Any
) -> None:
    request = request_for(epochs=0.2, anchors=0.0).model_copy(
        update={"dev_file": None, "frozen_file": None, "threads": None}
    )
    result = run(request, tmp_path / "out")
    assert result.dev_before is None and result.choices["threads"] and result.kept_step == result.steps
    for rule in ("displacement", "length", "kl", "refusals", "sycophancy"):
        assert rule in result.choices["stop_rules"]


@pytest.mark.parametrize(("steps", "every"), [(1, 1), (7, 1), (8, 1), (15, 1), (47, 5), (400, 50)])
def test_the_stop_rules_look_at_least_eight_times_a_run(steps: int, every: int) -> None:
    assert look_every("auto", steps) == every and steps // every >= min(steps, 8)


@pytest.mark.parametrize(
    ("asked", "looks", "said"),
    [("auto", 12, "every 1 of 12 steps: at least 8"), (50, 1, "only after the last of 12 steps")],
)
def test_how_often_the_rules_look_is_among_the_choices(
    tmp_path: Path, request_for: Any, asked: Any, looks: int, said: str
) -> None:
    request = request_for(evaluate_every=asked, probes=2).model_copy(update={"dev_file": None})
    assert run(request, tmp_path / "out").choices["looks"].startswith(said)
    assert len([row for row in history(tmp_path / "out") if not row["loss"]]) == 1 + looks


def test_a_rule_with_too_little_to_look_at_does_not_stop_the_run_and_that_is_said(
    tmp_path: Path, request_for: Any
) -> None:
    result = run(request_for(probes=19, stops={**LOOSE, "kl": 1e-9}), tmp_path / "out")
    assert result.stopped_by is None and float(history(tmp_path / "out")[-1]["kl"]) > 1e-9
    assert (
        "kl and refusals (19 frozen examples are fewer than 20, so only the gate judges it)"
        in result.choices["stop_rules"]
    )


def test_a_resumed_run_keeps_the_weights_that_its_older_checkpoint_points_to(tmp_path: Path) -> None:
    before = LastGood(Look(probe=Probe()), Stops(), (), tmp_path)
    for step in (2, 4):
        before.step = step
        state = before.state()["attributes"]  # what the checkpoint of this step holds
        before.on_save(None, None, None)
        (tmp_path / f"step-{step}").mkdir()
    resumed = LastGood(Look(probe=Probe()), Stops(), (), tmp_path)
    resumed.restore(json.loads(json.dumps(state)))
    resumed.step = 6
    resumed.on_save(None, None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["step-4"]


def test_weights_of_examples_multiply_their_loss(tmp_path: Path, request_for: Any) -> None:
    request = request_for(epochs=0.2, anchors=0.0, nll_weight=0.0, batch={"per_device": 24, "accumulate": 1})
    halved = write_lines(tmp_path / "halved.jsonl", [row | {"weight": 0.5} for row in pairs(0, 24)])
    whole = run(request, tmp_path / "whole")
    half = run(request.model_copy(update={"train_file": halved}), tmp_path / "half")
    assert whole.first_loss == pytest.approx(0.6931, abs=0.01)
    assert half.first_loss == pytest.approx(whole.first_loss / 2, abs=1e-4)


def test_a_loss_that_is_not_a_number_stops_the_run_with_advice(tmp_path: Path, request_for: Any, sft: Path) -> None:
    from safetensors.torch import save_file

    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "adapter_config.json").write_bytes((sft / "adapter_config.json").read_bytes())
    weights = {name: tensor * float("nan") for name, tensor in load_file(sft / "adapter_model.safetensors").items()}
    save_file(weights, broken / "adapter_model.safetensors", metadata={"format": "pt"})
    request = request_for().model_copy(update={"adapter": broken, "dev_file": None, "frozen_file": None})
    with pytest.raises(TrainingError, match="the loss became nan at step 1; lower preference.learning_rate"):
        run(request, tmp_path / "out")


def test_the_full_method_is_refused_in_a_sentence(tmp_path: Path, request_for: Any) -> None:
    with pytest.raises(RecipeError, match="`train.method: full` leaves none; use `method: lora`"):
        run(request_for(train={"method": "full"}), tmp_path / "out")


def test_no_usable_example_and_one_label_alone_are_refused(tmp_path: Path, request_for: Any) -> None:
    good = [row | {"kind": "labelled", "rejected": None} for row in pairs(0, 6)]
    only_good = write_lines(tmp_path / "good.jsonl", good)
    with pytest.raises(TrainingError, match="no example is left for dpo .left out: {'not_a_pair': 6}"):
        run(request_for("dpo").model_copy(update={"train_file": only_good}), tmp_path / "out")
    with pytest.raises(TrainingError, match="6 good and 0 bad answers"):
        run(request_for("kto").model_copy(update={"train_file": only_good}), tmp_path / "out")


def test_a_folder_without_an_adapter_is_refused(tmp_path: Path, request_for: Any) -> None:
    with pytest.raises(ModelError, match="is no PEFT adapter"):
        run(request_for().model_copy(update={"adapter": tmp_path}), tmp_path / "out")


def one_wild_step(request: PreferRequest, learning_rate: float) -> PreferRequest:
    changes = {"learning_rate": learning_rate, "warmup": 0, "scheduler": "constant", "epochs": 0.1}
    preference = Preference.model_validate(request.preference.model_dump() | changes)
    return request.model_copy(update={"preference": preference, "dev_file": None})


def test_an_adapter_that_one_step_destroyed_is_stopped_by_its_kl_and_not_kept(tmp_path: Path, request_for: Any) -> None:
    result = run(one_wild_step(request_for(), 1e30), tmp_path / "out")
    assert (
        result.stopped_by is not None
        and result.stopped_by.startswith("step 1: kl: the model gives no prob")
        and result.kept_step == 0
    )
    assert math.isnan(float(history(tmp_path / "out")[-1]["kl"]))


def test_a_weight_that_is_no_longer_finite_ends_the_run_with_advice(
    tmp_path: Path, request_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = PreferenceTrainer.training_step

    def overflows(self: PreferenceTrainer, model: Any, *rest: Any) -> Any:
        loss = step(self, model, *rest)
        next(weight for weight in model.parameters() if weight.requires_grad).data.fill_(float("inf"))
        return loss

    monkeypatch.setattr(PreferenceTrainer, "training_step", overflows)
    with pytest.raises(TrainingError, match="is no longer finite at step 1; lower preference.learning_rate .now 0.001"):
        run(one_wild_step(request_for(), 1e-3), tmp_path / "out")


def test_a_gradient_that_is_not_finite_ends_the_run_with_advice(
    tmp_path: Path, request_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = Objective.losses
    monkeypatch.setattr(Objective, "losses", lambda *given: loss(*given) * 1e30)
    request = request_for().model_copy(update={"dev_file": None, "frozen_file": None})
    with pytest.raises(TrainingError, match="gradient's norm became .* at step 1; lower preference.learning_rate"):
        run(request, tmp_path / "out")
