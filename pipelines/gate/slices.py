"""Which part of a suite lost: the subjects, topics or apps in which a candidate gave up most, for the verdict's sentence.

"most in anatomy (-18.0 points, 50 items), law (-9.5 points, 42 items; may be chance)"
"""

from collections import defaultdict

from pipelines.gate.statistics import paired_interval
from pipelines.records import Record
from pipelines.suites.scores import SuiteScores

MOST = 3


class Slice(Record):
    """A stratum of a suite: its mean difference in points, and whether its bounds, shared out over all strata, say loss."""

    name: str
    difference: float
    n: int
    sure: bool

    @property
    def sentence(self) -> str:
        """The slice in words."""
        chance = "" if self.sure else "; may be chance"
        return f"{self.name} ({self.difference:+.1f} points, {self.n} items{chance})"


def worst_slices(candidate: SuiteScores, baseline: SuiteScores, alpha: float) -> tuple[Slice, ...]:
    """At most three strata with the largest part in the loss, worst first; none where a suite is all of one.

    Their level is `alpha` over the number of strata (Bonferroni): of thirty subjects some lose by chance.
    """
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for new, old in zip(candidate.items, baseline.items, strict=True):
        pairs[new.stratum].append((new.value, old.value))
    if len(pairs) < 2:
        return ()
    lost = sorted(pairs, key=lambda name: (sum(new - old for new, old in pairs[name]), name))
    slices = (_slice(name or "the rest", pairs[name], alpha / len(pairs)) for name in lost[:MOST])
    return tuple(one for one in slices if one.difference < 0)


def slice_words(slices: tuple[Slice, ...]) -> str:
    """The slices for the end of a sentence; empty without one."""
    return f"; most in {', '.join(one.sentence for one in slices)}" if slices else ""


def _slice(name: str, pairs: list[tuple[float, float]], alpha: float) -> Slice:
    interval = paired_interval([new for new, _ in pairs], [old for _, old in pairs], alpha=alpha)
    return Slice(name=name, difference=100 * interval.difference, n=interval.n, sure=interval.upper < 0)
