"""Attention of packed rows a document at a time, instead of a mask over the whole row of which most is never looked at.

transformers marks the documents of a row off by a dense mask of T x T, which keeps a GPU from its fast kernels: an estimated
10 to 18 % of an H100's arithmetic on rows of a 7B. Two other ways, registered with transformers under their names:

    varlen        one call of torch's FlashAttention for documents of different lengths, where torch has it
    by_document   torch's own attention once for each document

Both take the documents from the position ids, which start at 0 with each. Where there is a mask or a cache (answers that are
generated), or several rows, it is transformers' attention as ever.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.weak import WeakIdKeyDictionary
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from pipelines.backends.torch.device import Choices
from pipelines.backends.torch.head import causal_model

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # before torch 2.10
    varlen_attn = None

PACKED = ("varlen", "by_document")
_UNKNOWN = ("softcap", "s_aux", "position_bias", "cache")
# How far an attention may be from the documents computed alone, as a share of their norm: this much, or so many times what
# the model's own attention is away in 16 bits, which grows with the layers (.09 of 64 layers on an H100), but never too far.
_APART, _TIMES_ROUNDING, _TOO_FAR = 0.05, 2.0, 0.3
_TRIAL_LENGTHS = (24, 40)
_SHORT_LENGTHS = (3, 4)


def with_fitting_attention(model: Any, choices: Choices) -> Choices:
    """Switch the model, on CUDA, to the fastest attention that computes what its own does; the choices say which and why.

    Each is tried on the model itself: two documents in a row, forward and backward. An attention that raises an error, that
    lets one document see the other or whose result is another one is left alone.
    """
    if choices.attention != "auto":
        causal_model(model).set_attn_implementation(choices.attention)
        return _say(choices, choices.attention, "as asked")
    if choices.device != "cuda":
        return _say(choices, "sdpa", "with a mask over each row, as packed rows are short here")
    refused: list[str] = []
    for name in PACKED if choices.bf16 else PACKED[1:]:  # there is no kernel for float32
        if (fault := trial(model, name, bf16=choices.bf16)) is None:
            return _say(choices, name, "; ".join(["packed rows a document at a time", *refused]))
        refused.append(f"{name} was left alone: {fault}")
    return _say(choices, "sdpa", "; ".join(refused))


def with_isolated_rows(model: Any, choices: Choices) -> Choices:
    """One example a row where this model lets the documents of a row see each other, as linear attention's state does."""
    causal = causal_model(model)
    training = causal.training
    causal.eval()
    ids = torch.arange(sum(_SHORT_LENGTHS), device=causal.device)[None] + 3
    first = slice(0, _SHORT_LENGTHS[0])
    changed = ids.clone()
    changed[:, first] += 1
    with torch.no_grad(), torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=choices.bf16):
        states, moved = (_states(causal, causal.get_input_embeddings()(one), _SHORT_LENGTHS) for one in (ids, changed))
    causal.train(training)
    if _same(states[:, first.stop :], moved[:, first.stop :]):
        return choices
    why = "one example a row: in this model's rows one example would see another"
    return replace(choices, row_tokens=1, why=choices.why | {"packing": why})


def trial(model: Any, name: str, *, bf16: bool) -> str | None:
    """None, and the model is switched to this attention; or why it was left at its own."""
    causal = causal_model(model)
    own, training = causal.config._attn_implementation, causal.training
    causal.eval()  # what is dropped out by chance would differ
    ids = torch.arange(sum(_TRIAL_LENGTHS), device=causal.device)[None] + 3
    alone = _states_and_slope_alone(causal, ids, bf16=bf16)
    rounding = _most_apart(_states_and_slope(causal, ids, bf16=bf16), alone)
    causal.set_attn_implementation(name)
    fault = None
    try:
        states, slope = _states_and_slope(causal, ids, bf16=bf16)
        changed = ids.clone()
        changed[:, : _TRIAL_LENGTHS[0]] += 1
        moved, _ = _states_and_slope(causal, changed, bf16=bf16)
        if not _same(states[:, _TRIAL_LENGTHS[0] :], moved[:, _TRIAL_LENGTHS[0] :]):
            fault = "one document of a row sees another"
        elif (apart := _most_apart((states, slope), alone)) > min(max(_APART, _TIMES_ROUNDING * rounding), _TOO_FAR):
            fault = f"its result is not that of the model's own attention: {apart:.1g} apart, which itself is {rounding:.1g}"
    except Exception as error:  # whatever a kernel raises on whatever card: the model's own attention remains
        fault = (str(error).splitlines() or [type(error).__name__])[0][:200]
    causal.train(training)
    if fault is not None:
        causal.set_attn_implementation(own)
    return fault


def _say(choices: Choices, name: str, why: str) -> Choices:
    return replace(choices, why=choices.why | {"attention": f"{name}: {why}"})


def _states_and_slope(causal: Any, ids: Tensor, *, bf16: bool) -> tuple[Tensor, Tensor]:
    """The last states of the two documents in a row, or of one alone, and the gradient of their sum by the embeddings."""
    embedded = causal.get_input_embeddings()(ids).detach().requires_grad_()
    with torch.enable_grad(), torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=bf16):
        states = _states(causal, embedded, _TRIAL_LENGTHS if ids.shape[1] == sum(_TRIAL_LENGTHS) else ids.shape[1:])
        [slope] = torch.autograd.grad(states.float().sum(), embedded)
    return states.detach(), slope


def _states_and_slope_alone(causal: Any, ids: Tensor, *, bf16: bool) -> tuple[Tensor, Tensor]:
    """As `_states_and_slope`, each document in a row of its own."""
    parts = [_states_and_slope(causal, part, bf16=bf16) for part in ids.split(_TRIAL_LENGTHS, dim=1)]
    states, slopes = zip(*parts, strict=True)
    return torch.cat(states, dim=1), torch.cat(slopes, dim=1)


def _states(causal: Any, embedded: Tensor, lengths: Sequence[int]) -> Tensor:
    positions = torch.cat([torch.arange(length, device=embedded.device) for length in lengths])[None]
    states: Tensor = causal.base_model(
        inputs_embeds=embedded, position_ids=positions, use_cache=False
    ).last_hidden_state
    return states


def _same(one: Tensor, other: Tensor) -> bool:
    """Bit for bit; what is no number in both is the same: broken weights are for the loss to tell."""
    same: bool = torch.equal(one.nan_to_num(), other.nan_to_num())
    return same


def _most_apart(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    return max(_apart(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one.float() - other.float()).norm() / other.float().norm().clamp(min=1e-12))


@dataclass(frozen=True)
class _Documents:
    """The documents of a row: their lengths, and for varlen where they start and end, (D + 1) on the row's device."""

    lengths: list[int]
    ends: Tensor


# Every layer asks for the same row's, and a GPU has to finish all its work to answer.
_KNOWN: Any = WeakIdKeyDictionary()


def _documents_of(positions: Tensor) -> _Documents:
    if positions not in _KNOWN:
        starts = [*(positions[0] == 0).nonzero().flatten().tolist(), positions.shape[1]]
        ends = torch.tensor(starts, dtype=torch.int32, device=positions.device)
        _KNOWN[positions] = _Documents([end - start for start, end in pairwise(starts)], ends)
    documents: _Documents = _KNOWN[positions]
    return documents


def _mask(
    batch_size: int, q_length: int, kv_length: int, *, attention_mask: Tensor | None = None, **settings: Any
) -> Tensor | None:
    """None for a single row without padding and without a cache, whose documents the attention itself tells apart."""
    if batch_size == 1 and attention_mask is None and q_length == kv_length:
        return None
    mask: Tensor | None = sdpa_mask(batch_size, q_length, kv_length, attention_mask=attention_mask, **settings)
    return mask


def _is_packed(query: Tensor, key: Tensor, mask: Tensor | None, settings: Mapping[str, Any]) -> bool:
    """Whether this is a single whole row; raises ValueError where the row could not be told from the position ids."""
    if mask is not None or query.shape[0] != 1 or query.shape[2] != key.shape[2] or query.shape[2] == 1:
        return False
    known = [name for name in _UNKNOWN if settings.get(name) is not None]
    if known or settings.get("position_ids") is None:
        raise ValueError(f"attention by documents has no {known[0] if known else 'position_ids'}")
    return True


def _by_document(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """transformers' interface of an attention: (1, heads, T, D) in, (1, T, heads, D) out."""
    if not _is_packed(query, key, attention_mask, settings):
        whole: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **settings
        )
        return whole
    lengths = _documents_of(settings["position_ids"]).lengths
    window = settings.get("sliding_window")
    parts = zip(*(tensor.split(lengths, dim=2) for tensor in (query, key, value)), strict=True)
    answers = [_of_one(*part, dropout=dropout, scale=scaling, window=window) for part in parts]
    return torch.cat(answers, dim=2).transpose(1, 2).contiguous(), None


def _of_one(
    query: Tensor, key: Tensor, value: Tensor, *, dropout: float, scale: float | None, window: int | None
) -> Tensor:
    shared = query.shape[1] != key.shape[1]
    length = query.shape[2]
    if window is None or length <= window:
        return functional.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, is_causal=True, scale=scale, enable_gqa=shared
        )
    behind = torch.arange(length, device=query.device)[:, None] - torch.arange(length, device=query.device)[None]
    times = query.shape[1] // key.shape[1]
    return functional.scaled_dot_product_attention(
        query,
        repeat_kv(key, times),
        repeat_kv(value, times),
        attn_mask=(behind >= 0) & (behind < window),
        dropout_p=dropout,
        scale=scale,
    )


def _varlen(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """transformers' interface of an attention: (1, heads, T, D) in, (1, T, heads, D) out. Without dropout, in 16 bits."""
    wide = value.dtype not in (torch.bfloat16, torch.float16)
    if varlen_attn is None or dropout or wide or not _is_packed(query, key, attention_mask, settings):
        return _by_document(module, query, key, value, attention_mask, dropout, scaling, **settings)
    documents = _documents_of(settings["position_ids"])
    window = settings.get("sliding_window")
    # rotary positions leave query and key in the layers' own precision; autocast does not know this call
    query, key = query.to(value.dtype), key.to(value.dtype)
    if "enable_gqa" not in _parameters():
        times = query.shape[1] // key.shape[1]
        key, value = repeat_kv(key, times), repeat_kv(value, times)
    flat = [tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value)]
    longest = max(documents.lengths)
    answer = varlen_attn(
        *flat, documents.ends, documents.ends, longest, longest, **_causal(scaling, window, query, key)
    )
    return answer[None], None


@cache
def _parameters() -> frozenset[str]:
    """What this torch's varlen_attn takes; it has had another signature in each of 2.10, 2.11 and 2.12."""
    return frozenset(inspect.signature(varlen_attn).parameters)


def _causal(scale: float | None, window: int | None, query: Tensor, key: Tensor) -> dict[str, Any]:
    """A causal call in the words of this torch; ValueError where it has none for this model."""
    known = _parameters()
    settings: dict[str, Any] = {"enable_gqa": query.shape[1] != key.shape[1]} if "enable_gqa" in known else {}
    if scale is not None and abs(scale - query.shape[-1] ** -0.5) > 1e-9:
        settings["scale"] = scale
    if "window_size" in known:
        settings["window_size"] = (-1 if window is None else window - 1, 0)
    else:
        settings |= {"is_causal": True} | ({} if window is None else {"window": window})
    if unknown := settings.keys() - known:
        raise ValueError(f"this torch's varlen_attn has no {', '.join(sorted(unknown))}")
    return settings


def _register() -> None:
    for name, attention in (("varlen", _varlen), ("by_document", _by_document)):
        AttentionInterface.register(name, attention)
        AttentionMaskInterface.register(name, _mask)


_register()
