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
from typing import Literal

from pipelines.errors import RecipeError
from pipelines.gate.decide import MIN_GAIN_ITEMS
from pipelines.gate.statistics import MIN_ITEMS, alpha_for, min_items
from pipelines.recipe import GUARD_SUITE, GateRule, Metric, Recipe
from pipelines.records import Record
from pipelines.suites.scores import HELDOUT, PERPLEXITY

# What is assumed where nothing was measured: a merged Q4_K_M answered 2 % of items otherwise than its origin, an adapter
# .6 %, both without having learned anything else; ROUGE-L of held-out answers differed by 22 points (one deviation).
DISAGREEMENT = {"merged": 0.05, "adapter": 0.02}
ROUGE_SPREAD = 0.22
PERPLEXITY_SPREAD = 0.1  # nats a token between two models' readings of one text, one deviation
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


def gate_outlooks(recipe: Recipe, sizes: Mapping[str, int], heldout: int | None = None) -> tuple[GateOutlook, ...]:
    """What is to be expected of each gate of a recipe, in their order.

    Args:
        sizes: gate items by suite.
        heldout: how many held-out answers there would be; None where that is not known.
    """
    alpha = alpha_for(1, recipe.max_attempts)
    return tuple(outlook for rule in recipe.gates for outlook in _outlooks(recipe, rule, sizes, heldout, alpha))


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


def _outlooks(
    recipe: Recipe, rule: GateRule, sizes: Mapping[str, int], heldout: int | None, alpha: float
) -> Iterator[GateOutlook]:
    if rule.suite == GUARD_SUITE:
        yield _known(rule, None, None, "judged by its prompts, relative to the origin")
        return
    items = _items(recipe, rule.suite, sizes, heldout)
    needed = _needed(rule)
    if items is not None and items < max(needed.values()):
        ask, count = max(needed.items(), key=lambda pair: pair[1])
        what = "held-out answers" if rule.suite == HELDOUT else "items"
        yield _known(rule, items, 0.0, f"never: {ask} needs at least {count} {what}, and there are {items}", never=True)
        return
    if rule.margin is not None:
        yield _margin(recipe, rule, items, min(rule.margin.champion, rule.margin.origin), alpha)
    if rule.min_gain is not None:
        yield _gain(rule, items, rule.min_gain, alpha)
    if rule.margin is None and rule.min_gain is None:
        yield _known(rule, items, None, f"a floor alone{_on(rule, items)}")


def _items(recipe: Recipe, suite: str, sizes: Mapping[str, int], heldout: int | None) -> int | None:
    if suite == HELDOUT:
        return None if heldout is None else min(heldout, recipe.evaluate.heldout)
    size = sizes.get(suite, 0)
    return size if recipe.evaluate.items is None else min(size, recipe.evaluate.items)


def _needed(rule: GateRule) -> dict[str, int]:
    """What each criterion of a rule needs, as pipelines/gate/decide.py asks for it."""
    needed = {}
    if rule.margin is not None:
        points = min(rule.margin.champion, rule.margin.origin)
        needed[f"a margin of {points:.1f}"] = min_items(points / 100)
    if rule.floor is not None or rule.floor_below_origin is not None:
        needed["a floor"] = MIN_GAIN_ITEMS if rule.suite == HELDOUT else MIN_ITEMS
    if rule.min_gain is not None:
        needed["a gain"] = MIN_GAIN_ITEMS
    return needed


def _margin(recipe: Recipe, rule: GateRule, items: int | None, points: float, alpha: float) -> GateOutlook:
    if rule.suite == HELDOUT:
        spread, assumed = ROUGE_SPREAD, f"a spread of {100 * ROUGE_SPREAD:.0f} points"
    elif rule.metric == PERPLEXITY:
        spread, assumed = PERPLEXITY_SPREAD, f"a spread of {100 * PERPLEXITY_SPREAD:.0f} %"
    else:
        share = DISAGREEMENT[recipe.export.form]
        spread, assumed = sqrt(share), f"{100 * share:.0f} % of answers that differ"
    power = None if items is None else _power(points / 100, spread, items, alpha)
    return _said(rule, items, power, f"an unchanged model passes a margin of {points:.1f}", assumed)


def _gain(rule: GateRule, items: int | None, points: float, alpha: float) -> GateOutlook:
    assumed = f"a spread of {100 * ROUGE_SPREAD:.0f} points"
    if points < 0:
        power = None if items is None else _power(-points / 100, ROUGE_SPREAD, items, alpha)
        return _said(rule, items, power, f"an unchanged model passes a loss of {-points:.1f}", assumed)
    power = None if items is None else _power(TRUE_GAIN - points / 100, ROUGE_SPREAD, items, alpha)
    truly = f"a model that is truly better by {100 * TRUE_GAIN:.0f} points is seen to gain more than {points:.1f}"
    return _said(rule, items, power, truly, assumed)


def _power(distance: float, spread: float, items: int, alpha: float) -> float:
    """How often the one-sided bound lies on the right side if the truth is so far from it."""
    return _NORMAL.cdf(distance * sqrt(items) / spread - _NORMAL.inv_cdf(1 - alpha))


def _said(rule: GateRule, items: int | None, power: float | None, what: str, assumed: str) -> GateOutlook:
    often = "as often as its answers allow" if power is None else f"in {100 * power:.0f} % of rounds"
    return _known(rule, items, power, f"{what} {often}{_on(rule, items)} ({assumed} assumed)")


def _on(rule: GateRule, items: int | None) -> str:
    what = "held-out answers" if rule.suite == HELDOUT else "items"
    return f", on {items:,} {what}" if items is not None else ""


def _known(rule: GateRule, items: int | None, power: float | None, said: str, *, never: bool = False) -> GateOutlook:
    return GateOutlook(suite=rule.suite, items=items, power=power, never=never, sentence=f"{rule.suite}: {said}")


def outlook_lines(outlooks: Sequence[GateOutlook]) -> list[str]:
    """The outlooks as `perennial plan` shows them."""
    return [f"gate      {outlook.sentence}" for outlook in outlooks]
