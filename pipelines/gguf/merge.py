"""Fold a LoRA into its base model, tensor by tensor in row blocks: memory stays far below the model's size."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch

from pipelines.artifacts import new_folder
from pipelines.errors import ModelError
from pipelines.gguf.conversion import TrainedOn
from pipelines.gguf.lora import Lora
from pipelines.gguf.model_files import refuse_quantized
from pipelines.gguf.rounding import is_rounded, round_trip
from pipelines.gguf.tensors import DTYPES, Checkpoint, ShardHeader, TensorInfo, require_finite, row_blocks, to_bytes

_COPY_BYTES = 8 << 20
_NOT_COPIED = (".safetensors", ".bin", ".pt", ".pth", ".gguf")


@dataclass(frozen=True)
class MergeReport:
    """What `merge` did: tensors changed and copied, bytes written, seconds."""

    merged: int
    copied: int
    size_bytes: int
    seconds: float


def merge(base: Path, adapter: Path, out: Path, *, scale: float = 1.0, onto: TrainedOn = "full") -> MergeReport:
    """A new model folder `out`: the base with the adapter's change, times `scale`, added to its weights.

    Sums are made in float32 and rounded once to the base's dtype, bit-identical to peft's `merge_and_unload`. With
    `onto="nf4"` or "mlx4" the layers' matrices first go through these 4 bits and back, as in an export that merged onto those.
    `out` appears complete or not at all. Peak memory is a few row blocks and the adapter.

    Raises:
        ModelError: base or adapter unreadable, of an unsupported kind, or not made for each other.
        ArtifactError: `out` exists, or the disk is too small.
    """
    started = time.monotonic()
    checkpoint, lora = Checkpoint(base), Lora(adapter, scale, dora=True)
    lora.bind(checkpoint.tensors)
    _check_floats(checkpoint, lora)
    refuse_quantized(base)
    size = sum(tensor.size_bytes for tensor in checkpoint.tensors.values())
    with new_folder(out, size) as folder:
        for shard in checkpoint.shards:
            _write_shard(checkpoint, shard, lora, folder / shard.file.name, onto)
        _copy_companions(base, folder)
    merged = len(lora.names)
    return MergeReport(merged, len(checkpoint.tensors) - merged, size, time.monotonic() - started)


def merged_block(checkpoint: Checkpoint, lora: Lora | None, name: str, start: int, stop: int) -> torch.Tensor:
    """Rows of a weight with the adapter's change added, in the base's dtype; unchanged where the adapter has none."""
    block = checkpoint.read(name, start, stop)
    if lora is None or name not in lora.names:
        return block
    return require_finite(lora.changed(name, block.float(), start).to(block.dtype), name)


def _check_floats(checkpoint: Checkpoint, lora: Lora) -> None:
    for name in lora.names:
        dtype = checkpoint.tensors[name].dtype
        if dtype not in DTYPES:
            raise ModelError(f"'{name}' is stored as {dtype}; an adapter merges onto {', '.join(DTYPES)} weights only")


def _write_shard(checkpoint: Checkpoint, shard: ShardHeader, lora: Lora, out: Path, onto: TrainedOn) -> None:
    """The same file with the same header; only the bytes of adapted weights, and of what is rounded first, differ."""
    with shard.file.open("rb") as source, out.open("wb") as target:
        target.write(shard.raw)
        for tensor in shard.tensors:
            target.seek(tensor.start)
            if is_rounded(tensor.name, tensor.shape, onto):
                target.write(to_bytes(_on_rounded(checkpoint, lora, tensor.name, onto)))
            elif tensor.name in lora.names:
                for start, stop in row_blocks(tensor):
                    target.write(to_bytes(merged_block(checkpoint, lora, tensor.name, start, stop)))
            else:
                _copy_bytes(source, target, tensor)


def _on_rounded(checkpoint: Checkpoint, lora: Lora, name: str, onto: TrainedOn) -> torch.Tensor:
    """A whole matrix after 4 bits and back, with the adapter's change where it has one; its blocks reach over rows."""
    weight = round_trip(checkpoint.read(name), onto)
    if name not in lora.names:
        return weight
    return require_finite(lora.changed(name, weight.float(), 0).to(weight.dtype), name)


def _copy_bytes(source: BinaryIO, target: BinaryIO, tensor: TensorInfo) -> None:
    source.seek(tensor.start)
    left = tensor.size_bytes
    while left:
        chunk = source.read(min(_COPY_BYTES, left))
        if not chunk:
            raise ModelError(f"{tensor.file.name} ends inside tensor '{tensor.name}': the file was cut short")
        target.write(chunk)
        left -= len(chunk)


def _copy_companions(base: Path, folder: Path) -> None:
    """Configuration, tokenizer, template and index; never other weights."""
    for file in sorted(base.iterdir()):
        if file.is_file() and file.suffix not in _NOT_COPIED:
            shutil.copyfile(file, folder / file.name)
