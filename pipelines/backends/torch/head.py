"""What a model says of the answers in a row: one value a trained token, with few of the vocabulary's logits in memory at a time.

The logits of 6,000 answer tokens over 152,000 tokens are 3.65 GB in float32, and a loss with its gradient needs several of that
size. Beyond `_CHUNK_BYTES` the model's layers are run once, and its head over some hundred tokens at a time.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from pipelines.backends.examples import IGNORED

Value = Callable[..., Tensor]
Context = Callable[[], contextlib.AbstractContextManager[Any]]

# Logits in float32 of one chunk. A GPU is only busy with some hundred tokens; a CPU with the hundred that this is at 152,000.
_CHUNK_BYTES = {"cuda": 1 << 29}
_CHUNK_BYTES_ELSEWHERE = 1 << 26
_SMALLEST_CHUNK = 16


def token_log_probs(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """The log-probability of each target, (N,) in nats, float32."""
    return -functional.cross_entropy(logits_NV.float(), targets_N, reduction="none")


def answer_values(
    model: Any, inputs: Mapping[str, Any], labels: Tensor, value: Value, origin: Context | None = None
) -> Tensor:
    """`value` of every trained token of a row, (N,), differentiable.

    Args:
        value: (logits_MV, targets_M) -> (M,), for any M of the N tokens; a token's value hangs on its own logits alone.
        origin: a context in which the model is its origin. `value` gets the origin's logits as a third argument then.
    """
    places, targets = _trained(labels)
    rows = chunk_rows(model, labels.device)
    hidden = _run_layers(model, inputs, places) if len(places) > rows else None
    if hidden is not None:
        return _values_by_chunk(model, inputs, hidden, targets, rows, value, origin)
    logits = _logits(model, inputs, places)
    if origin is None:
        return value(logits, targets)
    with torch.no_grad(), origin():
        origin_logits = _logits(model, inputs, places)
    return value(logits, targets, origin_logits)


def answer_logits(model: Any, inputs: Mapping[str, Any], labels: Tensor) -> Iterator[Tensor]:
    """The logits of a row's trained tokens in order, (M, V) a chunk; for reading, without gradients."""
    places, _ = _trained(labels)
    rows = chunk_rows(model, labels.device)
    hidden = _run_layers(model, inputs, places) if len(places) > rows else None
    if hidden is None:
        yield _logits(model, inputs, places)
    else:
        yield from map(hidden.logits, hidden.states_NH.split(rows))


def chunk_rows(model: Any, device: torch.device) -> int:
    """How many tokens' logits are held at a time."""
    return chunk_tokens(causal_model(model).config.get_text_config().vocab_size, device.type)


def chunk_tokens(vocabulary: int, device: str) -> int:
    """The same for a vocabulary and a kind of device."""
    return max(_SMALLEST_CHUNK, _CHUNK_BYTES.get(device, _CHUNK_BYTES_ELSEWHERE) // (4 * vocabulary))


def causal_model(model: Any) -> Any:
    """The language model itself, without what several processes and peft wrap around it."""
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "peft_config") else model


@dataclass(frozen=True)
class _Hidden:
    """The last layer's states at some places, and how this model goes from there to logits, under the same autocast.

    The head is the model's own forward with its layers left out, so that softcaps, scales and adapters of the head take part.
    """

    causal: Any
    kind: Any
    places: Tensor
    states_NH: Tensor
    autocast: torch.dtype | None

    def logits(self, states_MH: Tensor) -> Tensor:
        """Logits (M, V) of some of the states."""
        layers, device = self.causal.base_model, states_MH.device.type
        own = layers.__dict__.get("forward")
        layers.forward = lambda *_, **__: self.kind(last_hidden_state=states_MH[None])
        try:
            with torch.autocast(device, dtype=self.autocast, enabled=self.autocast is not None):
                logits: Tensor = self.causal(use_cache=False).logits[0]
        finally:
            del layers.forward
            if own is not None:
                layers.forward = own
        return logits


def _trained(labels: Tensor) -> tuple[Tensor, Tensor]:
    """The places whose next token is trained, and those tokens, (N) each."""
    places = (labels[0, 1:] != IGNORED).nonzero().flatten()
    return places, labels[0, places + 1]


def _logits(model: Any, inputs: Mapping[str, Any], places: Tensor) -> Tensor:
    logits: Tensor = model(**inputs, use_cache=False, logits_to_keep=places).logits[0]
    return logits


def _run_layers(model: Any, inputs: Mapping[str, Any], places: Tensor) -> _Hidden | None:
    """The states at these places; None if the model does not call its layers as one module, as a few old families do."""
    causal = causal_model(model)
    outputs: list[tuple[Any, torch.dtype | None]] = []

    def keep(_module: Any, _arguments: Any, output: Any) -> None:
        device = output.last_hidden_state.device.type
        outputs.append((output, torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None))

    handle = causal.base_model.register_forward_hook(keep)
    try:
        model(**inputs, use_cache=False, logits_to_keep=places[:0])
    finally:
        handle.remove()
    if not outputs:
        return None
    output, autocast = outputs[0]
    return _Hidden(causal, type(output), places, output.last_hidden_state[0, places], autocast)


def _values_by_chunk(
    model: Any,
    inputs: Mapping[str, Any],
    hidden: _Hidden,
    targets_N: Tensor,
    rows: int,
    value: Value,
    origin: Context | None,
) -> Tensor:
    head_trains = any(weight.requires_grad for weight in hidden.causal.get_output_embeddings().parameters())
    of_origin: _Hidden | None = None
    if origin is not None:
        with torch.no_grad(), origin():
            of_origin = _run_layers(model, inputs, hidden.places)

    def chunk(states_MH: Tensor, place: slice) -> Tensor:
        if of_origin is None:
            return value(hidden.logits(states_MH), targets_N[place])
        # taking the adapter away and putting it back costs more than a chunk where the head has none
        with torch.no_grad(), origin() if origin is not None and head_trains else contextlib.nullcontext():
            origin_logits = of_origin.logits(of_origin.states_NH[place])
        return value(hidden.logits(states_MH), targets_N[place], origin_logits)

    places = [slice(start, start + rows) for start in range(0, len(targets_N), rows)]
    if not torch.is_grad_enabled():
        return torch.cat([chunk(hidden.states_NH[place], place) for place in places])
    if head_trains:
        states = hidden.states_NH
        return torch.cat([checkpoint(chunk, states[place], place, use_reentrant=False) for place in places])
    values: Tensor = _OneChunkAtATime.apply(hidden.states_NH, chunk, places)
    return values


class _OneChunkAtATime(torch.autograd.Function):  # type: ignore[misc]  # torch does not type it
    """Values whose gradients by the states are computed with them, while a chunk's logits are there.

    A token's value hangs on its own state alone, so that its gradient is that one times whatever comes from behind. Computing
    the logits once more in the backward pass would cost a third of the head's work again.
    """

    @staticmethod
    def forward(ctx: Any, states_NH: Tensor, chunk: Callable[[Tensor, slice], Tensor], places: list[slice]) -> Tensor:
        values, slopes = [], []
        for place in places:
            with torch.enable_grad():
                states = states_NH[place].detach().requires_grad_()
                value = chunk(states, place)
                slopes += torch.autograd.grad(value.sum(), states)
            values.append(value.detach())
        ctx.save_for_backward(torch.cat(slopes))
        return torch.cat(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        [slopes_NH] = ctx.saved_tensors
        return (gradients[0][:, None] * slopes_NH).to(slopes_NH.dtype), None, None
