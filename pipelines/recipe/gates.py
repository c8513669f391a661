"""What a recipe's gate may ask of a suite. All figures are percentage points.

- {suite: kmmlu, floor_below_origin: 2.0, margin: {champion: 2.0, origin: 3.0}}
- {suite: heldout, metric: rougeL, min_gain: 0.0}
- {suite: language}
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.recipe.section import Section

GUARD_SUITE = "language"
HELDOUT = "heldout"
# Suites of pairs that people preferred one way: the permanent one of corrections, and all of this round's.
CORRECTIONS, PAIRS = "corrections", "pairs"
# Suites whose items come from the corpus, not from a folder.
APART = (HELDOUT, CORRECTIONS, PAIRS)

Points = Annotated[float, Field(gt=0, le=100)]
Metric = Literal[
    "acc",
    "acc_norm",
    "exact_match",
    "math_verify",
    "prompt_level_strict_acc",
    "pass_at_1",
    "agreement",
    "length",
    "refusals",
    "rouge1",
    "rouge2",
    "rougeL",
    "perplexity",
    "preferred",
]


class Margin(Section):
    """How far the candidate may truly lie below each baseline."""

    champion: Points
    origin: Points


class GateRule(Section):
    """One gate on one suite; several criteria hold together.

    Attributes:
        metric: which of the suite's metrics; None takes the suite's own (rougeL for `heldout`, preferred for pairs).
        margin: non-inferiority against the champion and, cumulatively, against the origin.
        floor_below_origin: fails a candidate whose score lies further below the measured origin, and surely below it;
            one that is not surely below it is inconclusive.
        floor: absolute score from 0 to 100; a measured origin that misses it stops the round before training.
        min_gain: superiority; the lower bound of the gain must exceed it. Negative values ask for non-inferiority.
    """

    suite: str
    metric: Metric | None = None
    margin: Margin | None = None
    floor_below_origin: Annotated[float, Field(ge=0, le=100)] | None = None
    floor: Annotated[float, Field(ge=0, le=100)] | None = None
    min_gain: Annotated[float, Field(ge=-100, le=100)] | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> "GateRule":
        demands = (self.margin, self.floor_below_origin, self.floor, self.min_gain)
        if self.suite != GUARD_SUITE and all(value is None for value in demands):
            raise ValueError(
                f"the gate on suite '{self.suite}' asks for nothing: give margin, floor_below_origin, floor or min_gain"
            )
        if self.floor is not None and self.metric == "perplexity":
            raise ValueError(
                "a floor is a score from 0 to 100, which perplexity is not; give a margin against the origin"
            )
        if self.min_gain is not None and self.suite not in APART:
            raise ValueError(
                f"min_gain is for what people wrote or preferred: {HELDOUT}, {CORRECTIONS} and {PAIRS}, not for '{self.suite}'"
            )
        return self

    @property
    def needs_origin_first(self) -> bool:
        """Whether the origin's own scores can make it one that nothing could pass or fail; measured before training."""
        return self.floor is not None or self.suite == GUARD_SUITE
