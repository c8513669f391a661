"""A faster BLAS for MLX on Linux, in the training child alone: MLX brings the reference one, 15 times slower than torch.

LD_PRELOAD=libopenblas.so.0                              where the system has OpenBLAS (Debian: libopenblas0-pthread)
LD_PRELOAD=.venv/.../torch/lib/libtorch_cpu.so           else torch's, whose `sgemm_` MLX's `cblas_sgemm` calls
"""

import os
import sys
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

_PRELOAD = "LD_PRELOAD"


def blas_environment(backend: str, threads: int | None) -> dict[str, str]:
    """What the environment of a training child gets for a backend; nothing but for MLX on Linux."""
    if backend != "mlx" or not sys.platform.startswith("linux"):
        return {}
    library = find_library("openblas") or _of_torch()
    count = {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)} if threads else {}
    if library is None:
        return count
    return {**count, _PRELOAD: " ".join(filter(None, (library, os.environ.get(_PRELOAD))))}


def blas_in_words() -> str:
    """Which BLAS multiplies matrices in this process."""
    if not sys.platform.startswith("linux"):
        return "Accelerate, or the GPU"
    preloaded = os.environ.get(_PRELOAD, "")
    if "openblas" in preloaded:
        return "OpenBLAS, preloaded"
    if "torch" in preloaded:
        return "torch's, preloaded; with OpenBLAS (Debian: apt-get install libopenblas0-pthread) it is that one"
    return "MLX's own, which is many times slower than OpenBLAS: apt-get install libopenblas0-pthread"


def _of_torch() -> str | None:
    spec = find_spec("torch")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "lib" / "libtorch_cpu.so"
        if path.is_file():
            return str(path)
    return None
