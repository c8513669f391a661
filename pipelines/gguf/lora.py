"""A PEFT LoRA adapter as row blocks of the change it makes to each weight.

A folder holds `adapter_model.safetensors` and `adapter_config.json`, of which we read and check:

    {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "use_rslora": false, "bias": "none", ...}
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pipelines.errors import ModelError
from pipelines.gguf.tensors import Checkpoint, TensorInfo, require_finite

WEIGHTS = "adapter_model.safetensors"
_PREFIX, _LENGTHS = "base_model.model.", ".lora_magnitude_vector"

# Features of PEFT that change what an adapter means, each with the words a person knows it by. An adapter that uses
# one is refused by that name: merged as plain LoRA it would be silently wrong.
_REFUSED = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "rank_pattern": "ranks that differ per module (rank_pattern)",
    "alpha_pattern": "alphas that differ per module (alpha_pattern)",
    "modules_to_save": "fully trained modules (modules_to_save)",
    "trainable_token_indices": "trained token embeddings (trainable_token_indices)",
    "target_parameters": "adapted parameters (target_parameters)",
    "layer_replication": "replicated layers (layer_replication)",
    "lora_bias": "a bias inside the adapter (lora_bias)",
    "fan_in_fan_out": "transposed weights (fan_in_fan_out)",
    "alora_invocation_tokens": "activated LoRA (alora_invocation_tokens)",
    "arrow_config": "Arrow routing",
    "corda_config": "CorDA",
    "kasa_config": "KaSA",
    "velora_config": "VeLoRA",
    "monteclora_config": "MonteCLoRA",
    "lora_ga_config": "LoRA-GA",
    "megatron_config": "Megatron layers",
}
_PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")


@dataclass(frozen=True)
class _Pair:
    down: torch.Tensor
    up: torch.Tensor
    dtype: torch.dtype
    lengths: torch.Tensor | None = None


class Lora:
    """A LoRA whose effect on the weight called `name` is `up @ down * scaling`.

    `scale` multiplies the whole adapter (0 switches it off). Everything that plain LoRA does not cover is refused, and so is
    DoRA where it is not merged (`dora`).

    Raises:
        ModelError: unreadable, damaged, or a kind of adapter that is not handled; the sentence names the feature.
    """

    def __init__(self, folder: Path, scale: float = 1.0, *, dora: bool = False) -> None:
        self.folder = folder
        self.config = read_config(folder, dora=dora)
        if not math.isfinite(scale):
            raise ModelError(f"the adapter's scale must be a finite number, not {scale}")
        rank = int(self.config["r"])
        self.rank = rank
        self.scaling = float(self.config["lora_alpha"]) / (math.sqrt(rank) if self.config.get("use_rslora") else rank)
        self.scale = scale
        if self.config.get("use_dora") and scale != 1.0:
            raise ModelError(
                f"a DoRA adapter has no scale to be merged at, only 1, not {scale}; set export.scales to [1.0]"
            )
        self._pairs = _read_pairs(Checkpoint(folder, WEIGHTS), rank, dora=bool(self.config.get("use_dora")))

    @property
    def names(self) -> frozenset[str]:
        """The names of the weights it changes, as the base checkpoint calls them."""
        return frozenset(self._pairs)

    def matrices(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """`(down, up)` of one weight, float32: rank x in and out x rank."""
        return self._pairs[name].down, self._pairs[name].up

    def changed(self, name: str, rows: torch.Tensor, start: int) -> torch.Tensor:
        """Rows of the weight from `start` on, given in float32, with the adapter's change; of a DoRA scaled to its lengths.

        A DoRA's row is `m (w + delta) / |w + delta|` (arXiv:2402.09353), as peft merges it.
        """
        moved = rows + self.delta(name, start, start + rows.shape[0])
        lengths = self._pairs[name].lengths
        if lengths is None:
            return moved
        return (lengths[start : start + rows.shape[0]] / moved.norm(dim=1))[:, None] * moved

    def delta(self, name: str, start: int, stop: int) -> torch.Tensor:
        """The change to rows `start` to `stop` of a weight, float32, computed as peft's `get_delta_weight` does."""
        pair = self._pairs[name]
        change = (pair.up[start:stop] @ pair.down) * self.scaling
        if pair.dtype != torch.float32:
            change = change.to(pair.dtype).float()
        return change * self.scale if self.scale != 1.0 else change

    def bind(self, tensors: Mapping[str, TensorInfo]) -> None:
        """Call the weights it changes by the names that this base has for them.

        Raises:
            ModelError: one of them is not in the base, or has another shape.
        """
        plain = {plain_name(name): name for name in tensors}
        self._pairs = {
            name if name in tensors else plain.get(plain_name(name), name): pair for name, pair in self._pairs.items()
        }
        for name, pair in sorted(self._pairs.items()):
            if name == "lm_head.weight" and name not in tensors:
                raise ModelError(
                    "the adapter changes 'lm_head', which this base ties to its embeddings; do not target it"
                )
            if name not in tensors:
                raise ModelError(f"the adapter changes '{name}', which the base model does not have: wrong base model")
            expected = (pair.up.shape[0], pair.down.shape[1])
            if tensors[name].shape != expected:
                raise ModelError(
                    f"the adapter's '{name}' is for a weight of {expected[0]} x {expected[1]}, the base model's is "
                    f"{' x '.join(map(str, tensors[name].shape))}: wrong base model"
                )


def plain_name(name: str) -> str:
    """A weight's name in the text part alone: wrappers with vision call `model.layers.0...` `model.language_model.layers.0...`."""
    return name.replace("language_model.", "", 1)


def read_config(folder: Path, *, dora: bool = False) -> Mapping[str, Any]:
    """An adapter's checked configuration. Raises ModelError by the name of whatever is not handled."""
    path = folder / "adapter_config.json"
    try:
        config: Mapping[str, Any] = json.loads(path.read_text())
        kind, rank, alpha = config["peft_type"], int(config["r"]), float(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is not a readable PEFT LoRA configuration: {error!r}") from error
    if kind != "LORA":
        raise ModelError(f"adapters of type {kind} are not supported; supported: LORA")
    if rank < 1 or not math.isfinite(alpha):
        raise ModelError(f"{path} has rank {rank} and alpha {alpha}; a rank of at least 1 is needed")
    for key, words in _REFUSED.items():
        if config.get(key) and not (dora and key == "use_dora"):
            raise ModelError(f"the adapter uses {words}, which is not supported; train a plain LoRA")
    if config.get("bias", "none") != "none":
        raise ModelError(f"the adapter trains biases (bias: {config['bias']}), which is not supported; use bias: none")
    start = config.get("init_lora_weights", True)
    if start not in _PLAIN_STARTS:
        raise ModelError(
            f"the adapter was initialised with {start}, which changes the base weights and is not supported; "
            "use init_lora_weights: true"
        )
    return config


def _read_pairs(checkpoint: Checkpoint, rank: int, *, dora: bool) -> dict[str, _Pair]:
    halves: dict[str, dict[str, torch.Tensor]] = {}
    lengths: dict[str, torch.Tensor] = {}
    for key in checkpoint.tensors:
        if dora and key.startswith(_PREFIX) and key.endswith(_LENGTHS):
            lengths[f"{key.removeprefix(_PREFIX).removesuffix(_LENGTHS)}.weight"] = checkpoint.read(key).float()
            continue
        stem, _, half = key.removeprefix(_PREFIX).removesuffix(".weight").rpartition(".lora_")
        if not (key.startswith(_PREFIX) and key.endswith(".weight") and stem and half in ("A", "B")):
            raise ModelError(f"the adapter holds '{key}', which is not a plain LoRA matrix and is not supported")
        halves.setdefault(f"{stem}.weight", {})[half] = require_finite(checkpoint.read(key), key)
    if not halves:
        raise ModelError(f"the adapter in {checkpoint.folder} holds no tensors")
    if dora and lengths.keys() != halves.keys():
        raise ModelError(f"the DoRA adapter in {checkpoint.folder} has not one length vector for each of its modules")
    return {name: replace(_pair(name, pair, rank), lengths=lengths.get(name)) for name, pair in halves.items()}


def _pair(name: str, pair: Mapping[str, torch.Tensor], rank: int) -> _Pair:
    if set(pair) != {"A", "B"}:
        raise ModelError(f"the adapter has only lora_{''.join(pair)} for '{name}': it is incomplete")
    down, up = pair["A"], pair["B"]
    if down.ndim != 2 or up.ndim != 2 or down.shape[0] != rank or up.shape[1] != rank:
        shapes = f"{tuple(down.shape)} and {tuple(up.shape)}"
        raise ModelError(f"the adapter's matrices for '{name}' are {shapes}, which do not fit its rank {rank}")
    return _Pair(down.float(), up.float(), up.dtype)
