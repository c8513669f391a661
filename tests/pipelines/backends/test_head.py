"""Values of answer tokens a chunk at a time: the same values and gradients as from whole logits, for every kind of head."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from pipelines.backends.examples import IGNORED
from pipelines.backends.torch import head
from pipelines.backends.torch.head import answer_logits, answer_values, token_log_probs
from pipelines.backends.torch.kl import kl_to_origin

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::UserWarning:peft")

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,
}
HEADS: dict[str, dict[str, Any]] = {
    "qwen2": {"tie_word_embeddings": True},
    "llama": {"tie_word_embeddings": False},
    "gemma2": {"final_logit_softcapping": 2.0, "sliding_window": 64},
    "granite": {"logits_scaling": 3.0},
    "cohere": {"logit_scale": 0.25},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
}
ATTENTION = ["q_proj", "v_proj"]


def model_of(kind: str, *, target: list[str] | None, dtype: torch.dtype = torch.float64) -> Any:
    """A random model of a family, with a LoRA that has learned something if `target` names layers, else trained as a whole."""
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SHAPE, **HEADS[kind]))
    if target is not None:
        config = LoraConfig(
            r=4, target_modules=target, lora_dropout=0.0, task_type="CAUSAL_LM", init_lora_weights=False
        )
        model = get_peft_model(model, config)
    return model.to(dtype).train()


def row(tokens: int = 40) -> tuple[dict[str, Tensor], Tensor]:
    """A packed row of two examples, the labels on the later half of each."""
    torch.manual_seed(4)
    ids = torch.randint(3, SHAPE["vocab_size"], (1, tokens))
    positions = torch.arange(tokens // 2).repeat(2)[None]
    return {"input_ids": ids, "position_ids": positions}, torch.where(positions < tokens // 4, IGNORED, ids)


@contextmanager
def chunks_of(tokens: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "chunk_rows", lambda *_: tokens)
        yield


def values_and_gradients(model: Any, tokens: int, *, kl: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
    """What each token is worth, and the gradient of a loss that weighs the tokens differently."""
    inputs, labels = row()
    with chunks_of(tokens):
        if kl:
            values = answer_values(
                model, inputs, labels, lambda logits, _, origin: kl_to_origin(logits, origin), model.disable_adapter
            )
        else:
            values = answer_values(model, inputs, labels, token_log_probs)
        (values * torch.linspace(-1, 1, len(values))).sum().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return values.detach(), gradients


def same(one: tuple[Tensor, dict[str, Tensor]], other: tuple[Tensor, dict[str, Tensor]], tolerance: float) -> None:
    assert torch.allclose(one[0], other[0], atol=tolerance)
    assert one[1].keys() == other[1].keys() and one[1]
    for name, gradient in one[1].items():
        assert torch.allclose(gradient, other[1][name], atol=tolerance * max(1.0, gradient.abs().max().item())), name


CASES = [(kind, target) for kind in HEADS for target in (ATTENTION, None)] + [("llama", [*ATTENTION, "lm_head"])]
NAMES = [f"{kind}-{'full' if target is None else target[-1]}" for kind, target in CASES]


@pytest.mark.parametrize(("kind", "target"), CASES, ids=NAMES)
def test_log_probabilities_by_chunks_are_those_of_whole_logits(kind: str, target: list[str] | None) -> None:
    # experts are not computed in float64
    dtype, tolerance = (torch.float32, 1e-4) if "moe" in kind else (torch.float64, 1e-6)
    model = model_of(kind, target=target, dtype=dtype)
    same(values_and_gradients(model, 1000), values_and_gradients(model, 7), tolerance)


@pytest.mark.parametrize("target", [ATTENTION, [*ATTENTION, "lm_head"]], ids=["adapter", "adapted head"])
def test_kl_to_the_origin_by_chunks_is_that_of_whole_logits(target: list[str]) -> None:
    model = model_of("llama", target=target)
    whole, chunked = (values_and_gradients(model, tokens, kl=True) for tokens in (1000, 7))
    same(whole, chunked, 1e-6)
    assert whole[0].min() > 0


def test_under_autocast_the_head_computes_in_the_precision_of_the_layers() -> None:
    model = model_of("gemma2", target=ATTENTION, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        whole, chunked = (values_and_gradients(model, tokens) for tokens in (1000, 7))
    same(whole, chunked, 2e-2)
    exact = values_and_gradients(model, 7)
    assert not torch.equal(exact[0], chunked[0])


def test_logits_for_reading_come_in_chunks_and_without_gradients_all_the_same() -> None:
    model, (inputs, labels) = model_of("qwen2", target=ATTENTION).eval(), row()
    with torch.no_grad():
        [whole] = answer_logits(model, inputs, labels)
        with chunks_of(6):
            parts = list(answer_logits(model, inputs, labels))
            values = answer_values(model, inputs, labels, token_log_probs)
    assert [len(part) for part in parts] == [6, 6, 6, 2] and torch.allclose(torch.cat(parts), whole)
    targets = labels[labels != IGNORED]
    assert torch.allclose(values, token_log_probs(whole, targets), atol=1e-6)
    assert "forward" not in model.get_base_model().model.__dict__


def test_a_large_vocabulary_never_meets_all_tokens_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (inputs, labels) = model_of("qwen2", target=ATTENTION), row()
    monkeypatch.setattr(head, "_CHUNK_BYTES_ELSEWHERE", 5 * 4 * SHAPE["vocab_size"])
    monkeypatch.setattr(head, "_SMALLEST_CHUNK", 1)
    sizes: list[int] = []
    model.get_base_model().lm_head.register_forward_hook(lambda _, __, logits: sizes.append(logits.shape[1]))
    answer_values(model, inputs, labels, token_log_probs).sum().backward()
    assert max(sizes) == 5 and sum(sizes) == int((labels != IGNORED).sum())
