"""What MLX trains on here: the GPU of an Apple chip, or on Linux the processor, with the same code."""

import os

import mlx.core as mx

from pipelines.backends.base import BackendName, Machine

_CHECKPOINTING_FROM_PARAMETERS = 1_000_000_000
# On a processor a padded batch of a few hundred tokens is soonest done: of 128 to 16,384 this was the best for models/tiny.
_PROCESSOR_TOKENS = 384


def machine(backend: BackendName) -> Machine:
    """Memory is the whole machine's, of which macOS gives an Apple GPU `limit_bytes`; every run times its precision."""
    return Machine(
        device="mlx",
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        bf16=None,
        row_tokens=None if on_metal() else _PROCESSOR_TOKENS,
        checkpointing_from=_CHECKPOINTING_FROM_PARAMETERS,
        limit_bytes=int(mx.device_info()["max_recommended_working_set_size"]) if on_metal() else None,
        why="auto takes MLX on every Apple chip: there is no CUDA, and mps cannot train in 4 bits"
        if backend == "auto"
        else "",
    )


def on_metal() -> bool:
    """Whether the GPU of an Apple chip computes."""
    return bool(mx.metal.is_available())
