"""The tensors of a safetensors checkpoint, read in row blocks so that memory never holds a whole large tensor.

A file starts with a little-endian uint64 (the header's length) and a JSON header; the data follows:

    {"__metadata__": {"format": "pt"},
     "model.norm.weight": {"dtype": "BF16", "shape": [256], "data_offsets": [0, 512]}}
"""

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.errors import ModelError

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies: its file, its first byte there, its size in bytes."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, the unit in which tensors are read and written."""
        return self.size_bytes // max(1, self.shape[0]) if self.shape else self.size_bytes


@dataclass(frozen=True)
class ShardHeader:
    """One file's header: its raw bytes (length prefix included) and its tensors in the order of their data."""

    file: Path
    raw: bytes
    tensors: tuple[TensorInfo, ...]


class Checkpoint:
    """All tensors of a single-file or sharded safetensors folder, by name.

    Raises:
        ModelError: no safetensors there, a shard is missing or cut short, or a header is damaged.
    """

    def __init__(self, folder: Path, single: str = "model.safetensors") -> None:
        self.folder = folder
        self.shards = [read_header(file) for file in _files(folder, single)]
        self.tensors: dict[str, TensorInfo] = {t.name: t for shard in self.shards for t in shard.tensors}
        _check_index(folder / f"{single}.index.json", self.tensors)

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Rows `start` to `stop` of a tensor in its stored dtype; all of it without bounds."""
        info = self.tensors[name]
        if info.dtype not in DTYPES:
            raise ModelError(f"tensor '{name}' is {info.dtype}; supported are {', '.join(DTYPES)}")
        rows = info.shape[0] if info.shape else 1
        stop = rows if stop is None else min(stop, rows)
        shape = (stop - start, *info.shape[1:]) if info.shape else ()
        data = bytearray((stop - start) * info.row_bytes)
        with info.file.open("rb") as file:
            file.seek(info.start + start * info.row_bytes)
            if file.readinto(data) != len(data):
                raise ModelError(f"{info.file.name} ends inside tensor '{name}': the file was cut short")
        if not data:
            return torch.empty(shape, dtype=DTYPES[info.dtype])
        return torch.frombuffer(data, dtype=DTYPES[info.dtype]).reshape(shape)


def row_blocks(info: TensorInfo, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, int]]:
    """Row ranges of a tensor whose blocks, as float32, take at most `block_bytes` (one row at least)."""
    rows = info.shape[0] if info.shape else 1
    values = 1
    for size in info.shape[1:]:
        values *= size
    step = max(1, block_bytes // (4 * max(1, values)))
    for start in range(0, rows, step):
        yield start, min(rows, start + step)


def read_header(file: Path) -> ShardHeader:
    """A safetensors file's header, checked against the file's real size."""
    try:
        with file.open("rb") as handle:
            prefix = handle.read(8)
            length = struct.unpack("<Q", prefix)[0]
            available = file.stat().st_size - 8
            if length > available:
                raise ModelError(f"{file.name} is cut short: its header alone needs {length} bytes")
            body = handle.read(length)
        entries: Mapping[str, Any] = json.loads(body)
        tensors = [_info(file, name, entry, 8 + length) for name, entry in entries.items() if name != "__metadata__"]
    except (OSError, struct.error, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} is not a readable safetensors file: {error}") from error
    tensors.sort(key=lambda tensor: tensor.start)
    end = tensors[-1].start + tensors[-1].size_bytes if tensors else 8 + length
    if end > available + 8:
        raise ModelError(f"{file.name} is cut short: {available + 8} bytes where its header promises {end}")
    return ShardHeader(file, prefix + body, tuple(tensors))


def to_bytes(tensor: torch.Tensor) -> bytes:
    """A tensor's raw little-endian bytes; bfloat16, which numpy lacks, included."""
    flat = tensor.contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy().data) if flat.numel() else b""


def require_finite(tensor: torch.Tensor, name: str) -> torch.Tensor:
    """The tensor itself. Raises ModelError if it holds NaN or infinity: such weights load and then talk nonsense."""
    if not bool(torch.isfinite(tensor).all()):
        raise ModelError(f"tensor '{name}' holds NaN or infinite values; the training that made it diverged")
    return tensor


def _files(folder: Path, single: str) -> list[Path]:
    index = folder / f"{single}.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise ModelError(f"{index} is not a readable safetensors index: {error}") from error
        files = [folder / Path(name).name for name in names]
    else:
        files = [folder / single]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelError(f"{folder} lacks {', '.join(missing)}; a model folder needs its safetensors weights")
    return files


def _check_index(index: Path, tensors: Mapping[str, TensorInfo]) -> None:
    if not index.is_file():
        return
    lost = sorted(set(json.loads(index.read_text())["weight_map"]) - set(tensors))
    if lost:
        raise ModelError(f"{index.name} names tensor '{lost[0]}', which no shard holds ({len(lost)} missing)")


def _info(file: Path, name: str, entry: Mapping[str, Any], data_start: int) -> TensorInfo:
    first, last = entry["data_offsets"]
    return TensorInfo(
        name=name,
        file=file,
        dtype=str(entry["dtype"]),
        shape=tuple(int(size) for size in entry["shape"]),
        start=data_start + int(first),
        size_bytes=int(last) - int(first),
    )
