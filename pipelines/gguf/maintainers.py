"""llama.cpp's own converter, of the version of the engine that will load the file, run in a child process.

It knows about a hundred architectures, and writes of each what the engine expects: names, permutations, pre-tokenizer.
Set-up unpacks it beside the environment (.venv/llama.cpp-VERSION); PERENNIAL_LLAMA_CPP names another folder.
"""

import importlib.metadata
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from pipelines.artifacts import new_file, sha256_of
from pipelines.errors import MissingDependency, ModelError
from pipelines.gguf.conversion import ConvertReport, FileType, TrainedOn
from pipelines.gguf.lora import Lora
from pipelines.gguf.model_files import read_json
from pipelines.gguf.tensors import Checkpoint
from pipelines.isolated import run_in_child

_CHILD = "pipelines.gguf.maintainers_child"
_SECONDS = 12 * 3600.0
_BYTES = {"f32": 4, "f16": 2, "bf16": 2}


def tools() -> Path:
    """The folder of llama.cpp's converters. Raises MissingDependency if it is not there."""
    named = os.environ.get("PERENNIAL_LLAMA_CPP")
    folder = Path(named) if named else Path(sys.prefix) / f"llama.cpp-{importlib.metadata.version('llama-cpp-python')}"
    if not (folder / "conversion" / "base.py").is_file():
        raise MissingDependency(
            f"llama.cpp's converter is not in {folder}: run `make setup`, or unpack vendor/llama.cpp of the source archive of "
            "llama-cpp-python of the installed version and name the folder in PERENNIAL_LLAMA_CPP"
        )
    return folder


def convert(
    model: Path, out: Path, *, adapter: Path | None, scale: float, ftype: FileType, trained_on: TrainedOn
) -> ConvertReport:
    """See pipelines.gguf.convert."""
    started = time.monotonic()
    checkpoint = Checkpoint(model)
    merged = _bind(adapter, scale, checkpoint)
    check_vocabulary(model)
    with new_file(out, _size_bytes(checkpoint, ftype)) as temporary:
        answer = _ask(
            "convert_here",
            {
                "model": str(model),
                "out": str(temporary),
                "adapter": None if adapter is None else str(adapter),
                "scale": scale,
                "ftype": ftype,
                "trained_on": trained_on,
            },
        )
    size = out.stat().st_size
    seconds = time.monotonic() - started
    return ConvertReport(
        out, sha256_of(out), int(answer["tensors"]), merged, size, seconds, dropped=tuple(answer["dropped"])
    )


def convert_adapter(model: Path, adapter: Path, out: Path) -> int:
    """A GGUF adapter of a PEFT LoRA for `model`, float32; gives its number of tensors. Raises as `convert` does."""
    checkpoint = Checkpoint(model)
    _bind(adapter, 1.0, checkpoint)
    size = sum(file.stat().st_size for file in adapter.glob("adapter_model*"))
    with new_file(out, 2 * size + (1 << 20)) as temporary:
        answer = _ask("convert_adapter_here", {"model": str(model), "adapter": str(adapter), "out": str(temporary)})
    return int(answer["tensors"])


def check_vocabulary(model: Path) -> None:
    """Raise ModelError where the tokenizer has more tokens than the model has embeddings: the converter only asserts."""
    config = read_json(model / "config.json")
    size = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size")
    path = model / "tokenizer.json"
    if not isinstance(size, int) or not path.is_file():
        return
    tokenizer = read_json(path)
    vocabulary, added = tokenizer.get("model", {}).get("vocab", ()), tokenizer.get("added_tokens", ())
    ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
    largest = max((*ids, *(token["id"] for token in added)), default=-1)
    if largest >= size:
        raise ModelError(
            f"the tokenizer of {model.name} has the token id {largest}, and the model only {size} embeddings (vocab_size): "
            "take the added tokens out of tokenizer.json, or resize the model's embeddings to its tokenizer"
        )


def _bind(adapter: Path | None, scale: float, checkpoint: Checkpoint) -> int:
    """How many weights the adapter changes, checked against the base."""
    if adapter is None:
        return 0
    lora = Lora(adapter, scale, dora=True)
    lora.bind(checkpoint.tensors)
    return len(lora.names)


def _ask(function: str, arguments: dict[str, Any]) -> dict[str, Any]:
    folder = tools()
    return run_in_child(f"{_CHILD}:{function}", {**arguments, "tools": str(folder)}, timeout_seconds=_SECONDS)


def _size_bytes(checkpoint: Checkpoint, ftype: FileType) -> int:
    tensors = checkpoint.tensors.values()
    return sum(math.prod(info.shape) * (4 if len(info.shape) == 1 else _BYTES[ftype]) for info in tensors) + (64 << 20)
