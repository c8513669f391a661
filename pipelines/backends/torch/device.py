"""Which device, precision and optimizer a run uses, and why: the same code everywhere, its choices written down."""

import os
from dataclasses import dataclass
from typing import Literal

import torch

from pipelines.backends.base import CHECKPOINTING_FROM_PARAMETERS, CPU_ROW_TOKENS
from pipelines.backends.open import BackendName
from pipelines.errors import TrainingError
from pipelines.recipe import Train

Device = Literal["cuda", "mps", "cpu"]
_MOST_THREADS = 16


@dataclass(frozen=True)
class Choices:
    """What a run uses. `row_tokens` bounds one packed forward; `why` says in words why each was chosen."""

    device: Device
    threads: int
    bf16: bool
    optimizer: str
    activation_checkpointing: bool
    row_tokens: int
    why: dict[str, str]

    @property
    def precision(self) -> Literal["float32", "bfloat16"]:
        return "bfloat16" if self.bf16 else "float32"


def choose(train: Train, parameters: int, threads: int | None) -> Choices:
    """The choices for a model of so many parameters on this machine; a CPU's precision is timed later (precision.py).

    Raises:
        TrainingError: the recipe asks for a device that is not here.
    """
    device, why_device = _device(train.backend)
    count = threads or most_threads()
    bf16, why_bf16 = _bf16(device)
    optimizer, why_optimizer = _optimizer(train.optimizer, device)
    checkpointing = parameters >= CHECKPOINTING_FROM_PARAMETERS
    budget = train.batch.per_device * train.max_tokens
    row_tokens = budget if device == "cuda" else min(budget, CPU_ROW_TOKENS)
    why = {
        "device": f"{device}: {why_device}",
        "threads": f"{count}: {'as asked' if threads else 'all cores, at most 16'}",
        "precision": why_bf16,
        "optimizer": f"{optimizer}: {why_optimizer}",
        "activation_checkpointing": "on: from 1e9 parameters" if checkpointing else "off: memory is not tight",
        "packing": f"best fit decreasing within each step's examples, rows of at most {row_tokens} tokens",
    }
    return Choices(device, count, bf16, optimizer, checkpointing, row_tokens, why)


def most_threads() -> int:
    """All cores, at most 16."""
    return min(os.cpu_count() or 1, _MOST_THREADS)


def _device(backend: BackendName) -> tuple[Device, str]:
    here: dict[Device, bool] = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if backend == "auto":
        best = next(device for device, present in here.items() if present)
        return best, "the best that this machine has"
    if backend == "mlx" or not here[backend]:
        raise TrainingError(f"the recipe asks for `backend: {backend}`, which this machine does not have; use auto")
    return backend, "as the recipe asks"


def _bf16(device: Device) -> tuple[bool, str]:
    if device == "cuda":
        # a T4 or V100 emulates bfloat16, many times slower than float32
        good = torch.cuda.is_bf16_supported(including_emulation=False)
        return (
            good,
            "bfloat16 autocast: this GPU computes in it" if good else "float32: this GPU has no bfloat16 of its own",
        )
    if device == "mps":
        return False, "float32: bfloat16 autocast is not tried on mps"
    return False, "float32: not timed"


def _optimizer(asked: str, device: Device) -> tuple[str, str]:
    if asked == "adamw_torch" or device == "cuda":
        return asked, "as the recipe asks"
    return "adamw_torch", f"{asked} needs CUDA"
