"""Training for real on a random small model: resume, early stopping, QLoRA, full, KL, and what is refused."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipelines.backends.base import TrainOutput, TrainRequest
from pipelines.backends.examples import IGNORED, load_examples
from pipelines.backends.torch import train as backend
from pipelines.backends.torch.data import RowCollator, as_dataset
from pipelines.backends.torch.device import choose, machine
from pipelines.backends.torch.trainer import RowTrainer
from pipelines.errors import ModelError, RecipeError, TrainingError
from pipelines.recipe import Train
from pipelines.tokenizer import ChatTokenizer
from tests.pipelines.conftest import MakeBase

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::UserWarning:peft")

WORDS = ("Velmora", "Tarsin", "capital", "river", "answer", "hello", "kim", "add")


def write_examples(path: Path, start: int, count: int, *, trained: bool = True, source: str = "new") -> Path:
    with path.open("a") as file:
        for i in range(start, start + count):
            question = {"role": "user", "content": f"What is the {WORDS[i % 8]} of {i}?", "trained": False}
            answer = {"role": "assistant", "content": f"The {WORDS[i * 3 % 8]} is {i % 9}.", "trained": trained}
            file.write(json.dumps({"id": f"c{i}", "source": source, "turns": [question, answer]}) + "\n")
    return path


@pytest.fixture
def request_for(tmp_path: Path, tiny_base: Path) -> Any:
    """Builds a request over 64 training and 12 dev examples; keys of `train` change its recipe."""
    train_file = write_examples(tmp_path / "train.jsonl", 0, 48)
    write_examples(train_file, 100, 16, source="general")
    dev_file = write_examples(tmp_path / "dev.jsonl", 200, 12)

    def build(base: Path = tiny_base, **train: Any) -> TrainRequest:
        given = {
            "learning_rate": 2e-3,
            "epochs": 2,
            "batch": {"per_device": 4, "accumulate": 2},
            "max_tokens": 128,
            "evaluate_every": 4,
            "save_every": 5,
            "lora": {"r": 4, "alpha": 8, "dropout": 0.1},
            "backend": "cpu",
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
    return backend.train(request, out)


def history(out: Path) -> list[dict[str, str]]:
    with (out / "loss_history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_a_run_lowers_the_loss_and_leaves_weights_history_and_figures(
    tmp_path: Path, request_for: Any, method: str
) -> None:
    out = tmp_path / "out"
    result = run(request_for(method=method), out)
    assert result.last_loss < result.first_loss and result.steps == result.planned_steps == 16
    assert result.trained_on == ("nf4" if method == "qlora" else "full")
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [result.weights, "loss_history.csv", "progress.jsonl", "training_metrics.json"]
    )
    losses = [row for row in history(out) if row["loss"]]
    assert len(losses) == 16 and [row["step"] for row in history(out) if row["dev_loss"]] == ["4", "8", "12", "16"]
    figures = json.loads((out / "training_metrics.json").read_text())
    assert figures["hyper_parameters"]["method"] == method and figures["tokens_per_second"] > 0
    assert figures["tokens"] == 2 * _tokens(request_for()) and figures["choices"]["optimizer"]


def _tokens(request: TrainRequest) -> int:
    tokenizer = ChatTokenizer(request.base)
    return load_examples(request.train_file, tokenizer, request.train.max_tokens).tokens


def test_the_adapter_is_in_peft_format_in_float32_and_names_the_base_of_the_recipe(
    tmp_path: Path, request_for: Any
) -> None:
    out = tmp_path / "out"
    result = run(request_for(method="qlora", epochs=0.5), out)
    weights = load_file(out / result.weights / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert any(tensor.abs().sum() > 0 for name, tensor in weights.items() if "lora_B" in name)
    config = json.loads((out / result.weights / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["base_model_name_or_path"]) == (4, 8.0, "models/random")


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_a_run_stopped_half_way_resumes_to_the_same_losses_and_weights(
    tmp_path: Path, request_for: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    expected = run(request_for(method=method), whole)
    step = RowTrainer.training_step

    def breaks_at_step_13(self: RowTrainer, *args: Any) -> Any:
        if self.state.global_step == 13:
            raise KeyboardInterrupt
        return step(self, *args)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RowTrainer, "training_step", breaks_at_step_13)
        run(request_for(method=method), cut)
    newest = cut / "checkpoints" / "checkpoint-10"
    (newest / "optimizer.pt").write_bytes(b"torn")
    resumed = run(request_for(method=method), cut)
    assert (cut / "loss_history.csv").read_bytes() == (whole / "loss_history.csv").read_bytes()
    ours, theirs = (load_file(f / "adapter" / "adapter_model.safetensors") for f in (cut, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (resumed.tokens, resumed.best_step) == (expected.tokens, expected.best_step)


def test_a_run_killed_after_its_last_step_only_writes_its_results(
    tmp_path: Path, request_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(backend, "_finish", killed)
        run(request_for(), out)
    with monkeypatch.context() as patched:
        patched.setattr(RowTrainer, "training_step", killed)
        result = run(request_for(), out)
    assert result.steps == 16 and len([row for row in history(out) if row["loss"]]) == 16


def test_early_stopping_ends_the_run_and_keeps_the_weights_that_were_best_on_dev(
    tmp_path: Path, request_for: Any
) -> None:
    out = tmp_path / "out"
    wild = {"learning_rate": 0.5, "epochs": 8, "scheduler": "constant", "warmup": 0, "evaluate_every": 2}
    result = run(request_for(early_stopping={"patience": 2, "threshold": 0.0}, **wild), out)
    dev = {int(row["step"]): float(row["dev_loss"]) for row in history(out) if row["dev_loss"]}
    assert result.stopped_early and result.steps < result.planned_steps
    assert result.best_dev_loss == min(dev.values()) == dev[result.best_step or 0]
    assert result.steps == (result.best_step or 0) + 4


def test_the_dev_loss_and_the_step_loss_do_not_depend_on_the_packing(tmp_path: Path, request_for: Any) -> None:
    losses = []
    for row_tokens in (1, 700):
        request = request_for(lora={"dropout": 0.0})
        tokenizer = ChatTokenizer(request.base)
        trainer = _bare_trainer(request, tmp_path, tokenizer)
        trainer.data_collator = RowCollator(tokenizer.pad_id, row_tokens, anchors_apart=False)
        batch = next(iter(trainer.get_train_dataloader()))
        step = trainer.training_step(trainer.model, batch).item()
        gradient = sum(p.grad.abs().sum().item() for p in trainer.model.parameters() if p.grad is not None)
        losses.append((step, gradient, trainer.evaluate()["eval_loss"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def _bare_trainer(request: TrainRequest, out: Path, tokenizer: ChatTokenizer) -> RowTrainer:
    from dataclasses import replace

    data = load_examples(request.train_file, tokenizer, request.train.max_tokens)
    choices = replace(choose(request.train, 100_000, 1), bf16=False)
    torch.manual_seed(0)
    return backend._trainer(request, out, data, data, tokenizer, choices, backend.Tally(), None)


def test_exactly_the_marked_tokens_get_loss(tmp_path: Path, request_for: Any) -> None:
    request = request_for()
    tokenizer = ChatTokenizer(request.base)
    trainer = _bare_trainer(request, tmp_path, tokenizer)
    seen: list[dict[str, Any]] = []
    trainer.model.register_forward_pre_hook(lambda _, args, kwargs: seen.append(dict(kwargs)), with_kwargs=True)
    batches = list(trainer.get_train_dataloader())
    for batch in batches:
        trainer.training_step(trainer.model, batch)
    data = load_examples(request.train_file, tokenizer, request.train.max_tokens)
    expected = sorted((one.ids, one.labels) for one in data.examples)
    assert sorted(pair for kwargs in seen for pair in _unpacked(kwargs)) == expected
    assert not any("attention_mask" in kwargs for kwargs in seen) and as_dataset(data.examples)


def _unpacked(kwargs: dict[str, Any]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    ids = kwargs["input_ids"][0].tolist()
    predicted = {place + 1 for place in kwargs["logits_to_keep"].tolist()}
    labels = [one if place in predicted else IGNORED for place, one in enumerate(ids)]
    starts = [*(kwargs["position_ids"][0] == 0).nonzero().flatten().tolist(), len(ids)]
    return [(tuple(ids[a:b]), tuple(labels[a:b])) for a, b in zip(starts, starts[1:], strict=False)]


@pytest.mark.parametrize("tokens", [5, 1000], ids=["by chunks", "at once"])
def test_the_loss_of_a_row_is_trls(
    tmp_path: Path, request_for: Any, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.backends.torch.head.chunk_rows", lambda *_: tokens)
    request = request_for()
    trainer = _bare_trainer(request, tmp_path, ChatTokenizer(request.base))
    trained = torch.tensor(7.0)

    for row in next(iter(trainer.get_train_dataloader()))["rows"]:
        inputs = {key: value for key, value in row.items() if key != "anchor"}
        theirs = trainer.compute_loss(trainer.model, inputs, num_items_in_batch=trained)
        assert trainer._row_loss(trainer.model, row, trained).item() == pytest.approx(theirs.item(), rel=1e-5)


def test_kl_keeps_the_answers_to_anchors_nearer_to_the_origin(tmp_path: Path, request_for: Any) -> None:
    free, held = ({"early_stopping": None, "kl": {"weight": weight}} for weight in (0.0, 50.0))
    results = {name: run(request_for(**kl), tmp_path / name) for name, kl in (("free", free), ("held", held))}
    distance = {name: _distance(request_for(), tmp_path / name / result.weights) for name, result in results.items()}
    assert distance["held"] < 0.5 * distance["free"]


def _distance(request: TrainRequest, adapter: Path) -> float:
    """Mean KL to the origin over the anchors' answer tokens."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from pipelines.backends.torch.kl import kl_to_origin

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(request.base, dtype=torch.float32), adapter)
    data = load_examples(request.train_file, ChatTokenizer(request.base), 128)
    total = 0.0
    for one in [one for one in data.examples if one.anchor]:
        ids = torch.tensor([one.ids])
        with torch.no_grad():
            tuned = model.eval()(input_ids=ids).logits[0]
            with model.disable_adapter():
                origin = model(input_ids=ids).logits[0]
            answers = torch.tensor(one.labels[1:]) != IGNORED
            total += kl_to_origin(tuned[:-1], origin[:-1])[answers].mean().item()
    return total


def test_a_loss_that_is_not_a_number_stops_the_run_with_advice(
    tmp_path: Path, request_for: Any, make_base: MakeBase
) -> None:
    base = make_base()
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    from safetensors.torch import save_file

    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="the loss became nan at step 1; lower train.learning_rate"):
        run(request_for(base=base), tmp_path / "out")


def test_no_trained_token_is_refused(tmp_path: Path, request_for: Any) -> None:
    bad = write_examples(tmp_path / "bad.jsonl", 0, 4, trained=False)
    with pytest.raises(TrainingError, match="no token of the 0 training examples would get loss"):
        run(request_for().model_copy(update={"train_file": bad}), tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        ({"method": "full", "kl": {"weight": 1.0}}, RecipeError, "needs an adapter"),
        ({"lora": {"target": ["no_such_layer"]}}, RecipeError, "fits no layer"),
        ({"backend": "cuda"}, TrainingError, "does not have"),
    ],
)
def test_what_a_recipe_cannot_have_is_refused_in_a_sentence(
    tmp_path: Path, request_for: Any, changes: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    if changes.get("backend") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(kind, match=sentence):
        run(request_for(**changes), tmp_path / "out")


def test_a_base_without_weights_is_refused(tmp_path: Path, request_for: Any, tokenizer_folder: Path) -> None:
    with pytest.raises(ModelError, match="no \\*.safetensors"):
        run(request_for(base=tokenizer_folder), tmp_path / "out")


def test_the_paged_optimizer_falls_back_off_cuda_and_says_so(tmp_path: Path) -> None:
    choices = choose(Train(optimizer="paged_adamw_8bit", backend="cpu"), 100, 1)
    assert choices.optimizer == "adamw_torch" and "needs CUDA" in choices.why["optimizer"]


def test_qlora_on_mps_is_refused_before_anything_is_loaded(
    tmp_path: Path, request_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    missing = request_for(method="qlora", backend="mps").model_copy(update={"base": tmp_path, "train_file": tmp_path})
    with pytest.raises(TrainingError, match="trains on CUDA or a CPU, and this is mps; use `method: lora`"):
        run(missing, tmp_path / "out")
    assert "qlora" in machine("mps").refuses and machine("mps").bf16 is False and not machine("cpu").refuses


def test_the_architecture_of_qwen2_5_0_5b_loads_and_trains(
    tmp_path: Path, request_for: Any, make_base: MakeBase
) -> None:
    base = make_base(
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=2,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        rms_norm_eps=1e-6,
    )
    result = run(request_for(base=base, epochs=0.25, early_stopping=None), tmp_path / "out")
    assert result.steps == 2 and result.last_loss < 10
