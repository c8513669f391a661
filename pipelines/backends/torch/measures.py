"""What a run measures of itself: the number of threads that suits it, and its peak memory."""

import resource
import sys
from dataclasses import replace
from pathlib import Path

import torch

from pipelines.backends.base import Device
from pipelines.backends.torch.callbacks import Tally
from pipelines.backends.torch.device import Choices
from pipelines.backends.torch.load import count_parameters
from pipelines.backends.torch.trainer import RowTrainer
from pipelines.timing import faster_threads

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes")  # what a result depends on
_SMALL_MODEL_PARAMETERS = 100_000_000


def with_fitting_threads(
    base: Path, threads: int | None, choices: Choices, trainer: RowTrainer, tally: Tally
) -> Choices:
    """On a CPU, the number of threads that trains a small model soonest; a resumed run keeps the number it had."""
    small = count_parameters(base) < _SMALL_MODEL_PARAMETERS
    if choices.device != "cpu" or threads or not small or choices.threads == 1:
        return choices
    if tally.threads:
        count, why = tally.threads, "as before the interruption"
    else:
        count, why = faster_threads(trainer.try_a_row, choices.threads)
    torch.set_num_threads(count)
    tally.threads = count
    return replace(choices, threads=count, why=choices.why | {"threads": f"{count}: {why}"})


def peak_memory_bytes(device: Device) -> int:
    """Bytes at the peak: of the GPU's allocator on CUDA, else of the whole process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
