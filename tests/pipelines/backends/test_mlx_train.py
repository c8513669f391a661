"""SFT with MLX beside torch: the same loss on the same tokens, the same steps, rates and held-out loss; traps of mlx_lm."""

import csv
import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, get_scheduler

from pipelines.backends.base import TrainOutput, TrainRequest
from pipelines.backends.examples import EncodedExample, load_examples
from pipelines.backends.torch import train as torch_backend
from pipelines.errors import ModelError, RecipeError
from pipelines.recipe import Train
from pipelines.tokenizer import ChatTokenizer
from tests.pipelines.backends.preferring import write_lines
from tests.pipelines.conftest import MakeBase

mx = pytest.importorskip("mlx.core")
pytest.importorskip("mlx_lm")
adapters = importlib.import_module("pipelines.backends.mlx.adapters")
backend = importlib.import_module("pipelines.backends.mlx.train")
load = importlib.import_module("pipelines.backends.mlx.load")
loss = importlib.import_module("pipelines.backends.mlx.loss")
rows = importlib.import_module("pipelines.backends.mlx.rows")
schedule = importlib.import_module("pipelines.backends.mlx.schedule")

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
WORDS = ("Velmora", "Tarsin", "capital", "river", "answer", "hello", "kim", "add")


def examples(start: int, count: int, source: str = "new") -> list[dict[str, Any]]:
    """Two answers each, of which both get loss."""
    return [
        {
            "id": f"c{i}",
            "source": source,
            "turns": [
                {"role": "user", "content": f"What is the {WORDS[i % 8]} of {i % 9}?"},
                {"role": "assistant", "content": f"The {WORDS[i * 3 % 8]} is {i % 9}.", "trained": True},
                {"role": "user", "content": "And then?" + " Yes?" * (i % 5)},
                {"role": "assistant", "content": "hello kim", "trained": True},
            ],
        }
        for i in range(start, start + count)
    ]


@pytest.fixture
def request_for(tmp_path: Path, tiny_base: Path) -> Any:
    """Builds a request over 50 training (12 of them anchors) and 12 dev examples; keys of `train` change its recipe."""
    train_file = write_lines(tmp_path / "train.jsonl", [*examples(0, 38), *examples(100, 12, "general")])
    dev_file = write_lines(tmp_path / "dev.jsonl", examples(200, 12))

    def build(base: Path = tiny_base, **train: Any) -> TrainRequest:
        given = {
            "backend": "mlx",
            "learning_rate": 2e-3,
            "epochs": 2,
            "batch": {"per_device": 4, "accumulate": 2},
            "max_tokens": 128,
            "evaluate_every": 5,
            "save_every": 5,
            "lora": {"r": 4, "alpha": 8, "dropout": 0.0},
            "precision": "float32",
            **train,
        }
        return TrainRequest(
            base=base,
            base_name="models/random",
            train=Train.model_validate(given),
            train_file=train_file,
            dev_file=dev_file,
            threads=1,
        )

    return build


def run(request: TrainRequest, out: Path) -> TrainOutput:
    out.mkdir(exist_ok=True)
    output: TrainOutput = backend.train(request, out)
    return output


def history(out: Path) -> list[dict[str, str]]:
    with (out / "loss_history.csv").open() as file:
        return list(csv.DictReader(file))


def steps_of(out: Path, *columns: str) -> list[tuple[float, ...]]:
    return [tuple(float(row[name]) for name in columns) for row in history(out) if row["loss"]]


def test_both_backends_take_the_same_steps_at_the_same_rates_to_the_same_held_out_loss(
    tmp_path: Path, request_for: Any
) -> None:
    settings = {"lora": {"r": 8, "alpha": 16, "dropout": 0.0}, "epochs": 4, "early_stopping": None}
    ours, theirs = tmp_path / "mlx", tmp_path / "torch"
    output = run(request_for(**settings), ours)
    theirs.mkdir()
    expected = torch_backend.train(request_for(**settings, backend="cpu"), theirs)
    assert {path.name for path in ours.iterdir()} == {path.name for path in theirs.iterdir()}
    columns = ("step", "epoch", "learning_rate")
    np.testing.assert_allclose(steps_of(ours, *columns), steps_of(theirs, *columns), rtol=1e-6)
    assert [row["step"] for row in history(ours)] == [row["step"] for row in history(theirs)]
    assert (output.tokens, output.trained_tokens) == (expected.tokens, expected.trained_tokens)
    last = [next(float(row["dev_loss"]) for row in reversed(history(out)) if row["dev_loss"]) for out in (ours, theirs)]
    assert last[0] == pytest.approx(last[1], rel=0.02)
    figures = [json.loads((out / "training_metrics.json").read_text()) for out in (ours, theirs)]
    assert figures[0].keys() == figures[1].keys()


@pytest.mark.parametrize("method", ["qlora", "full", "dora"])
def test_every_method_lowers_the_loss_and_leaves_its_weights(tmp_path: Path, request_for: Any, method: str) -> None:
    lora = {"r": 4, "alpha": 8, "dropout": 0.1, "dora": method == "dora"}
    request = request_for(method="lora" if method == "dora" else method, lora=lora, weight_decay=0.01)
    output = run(request, tmp_path / "out")
    assert output.last_loss < 0.9 * output.first_loss and output.steps == 14
    folder = tmp_path / "out" / output.weights
    if method == "full":
        tensors = mx.load(str(folder / "model.safetensors"))
        assert tensors.keys() == mx.load(str(request.base / "model.safetensors")).keys()
        assert (folder / "tokenizer.json").is_file() and output.kind == "full"
        loaded = AutoModelForCausalLM.from_pretrained(folder)
        assert loaded.dtype == torch.float32
        return
    tensors = mx.load(str(folder / "adapter_model.safetensors"))
    assert len(tensors) == 14 * (3 if method == "dora" else 2)
    assert output.trained_on == ("mlx4" if method == "qlora" else "full")
    assert dict(output.rounding) == ({"bits": 4, "group_size": 64} if method == "qlora" else {})
    if method == "dora":
        start = load.load_for_sft(request.base, "random", request.train, bf16=False)
        name = "model.layers.0.self_attn.q_proj"
        moved = tensors[f"base_model.model.{name}.lora_magnitude_vector"]
        assert mx.abs(moved - start.model.layers[0].self_attn.q_proj.m).max().item() > 1e-4


def test_early_stopping_ends_the_run_and_keeps_the_weights_that_were_best_on_dev(
    tmp_path: Path, request_for: Any
) -> None:
    never_enough = {"patience": 2, "threshold": 100.0}
    request = request_for(learning_rate=0.5, evaluate_every=2, early_stopping=never_enough, scheduler="constant")
    output = run(request, tmp_path / "out")
    assert output.stopped_early and (output.steps, output.planned_steps) == (6, 14)
    dev = {int(row["step"]): float(row["dev_loss"]) for row in history(tmp_path / "out") if row["dev_loss"]}
    assert output.best_dev_loss == min(dev.values()) == dev[output.best_step or 0] and len(dev) == 3
    model, _ = load.load_adapted(request.base, "random", tmp_path / "out" / "adapter", request.train, bf16=False)
    dev = load_examples(request.dev_file, ChatTokenizer(request.base), 128)
    again = backend.dev_loss(model, rows.batch_examples(dev.examples, 64))
    assert again == pytest.approx(output.best_dev_loss, rel=1e-5)


def test_kl_keeps_the_answers_to_anchors_nearer_to_the_origin(tmp_path: Path, request_for: Any) -> None:
    dev = load_examples(request_for().train_file, ChatTokenizer(request_for().base), 128)
    anchors = rows.batch_examples([example for example in dev.examples if example.anchor], 4096)

    def distance(weight: float, out: Path) -> float:
        request = request_for(kl={"weight": weight}, early_stopping=None)
        run(request, out)
        model, _ = load.load_adapted(request.base, "random", out / "adapter", request.train, bf16=False)
        model.eval()
        [batch] = anchors
        logits = loss.logits_at(model, batch.ids_BT, batch.places_N)
        return float(loss.kl_to_origin(logits, loss.origin_logits(model, batch)).item())

    assert distance(50.0, tmp_path / "near") < 0.5 * distance(0.0, tmp_path / "far")


# ---- the traps of mlx_lm's own training -----------------------------------------------------------------------------


def encoded(request: TrainRequest) -> tuple[EncodedExample, ...]:
    return load_examples(request.train_file, ChatTokenizer(request.base), request.train.max_tokens).examples


def test_every_answer_that_is_marked_gets_the_loss_that_it_has_in_torch_and_no_pad_gets_any(request_for: Any) -> None:
    """mlx_lm's mask_prompt trains the last answer alone, and its loss one pad token after every row."""
    request = request_for()
    chosen = encoded(request)[:6]
    assert len({len(example.ids) for example in chosen}) > 2
    batch = rows.make_batch([(example.ids, example.labels) for example in chosen])
    assert batch.trained == sum(label >= 0 for example in chosen for label in example.labels)
    ours = loss.sft_loss(load.load_base(request.base), batch).item()
    model = AutoModelForCausalLM.from_pretrained(request.base, dtype=torch.float32).eval()
    theirs = 0.0
    with torch.no_grad():
        for example in chosen:  # one by one, without padding
            logits = model(torch.tensor([example.ids])).logits[0, :-1]
            labels = torch.tensor(example.labels[1:])
            theirs += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_how_a_step_is_divided_into_batches_changes_nothing(tmp_path: Path, request_for: Any) -> None:
    """Gradient accumulation is exact: the loss is per trained token of the step, however many forwards it takes."""
    for name, batch in (("one", {"per_device": 8, "accumulate": 1}), ("eight", {"per_device": 1, "accumulate": 8})):
        run(request_for(batch=batch, epochs=1, early_stopping=None), tmp_path / name)
    one, eight = (steps_of(tmp_path / name, "loss", "grad_norm") for name in ("one", "eight"))
    np.testing.assert_allclose(one, eight, rtol=1e-4)


def test_the_last_partial_batch_is_trained_and_a_set_smaller_than_a_batch_too(tmp_path: Path, request_for: Any) -> None:
    steps = rows.SftSteps(examples=50, size=8, epochs=1.5, seed=3)
    assert (steps.per_epoch, steps.total) == (7, 11)
    assert sorted(place for step in range(7) for place in steps.of(step)) == list(range(50)) and len(steps.of(6)) == 2
    assert steps.of(7) != steps.of(0) and rows.SftSteps(50, 8, 1.5, 4).of(0) != steps.of(0)
    request = request_for(epochs=2)
    small = request.model_copy(
        update={"train_file": write_lines(tmp_path / "small.jsonl", examples(0, 3)), "dev_file": None}
    )
    output = run(small, tmp_path / "out")
    assert (output.steps, output.examples) == (2, 3)


def test_a_prompt_that_fills_the_window_is_left_out_and_the_loss_stays_a_number(
    tmp_path: Path, request_for: Any
) -> None:
    """mlx_lm divides 0 by 0 there."""
    long = {"role": "user", "content": "river " * 300}
    answer = {"role": "assistant", "content": "hello", "trained": True}
    lines = [*examples(0, 8), {"id": "long", "source": "new", "turns": [long, answer]}]
    request = request_for(epochs=1, max_tokens=96)
    request = request.model_copy(update={"train_file": write_lines(tmp_path / "long.jsonl", lines)})
    output = run(request, tmp_path / "out")
    assert math.isfinite(output.last_loss) and dict(output.left_out) == {"no_trained_token": 1}


@pytest.mark.exhaustive  # g++ compiles the kernels; here nothing is compiled on a processor (choices.apply)
def test_the_loss_and_its_gradient_survive_being_compiled() -> None:
    """Where a sum stood twice in mlx_lm's loss, compiling its gradient ended in an IndexError."""
    import mlx.nn as nn

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.norm = nn.Embedding(9, 4), nn.RMSNorm(4)

        def __call__(self, ids: Any) -> Any:
            return self.norm(self.embed(ids))

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = Inner()

        def __call__(self, ids: Any) -> Any:
            return self.model.embed.as_linear(self.model(ids))

    model = Small()
    importlib.import_module("pipelines.backends.mlx.picking").pick_positions(model)
    batch = rows.make_batch([((1, 2, 3, 4), (-100, 2, 3, 4)), ((5, 6), (-100, 6))])
    step = nn.value_and_grad(model, lambda: loss.sft_loss(model, batch))
    plain, gradients = step()
    mx.enable_compile()
    try:
        value, compiled = mx.compile(step, inputs=model.state)()
        mx.eval(value, compiled)
    finally:
        mx.disable_compile()
    assert value.item() == pytest.approx(plain.item(), rel=1e-5)
    assert mx.allclose(gradients["model"]["embed"]["weight"], compiled["model"]["embed"]["weight"], atol=1e-5).item()


@pytest.mark.parametrize("scheduler", ["cosine", "linear", "constant", "cosine_with_min_lr"])
@pytest.mark.parametrize("warmup", [0, 0.05, 7])
def test_every_rate_is_that_of_transformers(scheduler: str, warmup: float) -> None:
    train = Train(learning_rate=1e-3, scheduler=scheduler, warmup=warmup)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    theirs = get_scheduler(
        scheduler,
        optimizer,
        num_warmup_steps=int(warmup) if warmup >= 1 else math.ceil(50 * warmup),
        num_training_steps=50,
        scheduler_specific_kwargs={"min_lr_rate": 0.1} if scheduler == "cosine_with_min_lr" else {},
    )
    for step in range(50):
        assert schedule.learning_rate(train, step, 50) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9, abs=1e-15)
        optimizer.step()
        theirs.step()


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_what_a_recipe_cannot_have_is_refused_in_a_sentence(tmp_path: Path, request_for: Any) -> None:
    with pytest.raises(RecipeError, match="train.kl needs an adapter to switch off"):
        run(request_for(method="full", kl={"weight": 1.0}), tmp_path / "out")
    with pytest.raises(RecipeError, match="train.lora.target fits no layer of models/random: nowhere"):
        run(request_for(lora={"target": ["nowhere"]}), tmp_path / "out")
    assert not (tmp_path / "out" / "adapter").exists()


def test_a_base_without_weights_is_refused(tmp_path: Path, request_for: Any, tokenizer_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no \*\.safetensors"):
        run(request_for(base=tokenizer_folder), tmp_path / "out")


def test_precision_is_measured_where_it_is_left_open_and_named_with_its_seconds(
    tmp_path: Path, request_for: Any, make_base: MakeBase
) -> None:
    output = run(request_for(precision="auto", epochs=0.2, optimizer="adamw_8bit"), tmp_path / "out")
    assert "one row took" in output.choices["precision"] and output.choices["optimizer"].endswith("needs CUDA")
    assert output.choices["device"].startswith("mlx: ")
    assert output.peak_memory_bytes > 1 << 20


def test_computing_activations_again_gives_the_same_gradients(
    request_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mlx_lm patches the class of the layers for the whole process, which is why every run has one of its own."""
    choices = importlib.import_module("pipelines.backends.mlx.choices")
    request = request_for(lora={"r": 4, "alpha": 8, "dropout": 0.1})
    model = load.load_for_sft(request.base, "random", request.train, bf16=False)
    kind = type(model.layers[0])
    monkeypatch.setattr(kind, "__call__", kind.__call__)  # put back afterwards
    batch = rows.make_batch([(example.ids, example.labels) for example in encoded(request)[:3]])
    results = []
    for again in (False, True):
        choices.apply(choices.Choices(bf16=False, checkpointing=again, budget=128, why={}), model)
        adapters.draws_of(model).begin(0, 1)
        total, _, gradients = loss.add_up(model, [loss.share(model, batch, 1)])
        results.append((total, gradients["model"]["layers"][0]["self_attn"]["q_proj"]["lora_b"]))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    assert mx.allclose(results[0][1], results[1][1], rtol=1e-4, atol=1e-5).item() and mx.any(results[1][1]).item()
