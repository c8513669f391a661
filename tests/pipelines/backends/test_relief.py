"""Memory that runs out in the middle of a run: shorter rows, then less kept of each, then a sentence. No step is lost."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from pipelines.backends.base import TrainRequest
from pipelines.backends.torch import rows as rows_module
from pipelines.backends.torch import train as backend
from pipelines.backends.torch.callbacks import Tally
from pipelines.backends.torch.device import Choices, choose
from pipelines.backends.torch.relief import RowsDoNotFit, as_before, keep_in_mind, telling_out_of_memory, until_rows_fit
from pipelines.backends.torch.rows import with_fitting_rows
from pipelines.backends.torch.trainer import RowTrainer
from pipelines.errors import TrainingError
from pipelines.recipe import Train
from tests.pipelines.backends.test_torch import history, write_examples

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::UserWarning:peft")


@pytest.fixture
def request_for(tmp_path: Path, tiny_base: Path) -> Any:
    """Builds a request of 6 steps of 8 examples, all in one row of some 300 tokens."""
    train_file = write_examples(tmp_path / "train.jsonl", 0, 48)

    def build(**train: Any) -> TrainRequest:
        settings = {"batch": {"per_device": 8, "accumulate": 1}, "max_tokens": 96, "lora": {"r": 2, "dropout": 0.0}}
        rest = {"epochs": 1, "save_every": 2, "learning_rate": 1e-3, "backend": "cpu", "precision": "float32"}
        recipe = Train.model_validate(settings | rest | train)
        return TrainRequest(base=tiny_base, base_name="random", train=recipe, train_file=train_file, threads=1)

    return build


@contextmanager
def memory_for(tokens: int, *, after_step: int = 0, recomputed: int | None = None) -> Iterator[list[int]]:
    """A device whose memory holds rows of so many tokens, more where activations are recomputed; the rows that were tried."""
    tried: list[int] = []
    forward, step = Qwen2ForCausalLM.forward, RowTrainer.training_step
    steps = [0]

    def limited(self: Any, *arguments: Any, **settings: Any) -> Any:
        most = recomputed if recomputed is not None and self.is_gradient_checkpointing else tokens
        size = settings["input_ids"].numel()
        tried.append(size)
        if size > most and steps[0] >= after_step:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes.\nGPU 0 has")
        return forward(self, *arguments, **settings)

    def counted(self: RowTrainer, *arguments: Any) -> Any:
        steps[0] = self.state.global_step
        return step(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Qwen2ForCausalLM, "forward", limited)
        patch.setattr(RowTrainer, "training_step", counted)
        yield tried


def run(request: TrainRequest, out: Path) -> Any:
    out.mkdir()
    return backend.train(request, out)


def losses(out: Path) -> list[float]:
    return [float(line["loss"]) for line in history(out) if line["loss"]]


def test_rows_that_do_not_fit_are_halved_and_the_run_goes_on_from_its_checkpoint(
    tmp_path: Path, request_for: Any
) -> None:
    whole = run(request_for(), tmp_path / "whole")
    with memory_for(200, after_step=3) as tried:
        result = run(request_for(), tmp_path / "cut")
    assert result.steps == whole.steps == 6 and result.tokens == whole.tokens
    assert losses(tmp_path / "cut") == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)
    ours, theirs = (load_file(tmp_path / name / "adapter/adapter_model.safetensors") for name in ("cut", "whole"))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in theirs)
    assert len([size for size in tried if size > 200]) == 4  # steps 1 to 3, and the one that failed
    said = json.loads((tmp_path / "cut/training_metrics.json").read_text())["choices"]["packing"]
    assert "rows of at most 192 tokens, after those of 384 did not fit into memory (CUDA out of memory. Tried" in said


def test_where_rows_get_no_shorter_activations_are_computed_again(tmp_path: Path, request_for: Any) -> None:
    with memory_for(20, recomputed=100):
        result = run(request_for(epochs=0.2, batch={"per_device": 1, "accumulate": 8}, max_tokens=64), tmp_path / "out")
    assert result.steps == 2 and result.choices["activation_checkpointing"].startswith("on: rows of ")


def test_an_example_that_fits_in_no_way_ends_in_a_sentence() -> None:
    tried: list[tuple[int, bool]] = []

    def train(choices: Choices) -> None:
        tried.append((choices.row_tokens, choices.activation_checkpointing))
        raise RowsDoNotFit("CUDA out of memory. Tried to allocate 20 GiB.")

    sentence = (
        r"the longest example, of 100 tokens, does not fit .*20 GiB\.\); lower train.max_tokens, use `method: qlora`"
    )
    with pytest.raises(TrainingError, match=sentence):
        until_rows_fit(train, choose(Train(backend="cpu"), 1, 1), 100)
    assert tried == [(384, False), (192, False), (100, False), (100, True)]


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:125] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (TrainingError("the loss became nan"), False),
    ],
    ids=["cuda", "cpu", "driver", "mps", "cublas", "python", "another error", "ours"],
)
def test_what_allocators_say_is_known(error: Exception, known: bool) -> None:
    with pytest.raises(RowsDoNotFit if known else type(error)), telling_out_of_memory():
        raise error


def test_weights_that_do_not_fit_are_not_loaded_again_with_shorter_rows() -> None:
    calls: list[Choices] = []

    def load(choices: Choices) -> None:
        calls.append(choices)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 130 MiB.\nGPU 0 has")

    with pytest.raises(TrainingError, match=r"weights of the base do not fit .*130 MiB\.\); use `method: qlora`"):
        until_rows_fit(load, choose(Train(backend="cpu"), 1, 1), 10)
    assert len(calls) == 1


def test_a_run_that_is_taken_up_again_keeps_its_rows_and_its_checkpointing() -> None:
    choices = choose(Train(backend="cpu"), 1, 1)
    before, after = Tally(), Tally()
    keep_in_mind(replace(choices, row_tokens=96, activation_checkpointing=True), before)
    after.restore(json.loads(json.dumps(before.state()["attributes"])))
    again = as_before(choices, after)
    assert (again.row_tokens, again.activation_checkpointing) == (96, True)
    assert "as before the interruption" in again.why["packing"] and again.why["activation_checkpointing"].startswith(
        "on"
    )
    assert as_before(choices, Tally()) is choices


QWEN_7B = {"hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28, "num_attention_heads": 28}


@pytest.mark.parametrize(
    ("method", "free_gb", "checkpointing", "rows"),
    [
        ("lora", 80, True, 8192),  # all of a step's tokens
        ("lora", 23, True, 5248),
        ("lora", 16, True, 512),  # not even one example fits by this reckoning: it is tried all the same
        ("lora", 80, False, 4096),
        ("qlora", 23, True, 8192),
    ],
)
def test_rows_on_a_gpu_are_as_long_as_its_free_memory_holds(
    method: str, free_gb: int, checkpointing: bool, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Qwen2Config(**QWEN_7B, num_key_value_heads=4, vocab_size=152_064, tie_word_embeddings=False)
    config.save_pretrained(tmp_path)
    monkeypatch.setattr(rows_module, "count_parameters", lambda _: 7_615_616_512)
    recipe = Train.model_validate({"method": method, "batch": {"per_device": 4, "accumulate": 4}, "max_tokens": 512})
    on_cuda = replace(choose(Train(backend="cpu"), 1, 1), device="cuda", bf16=True)
    on_cuda = replace(on_cuda, optimizer="paged_adamw_8bit", activation_checkpointing=checkpointing)
    fitting = with_fitting_rows(tmp_path, recipe, on_cuda, free_gb * 10**9)
    assert fitting.row_tokens == rows and f"{free_gb}.0 GB are free" in fitting.why["packing"]


def test_rows_elsewhere_are_those_of_the_device(tmp_path: Path) -> None:
    choices = choose(Train(backend="cpu"), 1, 1)
    assert with_fitting_rows(tmp_path, Train(), choices) is choices
