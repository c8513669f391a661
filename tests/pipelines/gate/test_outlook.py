"""What is said of a gate beforehand is what the gate would do."""

from typing import Any

import pytest

from pipelines.errors import RecipeError
from pipelines.gate.decide import judge_margin
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
