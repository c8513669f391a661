"""A recipe's backend name -> the backend; its module is imported only when asked."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from pipelines.backends.base import Backend, BackendName
from pipelines.errors import MissingDependency

_TORCH = "pipelines.backends.torch.backend"
BACKENDS: dict[BackendName, str] = {"auto": _TORCH, "cuda": _TORCH, "mps": _TORCH, "cpu": _TORCH}


def check_backend(name: BackendName) -> None:
    """Refuse a backend that this version does not have, before anything is started.

    Raises:
        MissingDependency: the name has no backend here.
    """
    if name not in BACKENDS:
        raise MissingDependency(
            f"this version has no `{name}` backend; set `backend: auto` (or cuda, mps, cpu) under `train`"
        )


def open_backend(name: BackendName) -> Backend:
    """The backend, imported.

    Raises:
        MissingDependency: no such backend here, or its packages are not installed.
    """
    check_backend(name)
    with needed_packages():
        return cast(Backend, importlib.import_module(BACKENDS[name]))


@contextmanager
def needed_packages() -> Iterator[None]:
    """Turn a failed import within the block into a MissingDependency that names the package."""
    try:
        yield
    except ImportError as error:
        raise MissingDependency(
            f"training needs the package '{error.name}', which is not installed: pip install 'perennial-service[train]'"
        ) from error
