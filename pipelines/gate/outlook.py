"""Whether a gate can be passed at all, by arithmetic on what is known before anything is trained.

    gate_outlooks(recipe, {"mmlu": 14042, "humaneval": 148})[1].sentence
        "humaneval: never: a margin of 3.0 needs at least 200 items, and there are 148"

An unchanged model here is one as good as its baseline that answers some items otherwise, as a merged and requantized
model does. Power after Miller 2024 (arXiv:2411.00640), section 5, for paired items that are independent; where items
come in clusters there is less of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

from pipelines.errors import RecipeError
from pipelines.gate.disagreement import Disagreement
from pipelines.gate.regression_guard import LOSS
from pipelines.gate.statistics import MIN_GRADED, MIN_ITEMS, alpha_for, min_items
from pipelines.recipe import APART, CORRECTIONS, GUARD_SUITE, HELDOUT, PAIRS, GateRule, Metric, Recipe
from pipelines.records import Record
from pipelines.suites.scores import PERPLEXITY

# What is assumed where nothing was measured: a merged Q4_K_M answered 2 % of items otherwise than its origin, an adapter
# .6 %, both without having learned anything else; ROUGE-L of held-out answers differed by 22 points (one deviation).
DISAGREEMENT = {"merged": 0.05, "adapter": 0.02}
ROUGE_SPREAD = 0.22
PERPLEXITY_SPREAD = 0.1  # nats a token between two models' readings of one text, one deviation
PAIR_DISAGREEMENT = 0.1
TRUE_GAIN = 0.03
_OFTEN = 0.8
_NORMAL = NormalDist()


class GateOutlook(Record):
    """What is to be expected of one gate.

    Attributes:
        items: that it is judged on; None where that is only known once the snapshot is taken.
        power: how often it is passed: by an unchanged model, or for a gain by one that is truly better by 3 points.
            None where that cannot be said.
        never: whatever the candidate is, it cannot pass.
    """

    suite: str
    items: int | None
    power: float | None
    never: bool
    sentence: str


def gate_outlooks(
    recipe: Recipe, sizes: Mapping[str, int], heldout: int | None = None, measured: Disagreement | None = None
) -> tuple[GateOutlook, ...]:
    """What is to be expected of each gate of a recipe, in their order, and of corrections, which hold by themselves.

    Args:
        sizes: gate items by suite, with those of corrections and pairs where they are known.
        heldout: how many held-out answers there would be; None where that is not known.
        measured: how far models lay apart in an earlier round; None where nothing was measured.
    """
    known = _Known(recipe, sizes, heldout, measured, alpha_for(1, recipe.max_attempts))
    outlooks = tuple(outlook for rule in recipe.gates for outlook in _outlooks(known, rule))
    if any(rule.suite == CORRECTIONS for rule in recipe.gates) or not sizes.get(CORRECTIONS):
        return outlooks
    return (*outlooks, _corrections(known.items(CORRECTIONS) or 0))


def check_gates(recipe: Recipe, sizes: Mapping[str, int], heldout: int | None = None) -> None:
    """Raise RecipeError, before anything is trained, if a gate of the recipe can never be passed."""
    never = [outlook.sentence for outlook in gate_outlooks(recipe, sizes, heldout) if outlook.never]
    if never:
        raise RecipeError(
            f"the recipe '{recipe.name}' has {'a gate' if len(never) == 1 else 'gates'} that no candidate can pass: "
            + "; ".join(never)
        )


def passing_margin(
    metric: Metric, items: int, form: Literal["merged", "adapter"], candidates: Sequence[float]
) -> float | None:
    """The smallest of these margins, in points, that an unchanged model passes in four rounds of five; None if none is.

    `items` are those that the gate would be judged on.
    """
    spread, alpha = PERPLEXITY_SPREAD if metric == PERPLEXITY else sqrt(DISAGREEMENT[form]), alpha_for(1, 1)
    for points in sorted(candidates):
        if items >= min_items(points / 100) and _power(points / 100, spread, items, alpha) >= _OFTEN:
            return points
    return None


class _Known(NamedTuple):
    """What is known before a round."""

    recipe: Recipe
    sizes: Mapping[str, int]
    heldout: int | None
    measured: Disagreement | None
    alpha: float

    def items(self, suite: str) -> int | None:
        """How many items a gate on the suite is judged on."""
        if suite in (HELDOUT, PAIRS):
            size = self.heldout if suite == HELDOUT else self.sizes.get(PAIRS)
            return None if size is None else min(size, self.recipe.evaluate.heldout)
        size = self.sizes.get(suite, None if suite == CORRECTIONS else 0)
        return size if size is None or self.recipe.evaluate.items is None else min(size, self.recipe.evaluate.items)

    def spread(self, rule: GateRule) -> tuple[float, str]:
        """One deviation of a paired difference on the rule's suite and metric, and where it is from."""
        unit = "%" if rule.metric == PERPLEXITY else "points" if rule.suite == HELDOUT else None
        key = f"{rule.suite}/{rule.metric}" if rule.metric else rule.suite
        spread = self.measured.spread.get(key) if self.measured else None
        if spread is not None and self.measured:
            share = f"a spread of {100 * spread:.0f} {unit}" if unit else f"{100 * spread**2:.2g} % differing"
            return spread, f"{share}, measured in {self.measured.source}"
        if unit:
            spread = PERPLEXITY_SPREAD if rule.metric == PERPLEXITY and rule.suite != HELDOUT else ROUGE_SPREAD
            return spread, f"a spread of {100 * spread:.0f} {unit} assumed"
        share_differing = PAIR_DISAGREEMENT if rule.suite in APART else DISAGREEMENT[self.recipe.export.form]
        return sqrt(share_differing), f"{100 * share_differing:.0f} % of answers that differ assumed"


def _outlooks(known: _Known, rule: GateRule) -> Iterator[GateOutlook]:
    if rule.suite == GUARD_SUITE:
        yield _outlook(rule.suite, None, None, "judged by its prompts, relative to the origin")
        return
    items, needed = known.items(rule.suite), _needed(rule)
    if items is not None and items < max(needed.values()):
        ask, count = max(needed.items(), key=lambda pair: pair[1])
        said = f"never: {ask} needs at least {count} {_what(rule.suite)}, and there are {items}"
        yield _outlook(rule.suite, items, 0.0, said, never=True)
        return
    if rule.margin is not None:
        points = min(rule.margin.champion, rule.margin.origin)
        yield _said(known, rule, points, f"an unchanged model passes a margin of {points:.1f}")
    if rule.min_gain is not None:
        yield _gain(known, rule, rule.min_gain)
    if rule.margin is None and rule.min_gain is None:
        yield _outlook(rule.suite, items, None, f"a floor alone{_on(rule.suite, items)}")


def _needed(rule: GateRule) -> dict[str, int]:
    """What each criterion of a rule needs, as pipelines/gate/decide.py asks for it."""
    needed = {}
    if rule.margin is not None:
        points = min(rule.margin.champion, rule.margin.origin)
        needed[f"a margin of {points:.1f}"] = min_items(points / 100)
    if rule.floor is not None or rule.floor_below_origin is not None:
        needed["a floor"] = MIN_GRADED if rule.suite == HELDOUT else MIN_ITEMS
    if rule.min_gain is not None:
        needed["a gain"] = MIN_GRADED
    return needed


def _gain(known: _Known, rule: GateRule, points: float) -> GateOutlook:
    if points < 0:
        return _said(known, rule, -points, f"an unchanged model passes a loss of {-points:.1f}")
    gain = 100 * TRUE_GAIN
    truly = f"a model that is truly better by {gain:.0f} points is seen to gain more than {points:.1f}"
    return _said(known, rule, gain - points, truly)


def _corrections(items: int) -> GateOutlook:
    """What holds of corrections where the recipe says nothing of them, as pipelines/gate/regression_guard.py does."""
    said = (
        f"fewer than {MIN_GRADED} decide nothing"
        if items < MIN_GRADED
        else f"a candidate that surely lost {100 * LOSS:.0f} points or more fails"
    )
    return _outlook(CORRECTIONS, items, None, f"{said}{_on(CORRECTIONS, items)}")


def _power(distance: float, spread: float, items: int, alpha: float) -> float:
    """How often the one-sided bound lies on the right side if the truth is so far from it."""
    return _NORMAL.cdf(distance * sqrt(items) / spread - _NORMAL.inv_cdf(1 - alpha))


def _said(known: _Known, rule: GateRule, points: float, what: str) -> GateOutlook:
    """How often the bound clears what lies so many points away from the truth, in words."""
    items, (spread, source) = known.items(rule.suite), known.spread(rule)
    power = None if items is None else _power(points / 100, spread, items, known.alpha)
    often = "as often as its answers allow" if power is None else f"in {100 * power:.0f} % of rounds"
    return _outlook(rule.suite, items, power, f"{what} {often}{_on(rule.suite, items)} ({source})")


def _on(suite: str, items: int | None) -> str:
    return f", on {items:,} {_what(suite)}" if items is not None else ""


def _what(suite: str) -> str:
    return {HELDOUT: "held-out answers", CORRECTIONS: "held-out corrections", PAIRS: "held-out pairs"}.get(
        suite, "items"
    )


def _outlook(suite: str, items: int | None, power: float | None, said: str, *, never: bool = False) -> GateOutlook:
    return GateOutlook(suite=suite, items=items, power=power, never=never, sentence=f"{suite}: {said}")


def outlook_lines(outlooks: Sequence[GateOutlook]) -> list[str]:
    """The outlooks as `perennial plan` shows them."""
    return [f"gate      {outlook.sentence}" for outlook in outlooks]
