"""Rows whose logits would not fit, with KL to the origin over 152 thousand tokens; and memory that runs out in a run."""

import gc
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.gpu.correctness import apart, losses_in, sft_request
from bench.gpu.random_models import device_here, matrix_parameters, rounded, shape
from bench.gpu.speed import build_trainer
from pipelines.backends.torch import train
from pipelines.backends.torch.device import choose, memory_bytes
from pipelines.backends.torch.trainer import RowTrainer
from pipelines.recipe import Train

_ROW_TOKENS = 8192
_ROW_ON_CPU = 200  # of the 384 that rows have there
_MOST_APART = 2e-2  # nats per token, in bfloat16 and in rows of another length


def kl_rows() -> dict[str, Any]:
    """Peak memory of steps whose rows are all anchors, against what one float32 array of their logits would take."""
    device = device_here()
    row_tokens = _ROW_TOKENS if device == "cuda" else _ROW_TOKENS // 64
    config = shape("0.5B", device)
    recipe = Train.model_validate({"method": "lora", "kl": {"weight": 0.1}, "max_tokens": row_tokens})
    choices = replace(choose(recipe, matrix_parameters(config), None), row_tokens=row_tokens)
    with tempfile.TemporaryDirectory() as folder:
        trainer, _ = build_trainer(config, recipe, choices, device, Path(folder), anchors=True)
        trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    logits = row_tokens * 0.4 * config.vocab_size * 4
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    return rounded(
        {
            "passed": all(torch.isfinite(torch.tensor(losses)).tolist()),
            "losses": losses,
            "answer_tokens_a_row": round(row_tokens * 0.4),
            "logits_gib": logits / 2**30,
            "peak_gib": peak / 2**30,
        }
    )


def out_of_memory() -> dict[str, Any]:
    """A run in three fifths of the memory that its rows need: whether it ends with the losses of one that has enough."""
    device = device_here()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        request = sft_request(folder, "auto", "auto", batch={"per_device": 32, "accumulate": 1}, max_tokens=96)
        outs = folder / "enough", folder / "too-little"
        for out in outs:
            out.mkdir()
        train.train(request, outs[0])
        with _too_little_memory(device):
            result = train.train(request, outs[1])
        difference = apart(*(losses_in(out / "loss_history.csv") for out in outs))
    halved = "did not fit" in result.choices["packing"]
    return rounded(
        {"passed": halved and difference < _MOST_APART, "apart": difference, "packing": result.choices["packing"]}
    )


@contextmanager
def _too_little_memory(device: str) -> Iterator[None]:
    """Three fifths of the peak so far; where there is no CUDA, an allocator that refuses long rows."""
    if device == "cuda":
        peak, whole = torch.cuda.max_memory_reserved(), torch.cuda.mem_get_info()[1]
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(0.6 * peak / whole)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    loss = RowTrainer._row_loss

    def refuse(self: RowTrainer, model: Any, row: Any, *rest: Any, **settings: Any) -> torch.Tensor:
        if row["input_ids"].numel() > _ROW_ON_CPU:
            raise torch.OutOfMemoryError(f"{memory_bytes()} bytes are not enough")
        return loss(self, model, row, *rest, **settings)

    RowTrainer._row_loss = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        RowTrainer._row_loss = loss  # type: ignore[method-assign]
