"""A PEFT LoRA as a GGUF adapter, for forms that serve one base with an adapter on top."""

import time
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from pipelines.artifacts import new_file, sha256_of
from pipelines.gguf import maintainers, own_converter
from pipelines.gguf.lora import Lora
from pipelines.gguf.model_files import refuse_quantized
from pipelines.gguf.tensors import Checkpoint


@dataclass(frozen=True)
class AdapterReport:
    """What `convert_adapter` wrote."""

    path: Path
    sha256: str
    tensors: int
    size_bytes: int
    seconds: float


def convert_adapter(model: Path, adapter: Path, out: Path) -> AdapterReport:
    """A GGUF adapter of a PEFT LoRA for `model`, float32. The scale is given when it is served, not here.

    Raises:
        ModelError: model or adapter unreadable, of an unsupported kind, or not made for each other.
        ArtifactError: the disk is too small. MissingDependency: llama.cpp's converter is not installed.
    """
    started = time.monotonic()
    refuse_quantized(model)
    write = _write if own_converter.refusal_of(model) is None else maintainers.convert_adapter
    tensors = write(model, adapter, out)
    return AdapterReport(out, sha256_of(out), tensors, out.stat().st_size, time.monotonic() - started)


def _write(model: Path, adapter: Path, out: Path) -> int:
    """Our own way, for what our own converter converts; gives the number of tensors."""
    checkpoint, lora = Checkpoint(model), Lora(adapter)
    names = own_converter.tensor_names(own_converter.read_config(model), checkpoint.tensors)
    lora.bind({name: checkpoint.tensors[name] for name in names})
    adapted = sorted(lora.names)
    size = sum(matrix.nbytes for name in adapted for matrix in lora.matrices(name))
    with new_file(out, size + (1 << 20)) as temporary:
        writer = gguf.GGUFWriter(temporary, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.QWEN2])
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, lora.scaling * lora.rank)  # llama.cpp divides by the rank
        for name in adapted:
            down, up = lora.matrices(name)
            writer.add_tensor(f"{names[name]}.lora_a", np.ascontiguousarray(down.numpy()))
            writer.add_tensor(f"{names[name]}.lora_b", np.ascontiguousarray(up.numpy()))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return 2 * len(adapted)
