import pytest
from pydantic import ValidationError

from pipelines.recipe import GateRule

MARGIN = {"champion": 2.0, "origin": 3.0}


@pytest.mark.parametrize(
    "raw",
    [
        {"suite": "kmmlu", "floor_below_origin": 2.0, "margin": MARGIN},
        {"suite": "heldout", "metric": "rougeL", "min_gain": 0.0},
        {"suite": "heldout", "min_gain": -1.0},
        {"suite": "language"},
        {"suite": "math", "floor": 55},
    ],
)
def test_rules_of_the_shipped_recipes_are_read(raw: dict[str, object]) -> None:
    assert GateRule.model_validate(raw).suite == raw["suite"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"suite": "math"}, "asks for nothing"),
        ({"suite": "math", "margin": {"champion": 2.0}}, "Field required"),
        ({"suite": "math", "margin": {"champion": 0, "origin": 3}}, "greater than 0"),
        ({"suite": "math", "min_gain": 1.0}, "heldout, corrections and pairs, not for 'math'"),
        ({"suite": "heldout", "metric": "perplexity", "floor": 5}, "perplexity is not"),
        ({"suite": "math", "metric": "bleu", "margin": MARGIN}, "rouge1"),
        ({"suite": "math", "margins": MARGIN}, "Extra inputs"),
    ],
)
def test_rules_that_cannot_be_acted_on_are_refused(raw: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GateRule.model_validate(raw)
