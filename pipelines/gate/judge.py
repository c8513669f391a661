"""The verdict on one paired difference: non-inferiority at a margin, or a gain."""

from math import isfinite
from typing import Literal

from pipelines.gate.statistics import MIN_GRADED, Interval, items_needed, min_items

Outcome = Literal["pass", "fail", "inconclusive"]


def judge_margin(interval: Interval, margin: float, alpha: float) -> tuple[Outcome, int | None]:
    """Non-inferiority of one paired difference at a margin given as a fraction, and the items it would need.

    PASS if the lower bound > -margin; else FAIL if the difference <= -margin and the upper bound < 0; else
    INCONCLUSIVE. Fewer than max(200, 3 / margin) items are always inconclusive.
    """
    if interval.n < min_items(margin):
        return "inconclusive", min_items(margin)
    if interval.lower > -margin:
        return "pass", None
    if interval.difference <= -margin and interval.upper < 0:
        return "fail", None
    threshold = 0.0 if interval.difference <= -margin else -margin
    return "inconclusive", _finite(items_needed(interval, threshold, alpha=alpha))


def judge_gain(interval: Interval, gain: float, alpha: float) -> tuple[Outcome, int | None]:
    """Superiority: PASS if the lower bound > gain, FAIL if the upper bound < gain, else INCONCLUSIVE."""
    if interval.n < MIN_GRADED:
        return "inconclusive", MIN_GRADED
    if interval.lower > gain:
        return "pass", None
    if interval.upper < gain:
        return "fail", None
    return "inconclusive", _finite(items_needed(interval, gain, alpha=alpha))


def _finite(items: float) -> int | None:
    return int(items) if isfinite(items) and items <= 10_000_000 else None
