"""Adapters between PEFT's files and MLX's names; exact both ways, for nothing but transposing happens.

base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight (r, in)      <->  ...q_proj.lora_a (in, r)
base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight (out, r)     <->  ...q_proj.lora_b (r, out)
base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector (out)  <->  ...q_proj.m (out)     DoRA
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from pipelines.artifacts import write_atomic
from pipelines.errors import ModelError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_LEAVES = {"lora_a": "lora_A.weight", "lora_b": "lora_B.weight", "m": "lora_magnitude_vector"}


@dataclass(frozen=True)
class PeftAdapter:
    """A PEFT folder's adapter; `tensors` by PEFT's names, `scale` is alpha / r (or alpha / sqrt r)."""

    rank: int
    scale: float
    dora: bool
    tensors: Mapping[str, mx.array]

    @property
    def modules(self) -> tuple[str, ...]:
        """The paths of the adapted modules."""
        return tuple(sorted({key.rsplit(".", 1)[0] for key in self.weights()}))

    def weights(self) -> dict[str, mx.array]:
        """The tensors by MLX's names, in float32."""
        return dict(_to_mlx(key, tensor) for key, tensor in self.tensors.items())


def read_adapter(folder: Path) -> PeftAdapter:
    """An adapter with its configuration.

    Raises:
        ModelError: no PEFT adapter, or of a kind that trains something else than these matrices.
    """
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise ModelError(f"{folder} is no PEFT adapter: it has no {CONFIG} or no {WEIGHTS}")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        tensors = mx.load(str(folder / WEIGHTS))
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f"the adapter {folder.name} cannot be read: {str(error).splitlines()[0]}") from error
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        raise ModelError(
            f"the adapter {folder.name} has ranks or alphas that differ per module, which is not supported"
        )
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    return PeftAdapter(rank, scale, bool(config.get("use_dora")), tensors)


def write_adapter(
    folder: Path,
    weights: Mapping[str, mx.array],
    *,
    base_name: str,
    rank: int,
    alpha: float,
    dropout: float,
    dora: bool,
) -> None:
    """The trained weights (by MLX's names) as a PEFT adapter in float32 that says it was trained on `base_name`."""
    folder.mkdir(parents=True)
    tensors = dict(_to_peft(key, tensor.astype(mx.float32)) for key, tensor in weights.items())
    mx.save_safetensors(str(folder / WEIGHTS), tensors, metadata={"format": "pt"})
    modules = {key.rsplit(".", 1)[0].rsplit(".", 1)[-1] for key in weights}
    config = _config(base_name, rank, alpha, dropout) | {"use_dora": dora, "target_modules": sorted(modules)}
    write_atomic(folder / CONFIG, json.dumps(config, indent=2))


def _config(base_name: str, rank: int, alpha: float, dropout: float) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "use_rslora": False,
    }


def _to_peft(key: str, tensor: mx.array) -> tuple[str, mx.array]:
    stem, leaf = key.rsplit(".", 1)
    return f"{_PREFIX}{stem}.{_LEAVES[leaf]}", mx.contiguous(tensor if leaf == "m" else tensor.T)


def _to_mlx(key: str, tensor: mx.array) -> tuple[str, mx.array]:
    for leaf, ending in _LEAVES.items():
        if key.startswith(_PREFIX) and key.endswith(f".{ending}"):
            stem = key.removeprefix(_PREFIX).removesuffix(f".{ending}")
            weight = tensor.astype(mx.float32)
            return f"{stem}.{leaf}", mx.contiguous(weight if leaf == "m" else weight.T)
    raise ModelError(f"the adapter holds '{key}', which is no matrix of LoRA or DoRA and is not supported")
