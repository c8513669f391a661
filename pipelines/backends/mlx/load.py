"""Base weights and adapter as an MLX model that is ready to train: float32, bfloat16, or 4 bits under the adapter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_map_with_path

from pipelines.backends.mlx import config
from pipelines.backends.mlx.adapters import attach
from pipelines.backends.mlx.library import require_mlx
from pipelines.backends.mlx.peft_format import PeftAdapter, read_adapter
from pipelines.backends.mlx.picking import pick_positions
from pipelines.errors import ModelError, RecipeError
from pipelines.recipe import Train

# How the base of a QLoRA adapter is rounded; pipelines/gguf/quantized_base.py rounds the same way for an export.
MLX4: Mapping[str, int] = {"bits": 4, "group_size": 64}


def load_base(base: Path, *, bf16: bool = False, quantized: bool = False, layers: int | None = None) -> nn.Module:
    """The frozen model of a local folder; lazily read, so that what is cut off or rounded never fills memory whole.

    Args:
        quantized: the layers' matrices in 4 bits (MLX4).
        layers: keep the first so many layers alone, for timing.

    Raises:
        ModelError: the folder holds no causal language model that MLX can load.
    """
    require_mlx()
    from mlx_lm.utils import load_model

    settings = config.read_config(base)
    try:
        model, _ = load_model(base, lazy=True, model_config=config.rope_changes(settings))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{base} cannot be loaded as a language model with MLX: {line}") from error
    if layers is not None:
        del model.layers[layers:]
    if quantized:
        quantize(model)
    model.update(tree_map_with_path(lambda _, weight: _cast(weight, bf16=bf16), model.parameters()))
    mx.eval(model.parameters())
    model.freeze()
    pick_positions(model)
    return model


def load_for_sft(base: Path, name: str, train: Train, *, bf16: bool) -> nn.Module:
    """The model with what the recipe's method trains on top of it, in float32.

    Raises:
        ModelError: see load_base.
        RecipeError: the recipe's LoRA targets name no layer of this model.
    """
    if train.method == "full":
        model = load_base(base)
        model.unfreeze()
        return model
    model = load_base(base, bf16=bf16, quantized=train.method == "qlora")
    lora = train.lora
    names = attach(model, lora.target, rank=lora.r, scale=lora.alpha / lora.r, dropout=lora.dropout, dora=lora.dora)
    if not names:
        raise RecipeError(
            f"train.lora.target fits no layer of {name}: {', '.join(lora.target)} are none of its modules"
        )
    return model


def load_adapted(base: Path, name: str, adapter: Path, train: Train, *, bf16: bool) -> tuple[nn.Module, PeftAdapter]:
    """The base with a trained adapter that goes on being trained, in float32 and without dropout.

    Raises:
        ModelError: the base cannot be loaded, or the adapter does not fit it or is of a kind that is not handled.
    """
    trained = read_adapter(adapter)
    model = load_base(base, bf16=bf16, quantized=train.method == "qlora")
    put_on(model, name, trained)
    return model, trained


def put_on(model: nn.Module, name: str, adapter: PeftAdapter) -> None:
    """Attach an adapter's layers with its weights. Raises ModelError if it does not fit."""
    attach(model, adapter.modules, rank=adapter.rank, scale=adapter.scale, dropout=0.0, dora=adapter.dora)
    wanted = {key: weight.shape for key, weight in tree_flatten(model.trainable_parameters())}
    weights = adapter.weights()
    if {key: weight.shape for key, weight in weights.items()} != wanted:
        odd = sorted(wanted.keys() ^ weights.keys()) or sorted(weights)
        raise ModelError(f"the adapter does not fit {name}: see {odd[0] if odd else 'its modules'}; wrong base model")
    model.load_weights(list(weights.items()), strict=False)


def quantize(model: nn.Module) -> None:
    """Round the layers' matrices to 4 bits, in groups of 64 along each row; what does not divide stays as it is."""
    inside = {id(module) for layer in model.layers for _, module in layer.named_modules()}

    def wanted(_: str, module: Any) -> bool:
        fits = isinstance(module, nn.Linear) and module.weight.shape[-1] % MLX4["group_size"] == 0
        return fits and id(module) in inside

    nn.quantize(model, **MLX4, class_predicate=wanted)


def _cast(weight: mx.array, *, bf16: bool) -> mx.array:
    """Scales of 4-bit weights too: in float32 a product is with exactly what dequantizing gives."""
    return weight.astype(mx.bfloat16 if bf16 else mx.float32) if mx.issubdtype(weight.dtype, mx.floating) else weight
