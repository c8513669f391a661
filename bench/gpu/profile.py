"""Where a step's time goes: attention, the head over the vocabulary, NF4, the rest. Three steps under torch's profiler."""

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.gpu.random_models import device_here, matrix_parameters, rounded, shape
from bench.gpu.speed import build_trainer
from pipelines.backends.torch.device import choose
from pipelines.recipe import Train

_ATTENTION = re.compile(r"attention|flash|fmha|sdpa|flex", re.IGNORECASE)
_NF4 = re.compile(r"quantize|4bit|gemv", re.IGNORECASE)
_STEPS = 3


def profile_7b() -> dict[str, Any]:
    """Shares of the device's time in QLoRA's steps on a 7B, rows of 4k."""
    device = device_here()
    config = shape("7B", device)
    row_tokens = 4096 if device == "cuda" else 128
    recipe = Train.model_validate({"method": "qlora", "max_tokens": row_tokens})
    choices = replace(
        choose(recipe, matrix_parameters(config), None),
        row_tokens=row_tokens,
        activation_checkpointing=device == "cuda",
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer, _ = build_trainer(config, recipe, choices, device, Path(folder))
        trainer.model.train()
        batches = iter(trainer.get_train_dataloader())
        trainer.training_step(trainer.model, next(batches))
        activity = torch.profiler.ProfilerActivity
        activities = [activity.CUDA, activity.CPU] if device == "cuda" else [activity.CPU]
        with torch.profiler.profile(activities=activities, record_shapes=True) as recorded:
            for _ in range(_STEPS):
                trainer.training_step(trainer.model, next(batches))
            if device == "cuda":
                torch.cuda.synchronize()
    return rounded(_shares(recorded, config.vocab_size, device))


def _shares(recorded: Any, vocabulary: int, device: str) -> dict[str, Any]:
    """Self times by kind, as shares; the five operators that took most."""
    totals = {"attention": 0.0, "head": 0.0, "nf4": 0.0, "rest": 0.0}
    operators: dict[str, float] = {}
    for event in recorded.key_averages(group_by_input_shape=True):
        time = float(event.self_device_time_total if device == "cuda" else event.self_cpu_time_total)
        if (
            device == "cuda"
            and not event.key.startswith(("aten::", "bitsandbytes::", "triton"))
            and not _ATTENTION.search(event.key)
        ):
            continue  # the kernels themselves are listed a second time beside the operators that started them
        totals[_kind(event.key, event.input_shapes, vocabulary)] += time
        operators[event.key] = operators.get(event.key, 0.0) + time
    whole = sum(totals.values()) or 1.0
    most = sorted(operators.items(), key=lambda pair: -pair[1])[:8]
    return {
        **{name: time / whole for name, time in totals.items()},
        "milliseconds_a_step": whole / 1e3 / _STEPS,
        "operators": {name: round(time / whole, 3) for name, time in most},
    }


def _kind(name: str, shapes: Any, vocabulary: int) -> str:
    if _ATTENTION.search(name):
        return "attention"
    if any(vocabulary in sizes for sizes in shapes or [] if isinstance(sizes, list | tuple)):
        return "head"
    return "nf4" if _NF4.search(name) else "rest"
