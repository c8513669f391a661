"""Rows whose logits would not fit: a vocabulary of 152 thousand, and KL to the origin on every answer token."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.gpu.random_models import device_here, matrix_parameters, rounded, shape
from bench.gpu.speed import build_trainer
from pipelines.backends.torch.device import choose
from pipelines.recipe import Train

_ROW_TOKENS = 8192


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
