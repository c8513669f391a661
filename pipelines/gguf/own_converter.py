"""Our own converter: a Qwen2 folder, with an adapter folded in on the way, streamed into one GGUF file."""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from pipelines.artifacts import new_file, sha256_of
from pipelines.errors import GGUFError, ModelError
from pipelines.gguf.conversion import ConvertReport, FileType, TrainedOn
from pipelines.gguf.lora import Lora
from pipelines.gguf.model_files import read_json
from pipelines.gguf.rounding import is_rounded, round_trip
from pipelines.gguf.tensors import Checkpoint, TensorInfo, require_finite, row_blocks, to_bytes
from pipelines.gguf.vocabulary import read_vocabulary

_TYPES = {
    "f32": (torch.float32, gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (torch.float16, gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (torch.bfloat16, gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
}
_FAMILY = "qwen2"
_LAYER_NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.q_proj.bias": "attn_q.bias",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.k_proj.bias": "attn_k.bias",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.v_proj.bias": "attn_v.bias",
    "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}


def refusal_of(model: Path) -> str | None:
    """Why this converter leaves a model to llama.cpp's own; None if it takes it."""
    try:
        read_vocabulary(model, int(read_config(model).get("vocab_size", 0)))
    except ModelError as error:
        return str(error)
    return None


def is_family(model: Path) -> bool:
    """Whether a model is of the one family that this converter knows, whatever else it may refuse of it."""
    return read_json(model / "config.json").get("model_type") == _FAMILY


def convert(
    model: Path,
    out: Path,
    *,
    adapter: Path | None = None,
    scale: float = 1.0,
    ftype: FileType = "f16",
    trained_on: TrainedOn = "full",
) -> ConvertReport:
    """See pipelines.gguf.convert."""
    started = time.monotonic()
    config = read_config(model)
    checkpoint, lora = Checkpoint(model), Lora(adapter, scale, dora=True) if adapter else None
    names = tensor_names(config, checkpoint.tensors)
    if lora:
        lora.bind({name: checkpoint.tensors[name] for name in names})
    with new_file(out, _size_bytes(checkpoint, names, ftype)) as temporary:
        _write_header(temporary, model, config, checkpoint, names, ftype)
        with temporary.open("ab") as file:
            for name in names:
                _align(file)
                for block in _blocks(checkpoint, lora, checkpoint.tensors[name], trained_on):
                    file.write(_encode(block, name, checkpoint.tensors[name], ftype))
            _align(file)
    merged = len(lora.names) if lora else 0
    return ConvertReport(out, sha256_of(out), len(names), merged, out.stat().st_size, time.monotonic() - started)


def read_config(model: Path) -> Mapping[str, Any]:
    """A model's checked configuration. Raises ModelError by the name of whatever is not handled."""
    config = read_json(model / "config.json")
    family = config.get("model_type")
    if family != _FAMILY:
        raise ModelError(f"model_type {family!r} is not one of its own; those are: {_FAMILY}")
    if config.get("use_sliding_window"):
        raise ModelError("sliding-window attention (use_sliding_window) is not supported")
    if config.get("hidden_act", "silu") != "silu":
        raise ModelError(f"the activation {config['hidden_act']!r} is not supported; supported: silu")
    rope = _rope(config)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise ModelError(f"rotary embeddings of type {kind!r} are not supported; supported: default")
    return config


def tensor_names(config: Mapping[str, Any], present: Mapping[str, TensorInfo]) -> dict[str, str]:
    """GGUF names by checkpoint names, in the order of the file.

    Raises:
        ModelError: a tensor of the architecture is missing, or the checkpoint holds one that is unknown.
    """
    names = {"model.embed_tokens.weight": "token_embd.weight"}
    for layer in range(config["num_hidden_layers"]):
        names |= {f"model.layers.{layer}.{hf}": f"blk.{layer}.{ours}" for hf, ours in _LAYER_NAMES.items()}
    names["model.norm.weight"] = "output_norm.weight"
    if not config.get("tie_word_embeddings", False):
        names["lm_head.weight"] = "output.weight"
    missing = sorted(set(names) - set(present))
    if missing:
        raise ModelError(f"the checkpoint lacks the tensor '{missing[0]}' ({len(missing)} missing)")
    known = set(names) | {"lm_head.weight"}
    unknown = sorted(name for name in set(present) - known if not name.endswith("rotary_emb.inv_freq"))
    if unknown:
        raise ModelError(f"the checkpoint's tensor '{unknown[0]}' is not one of a qwen2 model")
    return names


def _write_header(
    path: Path,
    model: Path,
    config: Mapping[str, Any],
    checkpoint: Checkpoint,
    names: Mapping[str, str],
    ftype: FileType,
) -> None:
    """Metadata and tensor table; the data follows behind, aligned."""
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.QWEN2])
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(model.name)
    writer.add_file_type(_TYPES[ftype][2])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config.get("num_key_value_heads") or config["num_attention_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(float(_rope(config).get("rope_theta", config.get("rope_theta", 10000.0))))
    writer.add_vocab_size(config["vocab_size"])
    read_vocabulary(model, config["vocab_size"]).write(writer)
    for name, ours in names.items():
        info = checkpoint.tensors[name]
        kind = _kind(info, ftype)
        dtype = np.dtype(np.float32 if kind == gguf.GGMLQuantizationType.F32 else np.float16)
        writer.add_tensor_info(ours, info.shape, dtype, _tensor_bytes(info, ftype), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """transformers 5 writes `rope_parameters`; 4 wrote `rope_scaling` and a top-level `rope_theta`."""
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _blocks(
    checkpoint: Checkpoint, lora: Lora | None, info: TensorInfo, trained_on: TrainedOn
) -> Iterator[torch.Tensor]:
    """A weight in float32 row blocks, with the adapter's change added."""
    adapted = lora is not None and info.name in lora.names
    whole = None
    if is_rounded(info.name, info.shape, trained_on):
        whole = round_trip(checkpoint.read(info.name), trained_on)
    for start, stop in row_blocks(info):
        block = (checkpoint.read(info.name, start, stop) if whole is None else whole[start:stop]).float()
        if lora is not None and adapted:
            block = lora.changed(info.name, block, start)
        yield require_finite(block, info.name)


def _encode(block: torch.Tensor, name: str, info: TensorInfo, ftype: FileType) -> bytes:
    if len(info.shape) == 1:
        return to_bytes(block)
    encoded = block.to(_TYPES[ftype][0])
    if ftype == "f16" and not bool(torch.isfinite(encoded).all()):
        raise GGUFError(f"tensor '{name}' has values beyond the range of float16; convert with ftype bf16")
    return to_bytes(encoded)


def _kind(info: TensorInfo, ftype: FileType) -> gguf.GGMLQuantizationType:
    return gguf.GGMLQuantizationType.F32 if len(info.shape) == 1 else _TYPES[ftype][1]


def _tensor_bytes(info: TensorInfo, ftype: FileType) -> int:
    dtype = torch.float32 if len(info.shape) == 1 else _TYPES[ftype][0]
    return math.prod(info.shape) * int(dtype.itemsize)


def _size_bytes(checkpoint: Checkpoint, names: Mapping[str, str], ftype: FileType) -> int:
    alignment: int = gguf.GGUF_DEFAULT_ALIGNMENT
    return sum(_tensor_bytes(checkpoint.tensors[name], ftype) + alignment for name in names) + (8 << 20)


def _align(file: Any) -> None:
    file.write(b"\0" * (-file.tell() % gguf.GGUF_DEFAULT_ALIGNMENT))
