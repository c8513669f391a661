"""What a run says of itself beside its losses: the packages it depends on and its peak memory."""

import resource
import sys

import mlx.core as mx

from pipelines.backends.mlx.machine import on_metal

PACKAGES = ("mlx", "mlx-lm", "transformers")


def peak_memory_bytes() -> int:
    """Bytes at the peak: of MLX's allocator on an Apple GPU, else of the whole process."""
    if on_metal():
        return int(mx.get_peak_memory())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
