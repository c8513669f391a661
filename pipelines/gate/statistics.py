"""Paired intervals, items needed and corrected levels: the arithmetic of the gate.

All differences are candidate minus baseline, on the same items, as fractions from -1 to 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

ALPHA = 0.05
MIN_ITEMS = 200
# Graded scores need no rule of three, but a bootstrap of fewer answers is not to be trusted.
MIN_GRADED = 30
POWER = 0.8
RESAMPLES = 4000
_CELLS = 2_000_000
_NORMAL = NormalDist()

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean paired difference with its two one-sided bounds, each at confidence 1 - alpha.

    `spread` is the variance of one item's (one cluster's) difference, from which the items needed are forecast.
    """

    difference: float
    lower: float
    upper: float
    n: int
    spread: float


def paired_interval(
    candidate: Sequence[float],
    baseline: Sequence[float],
    *,
    alpha: float = ALPHA,
    clusters: Sequence[str] | None = None,
    seed: int = 0,
) -> Interval:
    """The interval of the mean difference: score interval if every value is 0 or 1, else cluster bootstrap.

    Binary items in clusters (several items of one question) go through the bootstrap too: the score interval takes
    items as independent.
    """
    new, old = np.asarray(candidate, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if new.shape != old.shape or new.size == 0:
        raise ValueError(f"cannot pair {new.size} candidate scores with {old.size} baseline scores")
    binary = bool(np.isin(new, (0.0, 1.0)).all() and np.isin(old, (0.0, 1.0)).all())
    clustered = clusters is not None and len(set(clusters)) < new.size
    if not binary or clustered:
        return cluster_bootstrap(new - old, clusters, alpha=alpha, seed=seed)
    gains, losses = int(np.sum(new > old)), int(np.sum(new < old))
    lower, upper = score_bounds(gains, losses, new.size, alpha)
    difference = (gains - losses) / new.size
    return Interval(difference, lower, upper, new.size, (gains + losses) / new.size - difference**2)


def score_bounds(gains: int, losses: int, n: int, alpha: float = ALPHA) -> tuple[float, float]:
    """One-sided lower and upper score bounds of (gains - losses) / n; Tango 1998, Stat Med 17:891-908.

    Each bound is the difference that the score test just does not reject at one-sided level `alpha`, so the pair is
    the two-sided interval of level 1 - 2 alpha. Sensible at gains = losses = 0, where the normal interval is a point.
    """
    if min(gains, losses) < 0 or gains + losses > n or n < 1:
        raise ValueError(f"{gains} gains and {losses} losses among {n} items make no paired table")
    z = _NORMAL.inv_cdf(1 - alpha)
    estimate = (gains - losses) / n
    return _bound(gains, losses, n, z, -1.0, estimate), _bound(gains, losses, n, -z, estimate, 1.0)


def cluster_bootstrap(
    differences: Values,
    clusters: Sequence[str] | None = None,
    *,
    alpha: float = ALPHA,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """The mean difference with percentile bounds from resampling whole clusters; Field & Welsh 2007, JRSS B 69:369.

    Without clusters every item is its own. The same seed gives the same bounds. The percentiles are taken at a
    level widened for the number of clusters (Hesterberg 2015, Am Stat 69:371, section 5.2), because the plain
    percentile interval is too narrow when there are few.
    """
    sums, sizes = _by_cluster(differences, clusters)
    mean = float(differences.mean())
    groups = len(sums)
    spread = float(np.var(differences)) if groups == len(differences) else _cluster_spread(sums, sizes, mean)
    if groups < 2:
        return Interval(mean, -1.0, 1.0, len(differences), spread)
    means = _resampled_means(sums, sizes, resamples, np.random.default_rng(seed))
    level = _widened(alpha, groups)
    lower, upper = np.quantile(means, [level, 1 - level])
    return Interval(mean, min(mean, float(lower)), max(mean, float(upper)), len(differences), spread)


def cluster_spread(differences: Values, clusters: Sequence[str]) -> float:
    """The variance per item that gives the standard error of the mean difference, items of a cluster together."""
    sums, sizes = _by_cluster(differences, clusters)
    return _cluster_spread(sums, sizes, float(differences.mean()))


def upper_bound_of_share(successes: float, n: int, alpha: float = ALPHA) -> float:
    """The one-sided upper score bound of a proportion; Wilson 1927, JASA 22:209."""
    z = _NORMAL.inv_cdf(1 - alpha)
    share = successes / n
    centre = share + z * z / (2 * n)
    return (centre + z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))) / (1 + z * z / n)


def alpha_for(attempt: int, max_attempts: int, alpha: float = ALPHA) -> float:
    """The level of each one-sided bound in a round of so many attempts: alpha / max_attempts, on every one of them.

    All attempts look at the same gate items, so together they may err as often as one look at `alpha` (Bonferroni).
    The first pays as well: a full `alpha` for it made .076 of three looks.
    """
    if not 1 <= attempt <= max_attempts:
        raise ValueError(f"attempt {attempt} of at most {max_attempts}")
    return alpha / max_attempts


def min_items(margin: float) -> int:
    """The fewest items on which a margin may be judged: max(200, 3 / margin); `margin` is a fraction.

    3/n is the upper bound of a share that was never seen in n items (the rule of three).
    """
    return max(MIN_ITEMS, ceil(3 / margin - 1e-9))


def items_needed(interval: Interval, threshold: float, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """How many items would put the bound beyond `threshold` with this power if the observed difference is the true one.

    Miller 2024 (arXiv:2411.00640), section 5, for paired differences; infinite when the difference stands on the
    threshold.
    """
    distance = interval.difference - threshold
    if abs(distance) < 1e-9:
        return inf
    z = _NORMAL.inv_cdf(1 - alpha) + _NORMAL.inv_cdf(power)
    spread = max(interval.spread, 1 / interval.n)
    return ceil(z * z * spread / distance**2)


def _bound(gains: int, losses: int, n: int, z: float, low: float, high: float) -> float:
    def excess(delta: float) -> float:
        return (gains - losses - n * delta) - z * sqrt(max(0.0, n * _variance(gains, losses, n, delta)))

    edge = 1e-12
    if abs(high - low) < edge:
        return low
    if excess(low + edge) * excess(high - edge) > 0:  # the bound stands at the end of the range
        return low if z > 0 else high
    return _root(excess, low + edge, high - edge)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that changes sign between low and high is zero, to 1e-12: bisection."""
    sign = function(low) > 0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if (function(middle) > 0) is sign:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _variance(gains: int, losses: int, n: int, delta: float) -> float:
    """2 q + delta (1 - delta) at the likelihood's best share of losses q given the difference delta."""
    a = 2 * n
    b = -gains - losses + (2 * n - gains + losses) * delta
    c = -losses * delta * (1 - delta)
    q = (sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    return 2 * q + delta * (1 - delta)


def _by_cluster(differences: Values, clusters: Sequence[str] | None) -> tuple[Values, Values]:
    if clusters is None:
        return differences, np.ones(len(differences))
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums: Values = np.bincount(index, weights=differences).astype(np.float64)
    return sums, np.bincount(index).astype(np.float64)


def _resampled_means(sums: Values, sizes: Values, resamples: int, random: np.random.Generator) -> Values:
    groups = len(sums)
    step = max(1, _CELLS // groups)  # bounds the memory of the counts
    parts = []
    for start in range(0, resamples, step):
        counts = random.multinomial(groups, np.full(groups, 1 / groups), size=min(step, resamples - start))
        parts.append((counts @ sums) / (counts @ sizes))
    return np.concatenate(parts)


def _cluster_spread(sums: Values, sizes: Values, mean: float) -> float:
    """The variance per item that would give the clustered standard error: n times its square."""
    return float(np.sum((sums - mean * sizes) ** 2) / np.sum(sizes))


def _widened(alpha: float, groups: int) -> float:
    from scipy.stats import t  # a second to import, and most suites are binary

    return _NORMAL.cdf(sqrt(groups / (groups - 1)) * float(t.ppf(alpha, groups - 1)))
