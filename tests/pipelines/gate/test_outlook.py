"""What is said of a gate beforehand is what the gate would do."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import RecipeError
from pipelines.gate.disagreement import read_disagreement
from pipelines.gate.judge import judge_margin
from pipelines.gate.outlook import check_gates, gate_outlooks
from pipelines.gate.simulate import simulate_rounds
from pipelines.recipe import Recipe

MARGIN = {"suite": "mmlu", "margin": {"champion": 3.0, "origin": 3.0}}


def recipe(*gates: dict[str, Any], items: int | None = None, **changes: Any) -> Recipe:
    given = {
        "name": "test",
        "base": {"model": "models/tiny"},
        "mixture": {"user": 1.0},
        "evaluate": {"suites": ["mmlu", "heldout", "language"], "items": items, "heldout": 300},
        "gates": gates,
        **changes,
    }
    return Recipe.model_validate(given)


@pytest.mark.parametrize("items", [300, 600, 1500])
def test_the_power_of_a_margin_is_what_a_simulation_finds(items: int) -> None:
    [outlook] = gate_outlooks(recipe(MARGIN, items=items), {"mmlu": 5000})
    rates = simulate_rounds(
        judge_margin, items=items, discordance=0.05, margin=0.03, suites=1, same_champion=True, rounds=400
    )
    assert outlook.power == pytest.approx(rates.passed, abs=0.06)
    assert outlook.items == items and f"in {100 * (outlook.power or 0):.0f} % of rounds" in outlook.sentence


def test_the_power_of_a_gain_is_what_was_measured_on_150_answers() -> None:
    [outlook] = gate_outlooks(recipe({"suite": "heldout", "min_gain": 0.0}), {}, heldout=150)
    assert outlook.power == pytest.approx(0.5, abs=0.03) and "truly better by 3 points" in outlook.sentence
    [harder] = gate_outlooks(recipe({"suite": "heldout", "min_gain": 1.0}), {}, heldout=150)
    assert harder.power == pytest.approx(0.34, abs=0.07)  # two points beyond what is asked


@pytest.mark.parametrize(
    ("gate", "sizes", "heldout", "sentence"),
    [
        (MARGIN, {"mmlu": 148}, None, "mmlu: never: a margin of 3.0 needs at least 200 items, and there are 148"),
        (
            {**MARGIN, "margin": {"champion": 1.0, "origin": 2.0}},
            {"mmlu": 250},
            None,
            "a margin of 1.0 needs at least 300",
        ),
        ({"suite": "mmlu", "floor_below_origin": 2.0}, {"mmlu": 150}, None, "a floor needs at least 200 items"),
        (
            {"suite": "heldout", "min_gain": 0.0},
            {},
            15,
            "heldout: never: a gain needs at least 30 held-out answers, and there are 15",
        ),
    ],
    ids=["few items", "narrow margin", "floor", "few answers"],
)
def test_a_gate_that_nothing_can_pass_is_never(gate: Any, sizes: Any, heldout: int | None, sentence: str) -> None:
    [outlook] = gate_outlooks(recipe(gate), sizes, heldout)
    assert outlook.never and sentence in outlook.sentence
    with pytest.raises(RecipeError, match="has a gate that no candidate can pass"):
        check_gates(recipe(gate), sizes, heldout)


def test_a_recipe_that_asks_for_too_few_items_is_told_so_and_a_fair_one_passes() -> None:
    with pytest.raises(RecipeError, match="there are 50"):
        check_gates(recipe(MARGIN, items=50), {"mmlu": 14042})
    check_gates(
        recipe(MARGIN, {"suite": "heldout", "min_gain": 0.0}, {"suite": "language"}, items=600), {"mmlu": 14042}
    )


def test_more_attempts_cost_power() -> None:
    one, three = (gate_outlooks(recipe(MARGIN, max_attempts=n), {"mmlu": 600})[0].power or 0 for n in (1, 3))
    assert three < one


def test_what_was_measured_takes_the_place_of_what_is_assumed(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl.gz"
    rows = [
        {
            "model": model,
            "suite": "mmlu",
            "metric": "acc",
            "id": str(i),
            "value": float(i % 5 != 0 or model == "origin"),
        }
        for model in ("origin", "champion", "candidate")
        for i in range(400)
    ]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    measured = read_disagreement(path, "round 7")
    assert measured and measured.spread["mmlu"] == pytest.approx(0.4)
    [assumed] = gate_outlooks(recipe(MARGIN), {"mmlu": 600})
    [outlook] = gate_outlooks(recipe(MARGIN), {"mmlu": 600}, measured=measured)
    assert "(16 % differing, measured in round 7)" in outlook.sentence and "assumed" in assumed.sentence
    assert (outlook.power or 0) < (assumed.power or 0), "a fifth of the answers was lost: they lie further apart"
    path.write_bytes(b"not gzip")
    assert read_disagreement(path, "round 7") is None


def test_two_models_that_answer_alike_promise_no_certainty(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl.gz"
    rows = [
        {"model": model, "suite": "mmlu", "metric": "acc", "id": str(i), "value": 1.0}
        for model in ("origin", "candidate")
        for i in range(200)
    ]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    measured = read_disagreement(path, "round 1")
    assert measured and measured.spread["mmlu"] == pytest.approx((1 / 200) ** 0.5)
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows[150:250])).encode()))
    few = read_disagreement(path, "round 1")
    assert few and few.spread == {}, "50 items say little"


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (12, "corrections: fewer than 30 decide nothing, on 12 held-out corrections"),
        (45, "corrections: a candidate that surely lost 5 points or more fails, on 45 held-out corrections"),
    ],
)
def test_corrections_have_an_outlook_of_their_own_and_stand_in_no_rounds_way(count: int, sentence: str) -> None:
    _, outlook = gate_outlooks(recipe(MARGIN), {"mmlu": 600, "corrections": count})
    assert outlook.sentence == sentence and not outlook.never
    check_gates(recipe(MARGIN), {"mmlu": 600, "corrections": count})
    assert len(gate_outlooks(recipe(MARGIN), {"mmlu": 600})) == 1


def test_a_gate_on_corrections_or_pairs_says_what_it_needs() -> None:
    margin = {"suite": "corrections", "margin": {"champion": 5.0, "origin": 5.0}}
    with pytest.raises(RecipeError, match="corrections: never: .* at least 200 held-out corrections, and there are 12"):
        check_gates(recipe(margin), {"corrections": 12})
    check_gates(recipe(margin), {})  # how many there are the snapshot says
    gain = {"suite": "pairs", "min_gain": 0.0}
    suites = {"suites": ["pairs"], "heldout": 100}
    [outlook] = gate_outlooks(recipe(gain, evaluate=suites), {"pairs": 150})
    assert outlook.items == 100 and "on 100 held-out pairs (10 % of answers that differ assumed)" in outlook.sentence
