"""What every backend shares stands without the packages of any: a backend of another kind (MLX) builds on it."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import backends
from pipelines.backends.blas import blas_environment
from pipelines.isolated import child_environment

SHARED = sorted(path.stem for path in Path(backends.__file__).parent.glob("*.py") if path.stem != "__init__")
PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes", "mlx")


def test_no_shared_module_imports_the_packages_of_a_backend() -> None:
    script = (
        f"import importlib, sys; sys.modules.update(dict.fromkeys({PACKAGES!r})); "
        f"[importlib.import_module('pipelines.backends.' + name) for name in {SHARED!r}]"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=child_environment())
    assert len(SHARED) > 8 and done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("backend", "system", "openblas", "preloaded"),
    [
        ("mlx", "linux", "libopenblas.so.0", "libopenblas.so.0 libother.so"),
        ("mlx", "linux", None, "libtorch_cpu.so libother.so"),
        ("mlx", "darwin", "libopenblas.so.0", None),
        ("cpu", "linux", "libopenblas.so.0", None),
    ],
)
def test_a_child_of_mlx_gets_a_faster_blas_on_linux_and_keeps_what_was_preloaded(
    monkeypatch: pytest.MonkeyPatch, backend: str, system: str, openblas: str | None, preloaded: str | None
) -> None:
    monkeypatch.setattr("pipelines.backends.blas.sys.platform", system)
    monkeypatch.setattr("pipelines.backends.blas.find_library", lambda name: openblas)
    monkeypatch.setattr("pipelines.backends.blas._of_torch", lambda: "libtorch_cpu.so")
    monkeypatch.setenv("LD_PRELOAD", "libother.so")
    environment = blas_environment(backend, 2)
    assert environment.get("LD_PRELOAD") == preloaded
    assert environment.get("OMP_NUM_THREADS") == (None if preloaded is None else "2")
