"""Quantize a GGUF through llama.cpp, in a child process, and check that the result is what was asked for."""

import ctypes
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pipelines.artifacts import new_file, sha256_of
from pipelines.errors import ArtifactError, GGUFError
from pipelines.gguf.check import tensor_types
from pipelines.isolated import run_in_child
from pipelines.recipe import Quantization

# llama.cpp's number of each kind, and the types its matrices may then have. Where a row's length is not a multiple of
# 256, k-quants fall back to other types and still report success.
_FILE_TYPES = {"Q8_0": 7, "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18}
_EXPECTED = {
    "Q8_0": {"Q8_0"},
    "Q4_K_M": {"Q4_K", "Q5_K", "Q6_K"},  # Q5_K only in models of 80 layers
    "Q5_K_M": {"Q5_K", "Q6_K"},
    "Q6_K": {"Q6_K"},
}
_BITS = {"Q8_0": 8.6, "Q4_K_M": 6.0, "Q5_K_M": 6.6, "Q6_K": 6.7, "F16": 16.1}
_TIMEOUT_SECONDS = 4 * 3600.0


@dataclass(frozen=True)
class QuantizeReport:
    """What `quantize` wrote: `types` counts tensors per storage type."""

    path: Path
    sha256: str
    types: dict[str, int]
    size_bytes: int
    seconds: float


def quantize(source: Path, out: Path, kind: Quantization = "Q4_K_M", *, threads: int = 1) -> QuantizeReport:
    """A quantized copy of a float GGUF; `out` appears checked and complete, or not at all. F16 only copies.

    Raises:
        GGUFError: `source` is unreadable or quantized already, holds NaN, or has sizes that k-quants cannot take.
        ArtifactError: the disk is too small.
    """
    started = time.monotonic()
    if kind not in get_args(Quantization):
        raise GGUFError(f"quantization {kind!r} is not supported; supported: {', '.join(get_args(Quantization))}")
    if out.exists() and out.resolve() == source.resolve():
        raise GGUFError(f"{source} cannot be quantized onto itself")
    before = _float_types(source)
    with new_file(out, _needed_bytes(source, before, kind)) as temporary:
        if kind == "F16":
            shutil.copyfile(source, temporary)
        else:
            _run(source, temporary, kind, threads)
        types = tensor_types(temporary)
        _check_types(types, before, kind)
    counts = {name: list(types.values()).count(name) for name in sorted(set(types.values()))}
    return QuantizeReport(out, sha256_of(out), counts, out.stat().st_size, time.monotonic() - started)


def quantize_in_this_process(arguments: dict[str, Any]) -> dict[str, Any]:
    """The body of `quantize`, for its child process; `code` is 0 when llama.cpp is content."""
    from pipelines.gguf.runtime import last_words, llama

    library = llama()
    parameters = library.llama_model_quantize_default_params()
    parameters.ftype = _FILE_TYPES[arguments["kind"]]
    parameters.nthread = arguments["threads"]
    source, out = str(arguments["source"]).encode(), str(arguments["out"]).encode()
    code = library.llama_model_quantize(source, out, ctypes.byref(parameters))
    return {"code": int(code), "message": last_words()}


def _run(source: Path, out: Path, kind: Quantization, threads: int) -> None:
    arguments = {"source": str(source), "out": str(out), "kind": kind, "threads": threads}
    answer = run_in_child(
        "pipelines.gguf.quantize:quantize_in_this_process", arguments, timeout_seconds=_TIMEOUT_SECONDS
    )
    if answer["code"] == 0:
        return
    if shutil.disk_usage(out.parent).free < source.stat().st_size // 100:
        raise ArtifactError(f"quantizing {source.name} to {kind} filled the disk; make room and run it again")
    raise GGUFError(f"llama.cpp could not quantize {source.name} to {kind}: {answer['message'] or 'no reason given'}")


def _float_types(source: Path) -> dict[str, str]:
    if not source.is_file():
        raise GGUFError(f"{source} is missing")
    types = tensor_types(source)
    quantized = sorted(name for name, kind in types.items() if kind not in ("F32", "F16", "BF16"))
    if quantized:
        raise GGUFError(f"{source.name} is quantized already ('{quantized[0]}' is {types[quantized[0]]})")
    return types


def _check_types(types: dict[str, str], before: dict[str, str], kind: Quantization) -> None:
    """Every tensor is still there, and the matrices really have the type that was asked for."""
    if set(types) != set(before):
        raise GGUFError(f"quantizing to {kind} lost tensors: {len(before)} before, {len(types)} after")
    if kind == "F16":
        return
    matrices = {name: stored for name, stored in types.items() if name.endswith(".weight") and "norm" not in name}
    for name, stored in sorted(matrices.items()):
        if stored not in _EXPECTED[kind]:
            raise GGUFError(
                f"tensor '{name}' became {stored} instead of {kind}: k-quants need hidden and intermediate sizes that "
                "are multiples of 256; use such a base model, or quantize: Q8_0"
            )


def _needed_bytes(source: Path, types: dict[str, str], kind: Quantization) -> int:
    """An upper estimate, from the bits per weight of each kind."""
    bits_before = 32.0 if "F16" not in types.values() and "BF16" not in types.values() else 16.0
    return int(source.stat().st_size * (1.0 if kind == "F16" else _BITS[kind] / bits_before)) + (8 << 20)
