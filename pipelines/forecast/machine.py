"""A machine that is not this one, as a person describes it: `--device mlx --memory 36GB`; and how much a Mac's GPU may hold."""

import re
import subprocess
from typing import get_args

from pipelines.backends.base import Device, Machine
from pipelines.errors import InputError
from pipelines.forecast.memory import SHARED

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(M|G|T)i?B?", re.IGNORECASE)
_BYTES = {"M": 1e6, "G": 1e9, "T": 1e12}
_ROW_TOKENS = 384  # as the torch backend packs off CUDA
_CHECKPOINTING_FROM = 1_000_000_000
_NOT_ON_MPS = (
    "`train.method: qlora` trains on CUDA, MLX or a CPU, and not on mps; use `method: lora`, or `backend: mlx`"
)


def with_wired_limit(machine: Machine, sysctl: str = "/usr/sbin/sysctl") -> Machine:
    """The machine with what its GPU may hold of a shared memory, where somebody set `iogpu.wired_limit_mb`."""
    if machine.device not in SHARED:
        return machine
    try:
        asked = subprocess.run([sysctl, "-n", "iogpu.wired_limit_mb"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return machine
    said = asked.stdout.strip()
    megabytes = int(said) if said.isdigit() else 0  # 0: nobody set it
    return machine.model_copy(update={"limit_bytes": megabytes << 20}) if megabytes else machine


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
