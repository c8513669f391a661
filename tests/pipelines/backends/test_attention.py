"""Attention a document at a time: what the mask over the whole row gives, and left alone wherever it is not that."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM

from pipelines.backends.torch import attention
from pipelines.backends.torch.attention import trial, with_fitting_attention, with_isolated_rows
from pipelines.backends.torch.device import choose
from pipelines.recipe import Train
from tests.pipelines.backends.test_head import SHAPE

LENGTHS = (9, 1, 20, 12)
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen2": {},
    "mistral": {"sliding_window": 5},
    "qwen3": {"layer_types": ["full_attention", "sliding_attention"], "use_sliding_window": True, "sliding_window": 7},
}


def model_of(kind: str, name: str = "sdpa", **changes: Any) -> Any:
    torch.manual_seed(5)
    config = AutoConfig.for_model(kind, **(SHAPE | FAMILIES.get(kind, {}) | changes))
    return AutoModelForCausalLM.from_config(config, attn_implementation=name).train()


def packed_row() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(6)
    ids = torch.randint(3, SHAPE["vocab_size"], (1, sum(LENGTHS)), generator=generator)
    return {"input_ids": ids, "position_ids": torch.cat([torch.arange(length) for length in LENGTHS])[None]}


def logits_and_gradient(model: Any) -> tuple[Tensor, Tensor]:
    logits = model(**packed_row(), use_cache=False).logits
    logits.square().sum().backward()
    return logits.detach(), model.get_input_embeddings().weight.grad


def kernel(query: Tensor, key: Tensor, value: Tensor, ends: Tensor, scale: float | None, window: int) -> Tensor:
    """What FlashAttention computes for documents of different lengths, for a CPU, which has none."""
    assert ends.dtype == torch.int32 and query.is_contiguous()
    parts = []
    for start, end in pairwise(ends.tolist()):
        q, k, v = (tensor[start:end].transpose(0, 1) for tensor in (query, key, value))
        behind = torch.arange(end - start)[:, None] - torch.arange(end - start)[None]
        seen = (behind >= 0) & ((window < 0) | (behind <= window))
        parts.append(functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale, enable_gqa=True))
    return torch.cat(parts, dim=1).transpose(0, 1)


def of_2_10(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, return_aux=None):  # type: ignore[no-untyped-def]
    assert is_causal and query.shape[1] == key.shape[1] and max_q == max_k == max(LENGTHS)
    return kernel(query, key, value, cu_seq_q, None, -1)


def of_2_11(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, return_aux=None, scale=None, window_size=(-1, -1)):  # type: ignore[no-untyped-def]
    assert window_size[1] == 0 and query.shape[1] == key.shape[1]
    return kernel(query, key, value, cu_seq_q, scale, window_size[0])


def of_2_12(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1), enable_gqa=False):  # type: ignore[no-untyped-def]
    assert enable_gqa and window_size[1] == 0
    return kernel(query, key, value, cu_seq_q, scale, window_size[0])


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_document_at_a_time_gives_what_a_mask_over_the_row_gives(kind: str) -> None:
    masked, apart = (logits_and_gradient(model_of(kind, name)) for name in ("sdpa", "by_document"))
    for one, other in zip(masked, apart, strict=True):
        assert torch.allclose(one, other, atol=1e-4 * float(one.abs().max()))


@pytest.mark.parametrize(
    ("call", "kind"),
    [(of_2_10, "qwen2"), (of_2_11, "qwen2"), (of_2_11, "mistral"), (of_2_12, "qwen2"), (of_2_12, "qwen3")],
    ids=["2.10", "2.11", "2.11 with a window", "2.12", "2.12 with a window"],
)
def test_varlen_is_called_as_each_torch_has_it(call: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "varlen_attn", call)
    attention._parameters.cache_clear()
    masked, apart = (logits_and_gradient(model_of(kind, name).to(torch.bfloat16)) for name in ("sdpa", "varlen"))
    attention._parameters.cache_clear()
    for one, other in zip(masked, apart, strict=True):
        assert float((one - other).norm() / one.norm()) < 0.03


@pytest.mark.parametrize("name", ["sdpa", "by_document"])
def test_changing_one_document_changes_no_other(name: str) -> None:
    model, row = model_of("mistral", name).eval(), packed_row()
    other = row | {"input_ids": row["input_ids"].clone()}
    other["input_ids"][0, 10:30] = 3  # the third
    with torch.no_grad():
        before, after = (model(**one, use_cache=False).logits[0] for one in (row, other))
    same = (before == after).all(-1)
    assert same[:10].all() and same[30:].all() and not same[10:30].any()


def test_recomputed_activations_meet_the_same_documents() -> None:
    plain, recomputed = model_of("qwen2", "by_document"), model_of("qwen2", "by_document")
    recomputed.activation_checkpointing_enable({"use_reentrant": False})
    assert torch.allclose(logits_and_gradient(plain)[1], logits_and_gradient(recomputed)[1], atol=1e-5)


def test_answers_to_padded_prompts_are_generated_as_ever() -> None:
    ids = torch.tensor([[0, 0, 7, 8, 9], [4, 5, 6, 7, 8]])
    settings = {"max_new_tokens": 6, "do_sample": False, "attention_mask": (ids > 0).long(), "eos_token_id": None}
    answers = [model_of("qwen2", name).eval().generate(ids, **settings) for name in ("sdpa", "by_document", "varlen")]
    assert torch.equal(answers[0], answers[1]) and torch.equal(answers[0], answers[2])


def test_an_attention_is_taken_only_after_a_trial_on_the_model_itself() -> None:
    model = model_of("qwen2").requires_grad_(False)
    assert trial(model, "by_document", bf16=False) is None and model.config._attn_implementation == "by_document"
    assert model.base_model(input_ids=torch.arange(5)[None]).last_hidden_state.shape == (1, 5, 32)


def test_rounding_that_grows_with_the_layers_is_no_other_result() -> None:
    model = model_of("qwen2", num_hidden_layers=48, initializer_range=0.3).bfloat16().requires_grad_(False).eval()
    ids = torch.arange(sum(attention._TRIAL_LENGTHS))[None] + 3
    own = attention._states_and_slope(model, ids, bf16=True)
    assert trial(model, "by_document", bf16=True) is None
    assert attention._most_apart(attention._states_and_slope(model, ids, bf16=True), own) > attention._APART


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (lambda q, k, v, *_, **__: v * q.sum(), "sees another"),
        (lambda q, k, v, *_, **__: v.cumsum(0) * 0 + v, "not that of"),
        (None, "no kernel on this card"),
    ],
    ids=["mixes documents", "another result", "an error"],
)
def test_an_attention_that_fails_its_trial_leaves_the_model_as_it_was(
    broken: Any, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(query, key, value, *rest, enable_gqa=False, window_size=(-1, -1)):  # type: ignore[no-untyped-def]
        if broken is None:
            raise RuntimeError("no kernel on this card\nwith a long explanation")
        times = query.shape[1] // value.shape[1]
        return broken(query, key, value.repeat_interleave(times, 1))

    monkeypatch.setattr(attention, "varlen_attn", call)
    attention._parameters.cache_clear()
    model = model_of("qwen2").bfloat16().requires_grad_(False)
    said = trial(model, "varlen", bf16=True)
    attention._parameters.cache_clear()
    assert said is not None and fault in said and "explanation" not in said
    assert model.config._attn_implementation == "sdpa"


def test_the_choices_say_which_attention_and_why() -> None:
    choices, model = choose(Train(backend="cpu"), 1, 1), model_of("qwen2").requires_grad_(False)
    assert with_fitting_attention(model, choices).why["attention"].startswith("sdpa: with a mask")
    asked = with_fitting_attention(model, replace(choices, attention="by_document"))
    assert asked.why["attention"] == "by_document: as asked" and model.config._attn_implementation == "by_document"
    model.set_attn_implementation("sdpa")
    cuda = replace(choices, device="cuda")  # the model itself is on the CPU, where torch has no varlen kernel
    assert with_fitting_attention(model, cuda).why["attention"] == "by_document: packed rows a document at a time"
    in_16_bits = with_fitting_attention(model.bfloat16(), replace(cuda, bf16=True)).why["attention"]
    assert in_16_bits.startswith("by_document") and "varlen was left alone: Could not run" in in_16_bits


def test_a_model_whose_rows_leak_gets_one_example_a_row() -> None:
    linear = {
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
    }
    choices = choose(Train(backend="cpu"), 1, 1)
    leaking = with_isolated_rows(model_of("qwen3_5_text", num_hidden_layers=4, **linear), choices)
    assert leaking.row_tokens == 1 and leaking.why["packing"].startswith("one example a row: in this model's rows")
    for kind in FAMILIES:
        assert with_isolated_rows(model_of(kind), choices) is choices
