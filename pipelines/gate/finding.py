"""What a guard found: one sentence, and what it means for the verdict."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pipelines.gate.statistics import items_needed, paired_interval
from pipelines.suites.scores import BaselineName

_MOST_NEEDED = 1e6


class Finding(NamedTuple):
    """One sentence of a guard; `n` counts answers, prompts or places."""

    outcome: Literal["pass", "fail", "inconclusive"]
    sentence: str
    baseline: BaselineName = "champion"
    n: int | None = None
    needed: int | None = None


def move(
    sentence: str,
    baseline: BaselineName,
    now: Sequence[float],
    before: Sequence[float],
    alpha: float,
    what: str,
    clusters: Sequence[str] | None = None,
) -> Finding:
    """A mean beyond its limit, by its paired bounds: it fails if it surely moved that way, else it may be chance.

    Args:
        now, before: one value a prompt each, in the same order.
        what: the bounds in words, with {low}, {high} (as numbers) and {n} to be filled in.
    """
    interval = paired_interval(now, before, alpha=alpha, clusters=clusters)
    bounds = what.format(low=interval.lower, high=interval.upper, n=interval.n)
    if interval.lower > 0 or interval.upper < 0:
        direction = "rise" if interval.lower > 0 else "fall"
        return Finding("fail", f"{sentence}; surely a {direction}: {bounds}", baseline, interval.n)
    needed = items_needed(interval, 0.0, alpha=alpha)
    known = int(needed) if needed <= _MOST_NEEDED else None
    about = f", about {known:,} would tell" if known else ""
    return Finding("inconclusive", f"{sentence}; it may be chance: {bounds}{about}", baseline, interval.n, known)
