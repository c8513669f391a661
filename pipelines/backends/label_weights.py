"""How much a good and a bad answer count in KTO and BCO, so that both labels weigh alike and no single answer outweighs.

10 good, 100 bad, each read once:    a good one counts 10 times, good : bad = 1 : 1
1 good, 2,000 bad, the good one read in all of 63 steps:    it counts 10 times, good : bad = 1 : 200
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.backends.preference_items import Item
from pipelines.backends.step_plan import Step

_HIGHEST = 4 / 3


@dataclass(frozen=True)
class Readings:
    """The answers of one label: how many there are, and how many readings all steps make, by their own weights."""

    answers: float
    readings: float

    @property
    def repeats(self) -> float:
        """How often one of them is read, on average."""
        return self.readings / self.answers


def readings_of(steps: Sequence[Step], items: Sequence[Item], *, good: bool) -> Readings:
    """What these steps read of the good (or bad) answers among the items."""
    read = (items[place] for step in steps for place in step.items)
    return Readings(
        answers=sum(item.weight for item in items if item.good == good),
        readings=sum(item.weight for item in read if item.good == good),
    )


def balanced_weights(
    good: Readings,
    bad: Readings,
    desirable: Literal["auto"] | float,
    undesirable: Literal["auto"] | float,
    max_boost: float,
) -> tuple[float, float]:
    """(desirable, undesirable) with desirable x good : undesirable x bad between 1:1 and 4:3; given figures stay.

    Section 4.2 of the KTO paper (arXiv:2402.01306) finds this range. `auto` stays 1 where it can; else the weight of the
    rarer label grows to the nearer end of the range. But one answer counts at most `max_boost` times as much as one of
    the other label, readings times weight, even where the range is missed for it: docs/decisions/rare-labels.md.
    """
    first = 1.0 if desirable == "auto" else desirable
    second = 1.0 if undesirable == "auto" else undesirable
    if desirable != "auto" and undesirable != "auto":
        return first, second
    ratio = first * good.readings / (second * bad.readings)
    wanted = min(max(ratio, 1.0), _HIGHEST)
    if desirable == "auto" and (ratio < wanted or undesirable != "auto"):
        first *= wanted / ratio
    else:
        second *= ratio / wanted
    boost = first * good.repeats / (second * bad.repeats)
    excess = boost / min(max(boost, 1 / max_boost), max_boost)
    # the weight that is lowered is the boosted label's own, unless the recipe gives it
    if desirable == "auto" and (excess > 1 or undesirable != "auto"):
        return first / excess, second
    return first, second * excess
