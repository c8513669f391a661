"""A recipe's backend name -> the backend; its module is imported only when asked."""

import importlib
from typing import Literal, cast

from pipelines.backends.base import Backend
from pipelines.errors import MissingDependency

BackendName = Literal["auto", "cuda", "mps", "mlx", "cpu"]
_TORCH = "pipelines.backends.torch.backend"
_MODULES: dict[str, str] = {"auto": _TORCH, "cuda": _TORCH, "mps": _TORCH, "cpu": _TORCH}


def check_backend(name: BackendName) -> None:
    """Refuse a backend that this version does not have, before anything is started.

    Raises:
        MissingDependency: the name has no backend here.
    """
    if name not in _MODULES:
        raise MissingDependency(
            f"this version has no `{name}` backend; set `backend: auto` (or cuda, mps, cpu) under `train`"
        )


def open_backend(name: BackendName) -> Backend:
    """The backend, imported.

    Raises:
        MissingDependency: no such backend here, or its packages are not installed.
    """
    check_backend(name)
    try:
        module = importlib.import_module(_MODULES[name])
    except ImportError as error:
        raise MissingDependency(
            f"training needs the package '{error.name}', which is not installed: pip install 'perennial[train]'"
        ) from error
    return cast(Backend, module)
