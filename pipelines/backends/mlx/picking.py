"""Logits at chosen positions alone: what a vocabulary of 150,000 costs at every position of a prompt is not paid.

Every model of mlx_lm ends in a norm and then its head, tied or not, capped or not. The norm is made to pass on the chosen
positions, so the head is whatever the model has.
"""

from typing import Any

import mlx.core as mx
import mlx.nn as nn


def pick_positions(model: nn.Module) -> None:
    """Prepare a model for `logits_at`; its weights keep their names."""
    norm = _final_norm(model)
    kind = type(norm)

    def call(self: Any, x: mx.array, *args: Any, **rest: Any) -> mx.array:
        result: mx.array = kind.__call__(self, x, *args, **rest)
        return result if self._places is None else result.reshape(1, -1, result.shape[-1])[:, self._places[0]]

    norm._places = None
    norm.__class__ = type(kind.__name__, (kind,), {"__call__": call})


def logits_at(model: nn.Module, ids_BT: mx.array, places_N: mx.array) -> mx.array:
    """Logits (N, V) in float32 at places of the flattened batch: row x T + position."""
    norm = _final_norm(model)
    norm._places = (places_N,)  # within a tuple under a private name it is no weight
    try:
        logits: mx.array = model(ids_BT)[0].astype(mx.float32)
    finally:
        norm._places = None
    return logits


def hidden_states(model: nn.Module, ids_BT: mx.array) -> mx.array:
    """The last layer's states after the final norm, (B, T, H)."""
    states: mx.array = _text_part(model).model(ids_BT)
    return states


def _text_part(model: Any) -> Any:
    return getattr(model, "language_model", model)


def _final_norm(model: Any) -> Any:
    return _text_part(model).model.norm
