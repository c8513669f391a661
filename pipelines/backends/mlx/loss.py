"""The SFT loss of a batch, its gradient, and the KL to the origin on anchors."""

from collections.abc import Callable, Iterable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map

from pipelines.backends.mlx.adapters import adapter_off, draws_of
from pipelines.backends.mlx.picking import logits_at
from pipelines.backends.mlx.rows import Batch

Gradients = Any


def sft_loss(model: nn.Module, batch: Batch) -> mx.array:
    """Cross-entropy summed over the trained tokens of a batch, nats."""
    logits_NV = logits_at(model, batch.ids_BT, batch.places_N)
    return nn.losses.cross_entropy(logits_NV, batch.targets_N, reduction="sum")


def share(model: nn.Module, batch: Batch, trained: int) -> Callable[[], tuple[mx.array]]:
    """The batch's share of a step's loss per trained token."""
    return lambda: (sft_loss(model, batch) / trained,)


def anchored_loss(model: nn.Module, batch: Batch, origin_NV: mx.array, kl_weight: float) -> mx.array:
    """The same with `kl_weight` times KL(origin || policy) summed over the same positions."""
    logits_NV = logits_at(model, batch.ids_BT, batch.places_N)
    loss = nn.losses.cross_entropy(logits_NV, batch.targets_N, reduction="sum")
    return loss + kl_weight * kl_to_origin(logits_NV, origin_NV)


def anchored_share(model: nn.Module, batch: Batch, trained: int, kl_weight: float) -> Callable[[], tuple[mx.array]]:
    """The same of anchors, with the KL to what the origin says now."""
    origin_NV = origin_logits(model, batch)
    return lambda: (anchored_loss(model, batch, origin_NV, kl_weight) / trained,)


def origin_logits(model: nn.Module, batch: Batch) -> mx.array:
    """What the model says without its adapter, (N, V), computed here and now and without dropout."""
    training = model.training
    model.eval()
    with adapter_off(model):
        logits_NV = logits_at(model, batch.ids_BT, batch.places_N)
        mx.eval(logits_NV)
    model.train(training)
    return logits_NV


def kl_to_origin(logits_NV: mx.array, origin_NV: mx.array) -> mx.array:
    """Sum over the positions of KL(origin || policy), in nats, as pipelines/backends/torch/kl.py has it."""
    policy, origin = nn.log_softmax(logits_NV), nn.log_softmax(origin_NV)
    return (mx.exp(origin) * (origin - policy)).sum()


def add_up(
    model: nn.Module, losses: Iterable[Callable[[], tuple[mx.array, ...]]], sum_: Gradients = None
) -> tuple[float, list[mx.array], Gradients]:
    """The sum of these losses and its gradient, added to `sum_`, and what else each loss gave.

    One forward and backward after the other, so that one is in memory.
    """
    total, others, draws = 0.0, [], draws_of(model)
    for loss in losses:
        draws.forward += 1
        (value, *rest), gradients = nn.value_and_grad(model, loss)()
        sum_ = gradients if sum_ is None else tree_map(mx.add, sum_, gradients)
        mx.eval(value, rest, sum_)
        total += value.item()
        others += rest
    return total, others, sum_
