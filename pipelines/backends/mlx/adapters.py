"""LoRA and DoRA layers of mlx_lm on the modules that a recipe names, in every layer of the model."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from pipelines.backends.mlx.library import require_mlx
from pipelines.recipe import Target

require_mlx()
from mlx_lm.tuner.dora import DoRALinear  # noqa: E402
from mlx_lm.tuner.lora import LoRALinear  # noqa: E402

_KEYS = (1 << 64) - 1


@dataclass
class Draws:
    """What the dropout of a forward depends on, besides its layer: so it is the same when activations are computed again.

    MLX draws anew then, and the gradient would be that of another mask than the loss was computed with.
    """

    seed: int = 0
    step: int = 0
    forward: int = 0

    def begin(self, seed: int, step: int) -> None:
        """A step begins."""
        self.seed, self.step, self.forward = seed, step, 0

    def key(self, layer: int) -> mx.array:
        """The key of a layer in this forward."""
        return mx.random.key((((self.seed << 32) + self.step) * 1_009 + self.forward) * 65_537 + layer & _KEYS)


class KeyedDropout(nn.Module):  # type: ignore[misc]  # mlx has no types
    """Dropout whose mask depends on seed, step, forward and layer alone."""

    def __init__(self, share: float, draws: Draws, layer: int) -> None:
        super().__init__()
        self._share, self._draws, self._layer = share, draws, layer

    def __call__(self, x: mx.array) -> mx.array:
        """The input with a share of it 0 and the rest the larger for it, in training."""
        if self._share == 0 or not self.training:
            return x
        kept = 1 - self._share
        return mx.random.bernoulli(kept, x.shape, key=self._draws.key(self._layer)) * x * (1 / kept)


class _Switch:
    """What both kinds share: an adapter that can be switched off for as long as the origin is asked."""

    off = False
    linear: nn.Module

    def __call__(self, x: mx.array) -> mx.array:
        result: mx.array = self.linear(x) if self.off else super().__call__(x)  # type: ignore[misc]
        return result


class Lora(_Switch, LoRALinear):  # type: ignore[misc]  # mlx_lm has no types
    """`linear(x) + scale x A B`, with mlx_lm's names: lora_a (in, r), lora_b (r, out)."""


class Dora(_Switch, DoRALinear):  # type: ignore[misc]
    """LoRA whose rows are scaled to learned lengths `m` (out)."""


def attach(model: nn.Module, target: Target, *, rank: int, scale: float, dropout: float, dora: bool) -> list[str]:
    """Put fresh adapters on the linear modules that `target` names, and give those modules' names.

    A name fits as PEFT's do: whole, or as the end of a module's path. `all-linear` is every linear module within the
    layers, in all layers: mlx_lm by itself adapts the last sixteen.
    """
    kind = DoRALinear if dora else LoRALinear
    replaced: list[tuple[str, Any]] = []
    model.draws = Draws()
    for name, module in sorted(model.named_modules()):
        if isinstance(module, nn.Linear | nn.QuantizedLinear) and _fits(name, target):
            layer = kind.from_base(module, r=rank, scale=scale)
            layer.__class__ = Dora if dora else Lora
            layer.linear.freeze()
            layer.dropout = KeyedDropout(dropout, model.draws, len(replaced))
            replaced.append((name, layer))
    if replaced:
        model.update_modules(tree_unflatten(replaced))
    return [name for name, _ in replaced]


def adapted(model: nn.Module) -> list[_Switch]:
    """The adapter layers of a model."""
    return [module for _, module in model.named_modules() if isinstance(module, _Switch)]


def draws_of(model: nn.Module) -> Draws:
    """What the dropout of the model's adapters depends on; of a model without adapters, nothing that matters."""
    draws: Draws = getattr(model, "draws", None) or Draws()
    return draws


@contextmanager
def adapter_off(model: nn.Module) -> Iterator[None]:
    """The origin, for as long as the block lasts."""
    layers = adapted(model)
    try:
        for layer in layers:
            layer.off = True
        yield
    finally:
        for layer in layers:
            layer.off = False


def _fits(name: str, target: Target | Collection[str]) -> bool:
    if target == "all-linear":
        return "layers." in name
    return any(name == wanted or name.endswith(f".{wanted}") for wanted in target)
