"""The one place that says how llama.cpp runs: scoring and serving share it, so that what is gated is what is served."""

import ctypes
import hashlib
import importlib
import importlib.metadata
import os
import sys
from collections import deque
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.errors import MissingDependency

# Below this size the work of one token is shorter than the wait of threads for each other.
_ONE_THREAD_BYTES = 64 << 20
_LAST_LINES: deque[str] = deque(maxlen=5)


@dataclass(frozen=True)
class Runtime:
    """Everything about a run that may move a score.

    `chunk` is how many prompt tokens are computed at once, counted from the prompt's start: results depend on it
    in the last digits, so prompts are always cut at the same places. `width` is how many greedy answers are written
    side by side when a model is scored, in forwards of just so many tokens, for the same reason.
    """

    threads: int
    chunk: int = 256
    width: int = 16
    kv_type: str = "f16"
    flash_attention: bool = True


def runtime_for(gguf: Path) -> Runtime:
    """The settings for one model file: one thread for tiny models, all usable cores for others."""
    small = gguf.stat().st_size < _ONE_THREAD_BYTES
    return Runtime(threads=1 if small else usable_cores())


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def llama() -> Any:
    """The llama_cpp package, its log kept out of our output.

    OpenMP reads its wait policy when the library loads: with spinning threads, cores shared with other work are
    40 times slower.

    Raises:
        MissingDependency: llama-cpp-python is not installed.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        library: Any = importlib.import_module("llama_cpp")
    except ImportError as error:
        raise MissingDependency(
            f"GGUF models need llama-cpp-python: pip install 'perennial-service[gguf]' ({error})"
        ) from error
    _keep_log(library)
    library.llama_backend_init()
    return library


def last_words() -> str:
    """The last line llama.cpp logged as a warning or an error, to explain a failure; empty if there is none."""
    return _LAST_LINES[-1] if _LAST_LINES else ""


def fingerprint(runtime: Runtime) -> dict[str, str | int | bool]:
    """What moves scores besides model and prompt: versions, the built library, CPU features and settings."""
    library = llama()
    features: str = library.llama_print_system_info().decode()
    return {
        "llama_cpp_python": importlib.metadata.version("llama-cpp-python"),
        "library_sha256": _library_digest(Path(library.__file__).parent / "lib"),
        "cpu": " ".join(features.split()),
        "platform": sys.platform,
        **asdict(runtime),
    }


def _keep_log(library: Any) -> None:
    @library.llama_log_callback  # type: ignore[untyped-decorator]
    def keep(level: int, text: bytes, _data: ctypes.c_void_p) -> None:
        if level in (3, 4) and text.strip():
            _LAST_LINES.append(text.decode("utf-8", "replace").strip())

    library.perennial_log = keep  # ctypes keeps no reference of its own
    library.llama_log_set(keep, ctypes.c_void_p(0))


@cache
def _library_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.is_file() and not file.is_symlink():
            digest.update(file.read_bytes())
    return digest.hexdigest()
