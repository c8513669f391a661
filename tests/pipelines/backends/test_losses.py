"""The preference losses: trl's own trainers give the same numbers, and so do numpy and the formulas written again."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.backends.losses import bco_loss, dpo_loss, kto_baseline, kto_loss, nll, reward_shift
from tests.pipelines.conftest import write_base

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")

GOOD = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])
WEIGHT = torch.tensor([1.0, 1.0, 0.5, 0.25, 1.0, 0.0])
RATIO = torch.tensor([1.5, -2.0, 0.0, 40.0, 700.0, -700.0])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


LOSSES: dict[str, Any] = {
    "dpo": lambda x, good, weight, xp: dpo_loss(x, x * good - 0.3, weight, 0.1, xp),
    "kto": lambda x, good, weight, xp: kto_loss(x, good, 0.7, weight, 0.1, 1.3, 0.8, xp),
    "bco": lambda x, good, weight, xp: bco_loss(x, good, 0.2, weight, 0.1, 1.3, 0.8, xp),
    "nll": lambda x, good, weight, xp: nll(x, good + 2),
}


@pytest.mark.parametrize("name", LOSSES)
def test_numpy_and_torch_give_the_same_finite_losses(name: str) -> None:
    theirs = LOSSES[name](RATIO, GOOD, WEIGHT, torch)
    ours = LOSSES[name](RATIO.numpy(), GOOD.numpy(), WEIGHT.numpy(), np)
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    x = RATIO[:4].double().clone().requires_grad_()
    good, weight = GOOD[:4].double(), WEIGHT[:4].double()
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, good, weight, torch), (x,))


@pytest.mark.parametrize("name", LOSSES)
def test_a_gradient_is_finite_far_from_the_reference(name: str) -> None:
    x = RATIO.clone().requires_grad_()
    LOSSES[name](x, GOOD, WEIGHT, torch).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_bco_is_the_papers_binary_cross_entropy_with_a_shift() -> None:
    """Jung et al. 2024: -E_good[log sigmoid(r - delta)] - E_bad[log sigmoid(-(r - delta))], r = beta log-ratio."""
    ratio, good, beta, delta = np.array([2.0, -1.0, 0.4, -3.0]), np.array([1.0, 1.0, 0.0, 0.0]), 0.5, 0.3
    reward = beta * ratio
    expected = np.where(good == 1, -np.log(sigmoid(reward - delta)), -np.log(sigmoid(-(reward - delta))))
    np.testing.assert_allclose(bco_loss(ratio, good, delta, np.ones(4), beta, 1.0, 1.0, np), expected, rtol=1e-9)
    paper_delta = (reward[:2].mean() + reward[2:].mean()) / 2
    assert reward_shift(ratio, good, beta, np) == pytest.approx(paper_delta)


@pytest.mark.parametrize(("desirable", "undesirable", "factors"), [(2.0, 1.0, [2, 1]), (1.0, 3.0, [1, 3])])
def test_good_and_bad_answers_get_their_own_weights(desirable: float, undesirable: float, factors: list[int]) -> None:
    ratio, good, ones = np.array([0.5, 0.5]), np.array([1.0, 0.0]), np.ones(2)
    for loss in (kto_loss, bco_loss):
        plain = loss(ratio, good, 0.0, ones, 0.1, 1.0, 1.0, np)
        np.testing.assert_allclose(loss(ratio, good, 0.0, ones, 0.1, desirable, undesirable, np), plain * factors)


def test_the_reference_point_is_never_below_zero() -> None:
    assert kto_baseline(np.array([-3.0, 1.0]), np) == 0.0
    assert kto_baseline(torch.tensor([3.0, 1.0]), torch).item() == 2.0


# ---- trl's trainers as the oracle ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "model")


def two_models(base: Path) -> tuple[Any, Any, Any]:
    """A policy, a reference that differs from it, and their tokenizer."""
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    policy, reference = (AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32) for _ in range(2))
    torch.manual_seed(1)
    for weight in policy.parameters():
        weight.data += 0.02 * torch.randn_like(weight)
    named = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    return policy, reference, PreTrainedTokenizerFast(tokenizer_file=str(base / "tokenizer.json"), **named)


def settings(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": 4,
        "bf16": False,
        "use_cpu": True,
        "report_to": "none",
        "beta": 0.3,
        "disable_dropout": True,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
    }


def log_probs(model: Any, ids: torch.Tensor, attention: torch.Tensor, completion: torch.Tensor) -> torch.Tensor:
    """Sum over the completion's tokens, written here without trl."""
    logits = model(input_ids=ids, attention_mask=attention).logits[:, :-1].log_softmax(-1)
    return (logits.gather(-1, ids[:, 1:, None])[..., 0] * completion[:, 1:]).sum(1)


def gradients(model: Any, loss: torch.Tensor) -> list[torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]


def test_dpo_is_trls_sigmoid_loss_and_has_its_gradient(base: Path, tmp_path: Path) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    policy, reference, tokenizer = two_models(base)
    rows = [{"prompt": f"What is {i}?", "chosen": f" The answer is {i}.", "rejected": " hello kim"} for i in range(4)]
    trainer = DPOTrainer(
        model=policy,
        ref_model=reference,
        args=DPOConfig(loss_type="sigmoid", **settings(tmp_path)),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    policy.eval()
    theirs = trainer.compute_loss(policy, batch)
    ids, attention, completion = batch["input_ids"], batch["attention_mask"], batch["completion_mask"]
    with torch.no_grad():
        origin = log_probs(reference, ids, attention, completion)
    chosen, rejected = (log_probs(policy, ids, attention, completion) - origin).chunk(2)
    ours = dpo_loss(chosen, rejected, torch.ones(4), 0.3, torch).mean()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5) and ours.item() != pytest.approx(np.log(2), abs=1e-3)
    for mine, oracle in zip(gradients(policy, ours), gradients(policy, theirs), strict=True):
        assert torch.allclose(mine, oracle, atol=1e-5)


@pytest.mark.parametrize("kind", ["kto", "apo_zero_unpaired"])
def test_kto_is_trls_loss_and_has_its_gradient(base: Path, tmp_path: Path, kind: str) -> None:
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    policy, reference, tokenizer = two_models(base)
    rows = [{"prompt": f"What is {i}?", "completion": f" It is {i * 3}.", "label": i % 3 > 0} for i in range(4)]
    weights = {"desirable_weight": 1.2, "undesirable_weight": 0.9, "loss_type": kind}
    trainer = KTOTrainer(
        model=policy,
        ref_model=reference,
        args=KTOConfig(**weights, **settings(tmp_path)),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    policy.eval()
    theirs = trainer.compute_loss(policy, batch)
    plain = [batch[name] for name in ("input_ids", "attention_mask", "completion_mask")]
    kl: Any = 0.0
    if kind == "kto":
        crossed = [batch[name] for name in ("KL_input_ids", "KL_attention_mask", "KL_completion_mask")]
        with torch.no_grad():
            kl = kto_baseline(log_probs(policy, *crossed) - log_probs(reference, *crossed), torch)
        assert kl > 0
    with torch.no_grad():
        origin = log_probs(reference, *plain)
    good = torch.as_tensor(batch["label"], dtype=torch.float32)
    ours = kto_loss(log_probs(policy, *plain) - origin, good, kl, torch.ones(4), 0.3, 1.2, 0.9, torch).mean()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    for mine, oracle in zip(gradients(policy, ours), gradients(policy, theirs), strict=True):
        assert torch.allclose(mine, oracle, atol=1e-5)
