"""The one place that says how llama.cpp runs: scoring and serving share it, so that what is gated is what is served."""

import ctypes
import hashlib
import importlib
import importlib.metadata
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.errors import InputError, MissingDependency

# Below this size the work of one token is shorter than the wait of threads for each other.
_ONE_THREAD_BYTES = 64 << 20
KV_TYPES = {"f32": 0, "f16": 1, "q8_0": 8}
_GPU_RESERVE_BYTES = 2 << 30  # for keys and values, and what a forward needs
_GPU_TYPES = (1, 2)  # of its own memory, or with the machine's
_MOST_LAYERS = 1000
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
    gpu_layers: int = 0


def runtime_for(gguf: Path) -> Runtime:
    """The settings for one model file: one thread for tiny models, all usable cores for others; the rest as is set.

    Raises:
        InputError: a variable of SETTINGS cannot be used.
    """
    wishes = _wishes()
    if wishes.get("kv_type") == "q8_0" and wishes.get("flash_attention") is False:
        raise InputError("PERENNIAL_KV_TYPE=q8_0 needs flash attention: take out PERENNIAL_FLASH_ATTENTION=0")
    if "gpu_layers" not in wishes:
        wishes["gpu_layers"] = layers_that_fit(gguf, gpu_free_bytes())
    return Runtime(threads=threads_for(gguf), **wishes)


def threads_for(gguf: Path) -> int:
    """How many threads a model file is computed with."""
    return 1 if gguf.stat().st_size < _ONE_THREAD_BYTES else usable_cores()


def uses_gpu() -> bool:
    """Whether models go onto a GPU here, as far as it has room. Raises as `runtime_for` does."""
    return _wishes().get("gpu_layers") != 0 and bool(llama().llama_supports_gpu_offload())


def layers_that_fit(gguf: Path, free_bytes: int) -> int:
    """How many of a model's layers, its output among them, a GPU with so much free memory can hold beside their cache."""
    if free_bytes <= _GPU_RESERVE_BYTES:
        return 0
    layers = _count_layers(gguf) + 1
    return min(layers, int((free_bytes - _GPU_RESERVE_BYTES) / (gguf.stat().st_size / layers)))


def gpu_free_bytes() -> int:
    """Free memory of the GPUs that llama.cpp was compiled for, in all; 0 without one."""
    library = llama()
    if not library.llama_supports_gpu_offload():
        return 0
    devices = ctypes.CDLL(next(str(path) for path in _libraries(library) if path.name.startswith("libggml.")))
    devices.ggml_backend_dev_count.restype = ctypes.c_size_t
    devices.ggml_backend_dev_get.restype = ctypes.c_void_p
    in_all = 0
    for number in range(devices.ggml_backend_dev_count()):
        device = ctypes.c_void_p(devices.ggml_backend_dev_get(ctypes.c_size_t(number)))
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        if devices.ggml_backend_dev_type(device) in _GPU_TYPES:
            devices.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
            in_all += free.value
    return in_all


def read_kv_type(text: str) -> str:
    """The type of the key-value cache. Raises ValueError for one that is none."""
    if text not in KV_TYPES:
        raise ValueError(f"the cache of keys and values is one of {', '.join(KV_TYPES)}")
    return text


def read_switch(text: str) -> bool:
    """1 or 0 as a truth value. Raises ValueError for anything else."""
    if text not in ("0", "1"):
        raise ValueError("write 1 or 0")
    return text == "1"


def read_layers(text: str) -> int | None:
    """A number of layers, None for `auto`. Raises ValueError for anything else."""
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or int(text) > _MOST_LAYERS:
        raise ValueError("write auto, or how many layers go onto the GPU: 0 for none, 1000 for all")
    return int(text)


SETTINGS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "PERENNIAL_KV_TYPE": ("kv_type", read_kv_type),
    "PERENNIAL_FLASH_ATTENTION": ("flash_attention", read_switch),
    "PERENNIAL_GPU_LAYERS": ("gpu_layers", read_layers),
}
"""How llama.cpp runs, by variable; in the environment, for the processes of many stages load models."""


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


def _wishes() -> dict[str, Any]:
    """What is set of a Runtime; `auto` is nothing."""
    wishes: dict[str, Any] = {}
    for variable, (name, read) in SETTINGS.items():
        try:
            if (wish := read(os.environ[variable]) if variable in os.environ else None) is not None:
                wishes[name] = wish
        except ValueError as error:
            raise InputError(f"{variable}={os.environ[variable]!r} cannot be used: {error}") from error
    return wishes


def _count_layers(gguf: Path) -> int:
    from gguf import GGUFReader

    fields = GGUFReader(gguf).fields
    return next(int(field.contents()) for name, field in fields.items() if name.endswith(".block_count"))


def _libraries(library: Any) -> Iterable[Path]:
    return sorted((Path(library.__file__).parent / "lib").iterdir())


@cache
def _library_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.is_file() and not file.is_symlink():
            digest.update(file.read_bytes())
    return digest.hexdigest()
