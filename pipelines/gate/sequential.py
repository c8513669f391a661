"""Evidence that grows with every observation and may be looked at whenever one likes: tests by betting.

Whoever bets against a true sentence cannot be expected to gain, so by Ville's inequality the capital ever reaches 1/alpha with a
probability of at most alpha, however often one looks (Shafer 2021, Ramdas and others 2023). Two sentences are bet against:

    "the later share is no larger than the earlier one"     blocks of earlier and later draws, each worth
        p(block | both estimates) / p(block | their common share): Turner, Ly and Grünwald 2021 (arXiv:2106.02693); the
        estimates are of the blocks before. A larger later share only is bet on, which keeps the sentence's smaller shares safe
    "the mean is at most `bound`"                           1 + stake * (value - bound): Waudby-Smith and Ramdas 2024
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

_STAKES = (0.03, 0.1, 0.25, 0.5, 0.9)  # of the most that may be staked, 1 / bound
_PRIOR = 0.5
Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Evidence:
    """The log of the largest capital so far, and after how many later values 1/alpha was reached; None if it never was."""

    largest: float
    passed_after: int | None


def bet_on_larger_share(before: Values, after: Values, alpha: float, each: int = 1) -> Evidence:
    """The evidence that the hits (1, else 0) of `after` are a larger share than those of `before`.

    `each` earlier values are set against one later value, so no more than len(before) / each later ones count. The earlier
    ones must be in an order that says nothing: shuffled.
    """
    blocks = min(len(before) // each, len(after))
    if not blocks:
        return Evidence(0.0, None)
    earlier = np.asarray(before, dtype=float)[: blocks * each].reshape(blocks, each).sum(axis=1)
    later = np.asarray(after, dtype=float)[:blocks]
    seen = np.arange(blocks)
    low = (_before(earlier) + _PRIOR) / (seen * each + 2 * _PRIOR)
    high = (_before(later) + _PRIOR) / (seen + 2 * _PRIOR)
    common = (each * low + high) / (each + 1)
    logs = _likelihood(earlier, each, low) + _likelihood(later, 1, high)
    logs -= _likelihood(earlier + later, each + 1, common)
    return _evidence(np.cumsum(np.where(high > low, logs, 0.0)), alpha)


def bet_against_mean(values: Values, bound: float, alpha: float) -> Evidence:
    """The evidence against "the mean is at most `bound`" in values of [0, 1], in their order."""
    if not len(values) or bound >= 1.0:
        return Evidence(0.0, None)
    stakes = np.array(_STAKES)[:, None] / bound
    logs = np.cumsum(np.log1p(stakes * (np.asarray(values, dtype=float)[None, :] - bound)), axis=1)
    return _evidence(np.logaddexp.reduce(logs, axis=0) - log(len(_STAKES)), alpha)


def _before(hits: np.ndarray) -> np.ndarray:
    """How many hits came before each place."""
    return np.asarray(np.cumsum(hits) - hits)


def _likelihood(hits: np.ndarray, n: int, share: np.ndarray) -> np.ndarray:
    return np.asarray(hits * np.log(share) + (n - hits) * np.log1p(-share))


def _evidence(capital: np.ndarray, alpha: float) -> Evidence:
    over = np.flatnonzero(capital >= log(1 / alpha))
    return Evidence(max(0.0, float(capital.max())), int(over[0]) + 1 if len(over) else None)
