"""What an export changed: modules that the adapter moves, and blocks of the served file that differ from the origin's.

A training that went nowhere leaves an adapter whose B is 0. It merges, quantizes and passes every margin, since it is
the origin over again; only a look at the weights themselves tells.
"""

from pathlib import Path

import gguf
import numpy as np

from pipelines.errors import ModelError
from pipelines.gate.change import Change
from pipelines.gguf.lora import Lora, plain_name
from pipelines.gguf.tensors import BLOCK_BYTES, Checkpoint, row_blocks
from pipelines.recipe import Target
from pipelines.records import Record, ServedForm


class Modules(Record):
    """Linear modules of the architecture, those that a recipe names for training, and those that an adapter moves."""

    present: int
    targeted: int
    moved: int


def count_modules(base: Path, adapter: Path | None, scale: float, target: Target) -> Modules | None:
    """How many modules the adapter has and moves; None without an adapter.

    Raises:
        ModelError: the adapter lacks modules that `target` names: it is not what the recipe has trained.
    """
    if adapter is None:
        return None
    checkpoint, lora = Checkpoint(base), Lora(adapter, scale, dora=True)
    lora.bind(checkpoint.tensors)
    linear = _linear(checkpoint)
    named = linear if target == "all-linear" else _named(checkpoint, target)
    missing = sorted(named - lora.names)
    if missing:
        raise ModelError(
            f"the adapter has {len(named) - len(missing)} of the {len(named)} modules that `train.lora.target` names, "
            f"and not '{missing[0].removesuffix('.weight')}': its training or its file is incomplete; train it again"
        )
    moved = sum(_moves(checkpoint, lora, name) for name in lora.names)
    return Modules(present=len(linear), targeted=len(named), moved=moved)


def measure_change(form: ServedForm, origin: Path, modules: Modules | None) -> Change:
    """How a served form, with whole paths, differs from the origin's file.

    Blocks are counted where everything is in one file; with an adapter beside it the base is the origin's, of course.
    """
    tensors, changed_tensors, blocks, changed = (0, 0, 0, 0) if form.kind == "adapter" else _blocks(form.path, origin)
    return Change(
        tensors=tensors,
        changed_tensors=changed_tensors,
        blocks=blocks,
        changed_blocks=changed,
        modules=modules.present if modules else 0,
        targeted_modules=modules.targeted if modules else 0,
        moved_modules=modules.moved if modules else 0,
    )


def _linear(checkpoint: Checkpoint) -> set[str]:
    """The matrices of the layers: what LoRA calls all-linear, without embeddings and output."""
    tensors = checkpoint.tensors.items()
    return {name for name, info in tensors if len(info.shape) == 2 and plain_name(name).startswith("model.layers.")}


def _named(checkpoint: Checkpoint, target: tuple[str, ...]) -> set[str]:
    """The matrices whose module is called, or ends in, one of these names, as peft matches them."""
    modules = {name: name.removesuffix(".weight") for name, info in checkpoint.tensors.items() if len(info.shape) == 2}
    return {name for name, module in modules.items() if any(f".{module}".endswith(f".{one}") for one in target)}


def _moves(checkpoint: Checkpoint, lora: Lora, name: str) -> bool:
    """Whether the adapter's effect on a weight, scale included, is anything but 0."""
    blocks = row_blocks(checkpoint.tensors[name])
    return any(bool(lora.delta(name, start, stop).any()) for start, stop in blocks)


def _blocks(path: str, origin: Path) -> tuple[int, int, int, int]:
    """Tensors, tensors that differ, blocks and blocks that differ; both files are read in pieces.

    A block is what a quantization stores together (256 weights of Q4_K, one of F32).
    """
    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(origin).tensors}
    tensors = changed_tensors = blocks = changed_blocks = 0
    for tensor in gguf.GGUFReader(path).tensors:
        changed = _changed(tensor, theirs.get(tensor.name))
        tensors, blocks = tensors + 1, blocks + int(tensor.n_bytes) // _block_bytes(tensor)
        changed_tensors, changed_blocks = changed_tensors + bool(changed), changed_blocks + changed
    return tensors, changed_tensors, blocks, changed_blocks


def _changed(ours: gguf.ReaderTensor, theirs: gguf.ReaderTensor | None) -> int:
    """How many blocks of a tensor differ: all of them where the other file stores it otherwise, or not at all."""
    size, total = _block_bytes(ours), int(ours.n_bytes)
    if theirs is None or theirs.tensor_type != ours.tensor_type or theirs.n_bytes != ours.n_bytes:
        return total // size
    one, other = (tensor.data.reshape(-1).view(np.uint8) for tensor in (ours, theirs))
    step = max(1, BLOCK_BYTES // size) * size
    pieces = (slice(start, start + step) for start in range(0, total, step))
    return sum(int((one[piece] != other[piece]).reshape(-1, size).any(axis=1).sum()) for piece in pieces)


def _block_bytes(tensor: gguf.ReaderTensor) -> int:
    return int(gguf.GGML_QUANT_SIZES[tensor.tensor_type][1])
