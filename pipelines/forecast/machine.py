"""A machine that is not this one, as a person describes it: `--device mlx --memory 36GB`."""

import re
from typing import get_args

from pipelines.backends.base import Device, Machine
from pipelines.errors import InputError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(M|G|T)i?B?", re.IGNORECASE)
_BYTES = {"M": 1e6, "G": 1e9, "T": 1e12}
_ROW_TOKENS = 384  # as the torch backend packs off CUDA
_CHECKPOINTING_FROM = 1_000_000_000
_NOT_ON_MPS = (
    "`train.method: qlora` trains on CUDA, MLX or a CPU, and not on mps; use `method: lora`, or `backend: mlx`"
)


def other_machine(device: str, memory: str) -> Machine | None:
    """The machine, None where neither is given.

    Raises:
        InputError: one of the two is missing, or is not what it should be.
    """
    if not device and not memory:
        return None
    if not device or not memory:
        raise InputError("another machine is described by both: --device mlx --memory 36GB")
    known = get_args(Device)
    if device not in known:
        raise InputError(f"no device is called {device[:20]!r}; there are {', '.join(known)}")
    size = _SIZE.fullmatch(memory.strip())
    if size is None:
        raise InputError(f"{memory[:20]!r} is no size of memory; say --memory 36GB")
    return Machine.model_validate(
        {
            "device": device,
            "memory_bytes": int(float(size[1]) * _BYTES[size[2].upper()]),
            "bf16": device in ("cuda", "mlx"),
            "row_tokens": _ROW_TOKENS if device in ("cpu", "mps") else None,
            "checkpointing_from": _CHECKPOINTING_FROM,
            "refuses": {"qlora": _NOT_ON_MPS} if device == "mps" else {},
            "why": "another machine, as you described it",
        }
    )
