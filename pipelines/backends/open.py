"""A recipe's backend name -> the backend; its module is imported only when asked."""

import importlib
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import cast

from pipelines.backends.base import Backend, BackendName
from pipelines.errors import MissingDependency

_TORCH, _MLX = "pipelines.backends.torch.backend", "pipelines.backends.mlx.backend"
BACKENDS: dict[BackendName, str] = {"auto": _TORCH, "cuda": _TORCH, "mps": _TORCH, "cpu": _TORCH, "mlx": _MLX}
_EXTRAS = {_TORCH: "train", _MLX: "mlx"}


def open_backend(name: BackendName) -> Backend:
    """The backend, imported. `auto` means the first of cuda, mlx (on an Apple chip), mps, cpu that is here.

    Raises:
        MissingDependency: no such backend here, or its packages are not installed.
    """
    module = module_of(name)
    with needed_packages(_EXTRAS[module]):
        return cast(Backend, importlib.import_module(module))


def module_of(name: BackendName) -> str:
    """The module of a backend; that of `auto` depends on the machine."""
    return _MLX if name == "auto" and takes_mlx() else BACKENDS[name]


def takes_mlx() -> bool:
    """Whether `auto` is MLX here: an Apple chip, which never has CUDA, with mlx-lm installed."""
    return is_apple_silicon() and all(find_spec(package) is not None for package in ("mlx", "mlx_lm"))


def is_apple_silicon() -> bool:
    """Whether this is a Mac with a chip of Apple's."""
    return sys.platform == "darwin" and platform.machine() == "arm64"


@contextmanager
def needed_packages(extra: str = "train") -> Iterator[None]:
    """Turn a failed import within the block into a MissingDependency that names the package and what installs it."""
    try:
        yield
    except ImportError as error:
        raise MissingDependency(
            f"training needs the package '{error.name}', which is not installed: pip install 'perennial-service[{extra}]'"
        ) from error
