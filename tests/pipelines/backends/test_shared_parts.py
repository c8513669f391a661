"""What every backend shares stands without the packages of any: a backend of another kind (MLX) builds on it."""

import subprocess
import sys
from pathlib import Path

from pipelines import backends
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
