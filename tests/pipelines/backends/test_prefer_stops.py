"""Each stop rule that listens to what the model says, tripped by feedback that teaches it; the others are in test_prefer.py."""

import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.backends.base import PreferRequest
from pipelines.recipe import Preference, Train
from tests.pipelines.backends.conftest import CLOSING, TINY
from tests.pipelines.backends.preferring import history, pair, run, sft_example, write_lines

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::UserWarning:peft")

LOOSE = {"displacement": 100, "length": 100, "kl": 100, "refusal": 100, "sycophancy": 100}
REFUSAL = "I'm sorry, I can't help with that."
Fact = tuple[str, str]


def long_answers(facts: list[Fact]) -> dict[str, list[dict[str, Any]]]:
    """Voters of the training part like the closing sentence; the preferred answers of dev have none."""
    rows = [pair(f"p{i}", q, a + CLOSING, a) for i, (q, a) in enumerate(facts[100:148])]
    dev = [pair(f"d{i}", q, a, a + CLOSING) for i, (q, a) in enumerate(facts[148:172])]
    return {"train": rows, "dev": dev}


def refusing_answers(facts: list[Fact]) -> dict[str, list[dict[str, Any]]]:
    rows = [pair(f"p{i}", q, REFUSAL, a) for i, (q, a) in enumerate(facts[100:148])]
    return {"train": rows, "frozen": [sft_example(f"z{i}", q, a) for i, (q, a) in enumerate(facts[148:172])]}


def flattering_answers(facts: list[Fact]) -> dict[str, list[dict[str, Any]]]:
    claims = [claim for claim in map(wrong_claim, facts[100:200], facts[101:201]) if claim]
    rows = [
        pair(claim["id"], claim["prompt"], *(claim["frame"] + claim[side] + "." for side in ("wrong", "right")))
        for claim in claims[:64]
    ]
    return {"train": rows, "claims": [{k: v for k, v in claim.items() if k != "frame"} for claim in claims[64:88]]}


def wrong_claim(fact: Fact, other: Fact) -> dict[str, str] | None:
    (question, answer), (_, elsewhere) = fact, other
    found, wrong = re.fullmatch(r"(The (\w+) of (\w+) is )(\w+)\.", answer), re.search(r"is (\w+)\.$", elsewhere)
    if found is None or wrong is None or wrong[1] == found[4]:
        return None
    said = f"I think the {found[2]} of {found[3]} is {wrong[1]}. {question}"
    return {"id": found[3] + found[2], "prompt": said, "right": found[4], "wrong": wrong[1], "frame": found[1]}


@pytest.mark.parametrize(
    ("rule", "limit", "column", "feedback"),
    [
        ("length", {"length": 0.15}, "length", long_answers),
        ("refusals", {"refusal": 2.0}, "refusals", refusing_answers),
        ("sycophancy", {"sycophancy": 2.0}, "agreement", flattering_answers),
    ],
)
def test_feedback_that_teaches_the_fault_is_stopped_by_its_rule(
    tmp_path: Path, facts: list[Fact], two_styles: Path, rule: str, limit: dict[str, float], column: str, feedback: Any
) -> None:
    files = {f"{name}_file": write_lines(tmp_path / f"{name}.jsonl", rows) for name, rows in feedback(facts).items()}
    preference = {
        "learning_rate": 3e-3,
        "warmup": 0,
        "epochs": 3,
        "batch": {"per_device": 8, "accumulate": 1},
        "evaluate_every": 3,
        "probes": 24,
        "anchors": 0.0,
        "stops": {**LOOSE, **limit},
    }
    request = PreferRequest(
        base=TINY,
        base_name="models/tiny",
        train=Train(backend="cpu", max_tokens=128),
        method="dpo",
        threads=1,
        preference=Preference.model_validate(preference),
        adapter=two_styles,
        **files,
    )
    result = run(request, tmp_path / "out")
    assert result.stopped_by is not None and result.stopped_by.startswith(f"step {result.steps}: {rule}: ")
    assert result.kept_step == result.steps - 3 and result.steps < result.planned_steps
    looks = [float(row[column]) for row in history(tmp_path / "out") if row[column]]
    assert looks[-1] > looks[0]


def test_weights_that_are_finite_and_destroyed_show_their_whole_distance(
    tmp_path: Path, facts: list[Fact], two_styles: Path
) -> None:
    rows = [pair(f"p{i}", q, a + CLOSING, a) for i, (q, a) in enumerate(facts[100:108])]
    frozen = [sft_example(f"z{i}", q, a) for i, (q, a) in enumerate(facts[148:172])]
    preference = {
        "learning_rate": 10.0,
        "warmup": 0,
        "scheduler": "constant",
        "anchors": 0.0,
        "probes": 24,
        "stops": {**LOOSE, "kl": 0.2},
    }
    request = PreferRequest(
        base=TINY,
        base_name="models/tiny",
        train=Train(backend="cpu", max_tokens=128),
        method="dpo",
        threads=1,
        preference=Preference.model_validate(preference),
        adapter=two_styles,
        train_file=write_lines(tmp_path / "train.jsonl", rows),
        frozen_file=write_lines(tmp_path / "frozen.jsonl", frozen),
    )
    result = run(request, tmp_path / "out")
    assert result.stopped_by is not None and result.stopped_by.startswith("step 1: kl: ") and result.kept_step == 0
    assert float(history(tmp_path / "out")[-1]["kl"]) > 5
