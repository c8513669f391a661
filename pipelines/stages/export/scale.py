"""At which scale an adapter is exported: a dial on the origin's served file, tried on dev items, not an export for each.

The adapter is converted once and read beside the origin's file at every scale. Among equals the smallest scale is
taken: the one-standard-error rule of Breiman et al. 1984 (Classification and Regression Trees, section 3.4.3). A hundred
dev items chose among three equally harmless scales like a coin (42, 31, 27 %).
"""

from collections.abc import Sequence
from math import exp, sqrt
from pathlib import Path

import numpy as np

from pipelines.gate.statistics import cluster_spread
from pipelines.isolated import run_in_child
from pipelines.recipe import HELDOUT
from pipelines.records import Record, ServedForm
from pipelines.suites.scores import PERPLEXITY, ModelScores, SuiteScores

SWEEP_ITEMS = 500  # dev items of each suite, and held-out answers of the dev part, where there are so many
_TOLERANCE = 0.01
_SECONDS = 3600.0


class ScaleChoice(Record):
    """The scale to export at, and why in a sentence."""

    scale: float
    why: str


def dial(base: Path, adapter: Path, origin: ServedForm, scales: Sequence[float], out: Path) -> list[ServedForm]:
    """The origin's form with the adapter beside it at each scale; the converted adapter is written into `out`.

    Raises:
        ModelError: the adapter is of a kind that cannot stand beside a base, so that only one scale can be named.
    """
    arguments = {"base": str(base), "adapter": str(adapter), "out": str(out / "adapter.gguf")}
    answer = run_in_child("pipelines.stages.export.child:convert_adapter_here", arguments, timeout_seconds=_SECONDS)
    beside = {"kind": "adapter", "adapter_path": answer["path"], "adapter_sha256": answer["sha256"]}
    return [origin.model_copy(update=beside | {"scale": scale}) for scale in scales]


def choose_scale(origin: ModelScores, candidates: Sequence[ModelScores], scales: Sequence[float]) -> ScaleChoice:
    """The smallest scale that teaches as much as the best one and harms no suite, each within a standard error.

    A scale harms where its worst suite lies more than a point (of a perplexity one percent), and more than a standard error
    beyond that, below the origin. What it teaches is the mean log-likelihood of held-out answers, or the mean of the suites where there are
    none. If every scale harms, the one whose worst suite lost least is taken.
    """
    named = sorted(zip(scales, candidates, strict=True), key=lambda pair: pair[0])
    harmless = [(scale, scores) for scale, scores in named if _loss(origin, scores, errors=1) <= _TOLERANCE]
    if not harmless:
        scale, scores = min(named, key=lambda pair: _loss(origin, pair[1], errors=0))
        return ScaleChoice(
            scale=scale, why=f"{scale:g}: every scale harms a suite, this one least ({_worst(origin, scores)})"
        )
    _, best = max(harmless, key=lambda pair: _learned(pair[1]))
    equals = [scale for scale, scores in harmless if _within_an_error(best, scores)]
    left = [f"{scale:g}" for scale, _ in named if scale not in equals]
    why = f"{equals[0]:g}: the smallest that teaches as much as the best within a standard error and harms no suite"
    return ScaleChoice(scale=equals[0], why=why + (f"; not {', '.join(left)}" if left else ""))


def _loss(origin: ModelScores, candidate: ModelScores, *, errors: int) -> float:
    """By how much the worst suite lies below the origin, a fraction, less so many of its standard errors."""
    losses = []
    for scores in origin.suites:
        if scores.suite != HELDOUT:
            mean, error = _difference(scores, candidate.suite(scores.suite, scores.metric))
            losses.append(mean - errors * error)
    return max(losses, default=0.0)


def _worst(origin: ModelScores, candidate: ModelScores) -> str:
    """The suite that lost most, and how much, in its own unit."""
    others = [scores for scores in origin.suites if scores.suite != HELDOUT]
    losses = [(_difference(one, candidate.suite(one.suite, one.metric))[0], one) for one in others]
    lost, worst = max(losses, key=lambda pair: pair[0])
    if worst.metric == PERPLEXITY:
        return f"{worst.suite}: perplexity {100 * (exp(lost) - 1):.1f} % higher"
    return f"{worst.suite}: {100 * lost:.1f} points"


def _within_an_error(best: ModelScores, other: ModelScores) -> bool:
    """Whether the other teaches as much as the best, less at most a standard error of their difference."""
    pairs = [_difference(one, other.suite(one.suite, one.metric)) for one in _teaching(best)]
    gap = sum(mean for mean, _ in pairs) / len(pairs)
    error = sqrt(sum(error**2 for _, error in pairs)) / len(pairs)
    return gap <= error


def _learned(scores: ModelScores) -> float:
    entries = _teaching(scores)
    return sum(entry.mean for entry in entries) / len(entries)


def _teaching(scores: ModelScores) -> list[SuiteScores]:
    heldout = [entry for entry in scores.suites if entry.suite == HELDOUT and entry.metric == "perplexity"]
    return heldout or list(scores.suites)


def _difference(one: SuiteScores, other: SuiteScores) -> tuple[float, float]:
    """The mean of one minus the other on the same items, and its standard error, items of a cluster together."""
    apart = np.array([a.value - b.value for a, b in zip(one.items, other.items, strict=True)])
    clusters = [item.cluster or item.id for item in one.items]
    return float(apart.mean()), sqrt(cluster_spread(apart, clusters) / len(apart))
