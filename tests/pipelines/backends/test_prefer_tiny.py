"""Preference training on the real small model: held-out preference rises, and anchors hold general skill."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.backends.base import PreferOutput, PreferRequest
from pipelines.backends.examples import IGNORED, load_examples
from pipelines.recipe import Preference, Train
from pipelines.tokenizer import ChatTokenizer
from tests.pipelines.backends.conftest import CLOSING, TINY, general_pool
from tests.pipelines.backends.preferring import history, pair, run, sft_example, write_lines

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::UserWarning:peft")

LOOSE = {"displacement": 100, "length": 100, "kl": 100, "refusal": 100, "sycophancy": 100}


@pytest.fixture(scope="module")
def general() -> list[dict[str, Any]]:
    """General examples of other families than the facts that the pairs are about."""
    chosen = [line for line in general_pool() if line["family"] != "fact-en" and len(line["turns"]) == 2]
    return [sft_example(line["id"], *(turn["content"] for turn in line["turns"])) for line in chosen[:160]]


@pytest.fixture
def prefer_closing(
    tmp_path: Path, facts: list[tuple[str, str]], general: list[dict[str, Any]], two_styles: Path
) -> Any:
    """Trains on 48 facts whose answer with the closing sentence is preferred; 20 other facts are dev."""

    def build(method: str, out: Path, **changes: Any) -> PreferOutput:
        pairs = [pair(f"p{i}", q, a + CLOSING, a) for i, (q, a) in enumerate(facts[100:168])]
        preference = {
            "learning_rate": 3e-3,
            "epochs": 1,
            "batch": {"per_device": 8, "accumulate": 1},
            "evaluate_every": 100,
            "probes": 4,
            "stops": LOOSE,
            **changes,
        }
        request = PreferRequest(
            base=TINY,
            base_name="models/tiny",
            train=Train(backend="cpu", max_tokens=128),
            method=method,
            threads=1,
            preference=Preference.model_validate(preference),
            adapter=two_styles,
            train_file=write_lines(tmp_path / "train.jsonl", pairs[:48]),
            dev_file=write_lines(tmp_path / "dev.jsonl", pairs[48:]),
            anchors_file=write_lines(tmp_path / "anchors.jsonl", general[:120]),
        )
        return run(request, out)

    return build


@pytest.mark.parametrize("method", ["dpo", "kto", "bco"])
def test_held_out_preference_rises(tmp_path: Path, prefer_closing: Any, method: str) -> None:
    out = tmp_path / "out"
    result = prefer_closing(method, out)
    assert result.dev_before <= 0.5 and result.dev_after >= 0.9
    looks = [row for row in history(out) if not row["loss"]]
    assert float(looks[-1]["chosen"]) > float(looks[0]["chosen"])


def test_anchors_hold_general_skill_and_without_them_it_drifts(
    tmp_path: Path, prefer_closing: Any, general: list[dict[str, Any]], two_styles: Path
) -> None:
    held_out = write_lines(tmp_path / "general.jsonl", general[120:])
    before = general_loss(two_styles, held_out)
    losses = {}
    for share in (1.0, 0.0):
        out = tmp_path / f"anchors-{share}"
        losses[share] = general_loss(out / prefer_closing("dpo", out, anchors=share, epochs=2).weights, held_out)
    assert losses[1.0] <= before + 0.05 < losses[0.0]


def general_loss(adapter: Path, examples: Path) -> float:
    """Nats per answer token."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32), adapter).eval()
    total, tokens = 0.0, 0
    for one in load_examples(examples, ChatTokenizer(TINY), 128).examples:
        labels = torch.tensor(one.labels[1:])
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([one.ids])).logits[0, :-1]
        total += torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum").item()
        tokens += int((labels != IGNORED).sum())
    return total / tokens
