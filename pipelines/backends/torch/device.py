"""Which device, precision and optimizer a run uses, and why: the same code everywhere, its choices written down."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import torch

from pipelines.backends.base import BackendName, Device, Machine
from pipelines.errors import TrainingError
from pipelines.recipe import Train

_MOST_THREADS = 16
# One forward off CUDA is fastest at a few hundred tokens: below, calls cost more than arithmetic; above, the
# block-diagonal attention mask does (of 128 to 768 this was the fastest for models/tiny, by hand).
_ROW_TOKENS = 384
_CHECKPOINTING_FROM_PARAMETERS = 1_000_000_000


@dataclass(frozen=True)
class Choices:
    """What a run uses, and in `why` why, in words.

    Attributes:
        row_tokens: bounds one packed forward.
        attention: "auto", or one of transformers' or of attention.PACKED by its name.
    """

    device: Device
    threads: int
    bf16: bool
    optimizer: str
    activation_checkpointing: bool
    row_tokens: int
    why: dict[str, str]
    attention: str = "auto"

    @property
    def precision(self) -> Literal["float32", "bfloat16"]:
        """The dtype of a training step."""
        return "bfloat16" if self.bf16 else "float32"


def machine(backend: BackendName) -> Machine:
    """What torch trains on here when a recipe says `backend: ...`.

    Raises:
        TrainingError: the recipe asks for a device that is not here.
    """
    device = _device(backend)
    return Machine(
        device=device,
        memory_bytes=torch.cuda.mem_get_info()[1] if device == "cuda" else memory_bytes(),
        # a T4 or V100 emulates bfloat16, many times slower than float32; on mps autocast to it is not tried
        bf16={"cuda": torch.cuda.is_bf16_supported(including_emulation=False), "mps": False}.get(device),
        row_tokens=None if device == "cuda" else _ROW_TOKENS,
        checkpointing_from=_CHECKPOINTING_FROM_PARAMETERS,
        refuses=_refuses(device),
    )


def choose(train: Train, parameters: int, threads: int | None) -> Choices:
    """The choices for a model of so many parameters on this machine; a CPU's precision is timed later (precision.py).

    Raises:
        TrainingError: the recipe asks for a device that is not here, or for a method that cannot train on it.
    """
    here = machine(train.backend)
    here.require(train)
    count = threads or most_threads()
    optimizer, why_optimizer = _optimizer(train.optimizer, here.device)
    checkpointing = parameters >= here.checkpointing_from
    budget = train.batch.per_device * train.max_tokens
    row_tokens = min(budget, here.row_tokens or budget)
    why = {
        "device": f"{here.device}: {'the best that this machine has' if train.backend == 'auto' else 'as the recipe asks'}",
        "threads": f"{count}: {'as asked' if threads else 'all cores, at most 16'}",
        "precision": _why_precision(here),
        "optimizer": f"{optimizer}: {why_optimizer}",
        "activation_checkpointing": "on: from 1e9 parameters" if checkpointing else "off: memory is not tight",
        "packing": f"best fit decreasing within each step's examples, rows of at most {row_tokens} tokens",
    }
    return Choices(here.device, count, bool(here.bf16), optimizer, checkpointing, row_tokens, why)


def most_threads() -> int:
    """All cores, at most 16."""
    return min(os.cpu_count() or 1, _MOST_THREADS)


def memory_bytes() -> int:
    """Of the whole machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _device(backend: BackendName) -> Device:
    here: dict[Device, bool] = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if backend == "auto":
        return next(device for device, present in here.items() if present)
    if backend == "mlx" or not here[backend]:
        raise TrainingError(f"the recipe asks for `backend: {backend}`, which this machine does not have; use auto")
    return backend


def _refuses(device: Device) -> dict[str, str]:
    """QLoRA's NF4 is bitsandbytes', which computes on CUDA and on CPUs and is not installed everywhere."""
    if device == "mps":
        return {"qlora": "`train.method: qlora` trains on CUDA or a CPU, and this is mps; use `method: lora`"}
    if find_spec("bitsandbytes") is None:
        return {
            "qlora": "`train.method: qlora` needs bitsandbytes, which is not installed: pip install bitsandbytes, "
            "or use `method: lora`"
        }
    return {}


def _why_precision(here: Machine) -> str:
    if here.device == "cuda":
        return (
            "bfloat16 autocast: this GPU computes in it"
            if here.bf16
            else "float32: this GPU has no bfloat16 of its own"
        )
    return "float32: bfloat16 autocast is not tried on mps" if here.device == "mps" else "float32: not timed"


def _optimizer(optimizer: str, device: Device) -> tuple[str, str]:
    if optimizer == "adamw_torch" or device == "cuda":
        return optimizer, "as the recipe asks"
    return "adamw_torch", f"{optimizer} needs CUDA"
