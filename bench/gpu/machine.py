"""The card that the figures are of."""

import importlib.metadata
import os
import subprocess
from datetime import UTC, datetime
from typing import Any

import torch

from pipelines.backends.torch.device import machine

_PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes")


def describe() -> dict[str, Any]:
    """Card, driver, versions, day, and the two ceilings that a rate is compared with."""
    here = machine("auto")
    figures: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": here.device,
        "cores": os.cpu_count(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "bf16": here.bf16,
    }
    if here.device == "cuda":
        figures |= {"card": torch.cuda.get_device_name(), "driver": _driver(), "memory_gib": here.memory_bytes / 2**30}
    return figures | _ceilings(here.device)


def _ceilings(device: str) -> dict[str, float]:
    """What a large matrix product reaches, and a copy within the device's memory, bytes read and written counted."""
    side = 8192 if device == "cuda" else 256
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16 if device == "cuda" else torch.float32)
    seconds = best_seconds(lambda: matrix @ matrix, device)
    copied = torch.empty_like(matrix)
    copying = best_seconds(lambda: copied.copy_(matrix), device)
    return {
        "matmul_tflops": round(2 * side**3 / seconds / 1e12, 2),
        "copy_gb_per_second": round(2 * matrix.numel() * matrix.element_size() / copying / 1e9, 1),
    }


def best_seconds(call: Any, device: str, repeats: int = 10) -> float:
    """The median seconds of a call, after three to warm up."""
    for _ in range(3):
        call()
    times = []
    for _ in range(repeats):
        started = now(device)
        call()
        times.append(now(device) - started)
    return sorted(times)[repeats // 2]


def now(device: str) -> float:
    """Seconds on a clock that waits for what the device still has to do."""
    import time

    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
