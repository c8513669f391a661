"""What the gate's rule does to candidates whose truth is known: the evidence behind margins and item numbers.

Three models answer each item of a suite. Each differs from a common truth on a share of items of its own, so that
any two of them disagree on `discordance` of the items; a planted drop makes the candidate lose more of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.gate.statistics import ALPHA, Interval, score_bounds

Judge = Callable[[Interval, float, float], tuple[str, int | None]]
Correct = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rates:
    """Shares of simulated rounds by verdict."""

    passed: float
    failed: float
    inconclusive: float


def simulate_rounds(
    judge: Judge,
    *,
    items: int,
    discordance: float,
    margin: float,
    drop: float = 0.0,
    suites: int = 4,
    same_champion: bool = False,
    score: float = 0.8,
    rounds: int = 1000,
    alpha: float = ALPHA,
    seed: int = 0,
) -> Rates:
    """Verdict rates over rounds in which every suite is gated against champion and origin at `margin`.

    Args:
        judge: the gate's rule for one difference, `pipelines.gate.decide.judge_margin`.
        discordance: share of items on which two models that are equally good disagree.
        drop: what the candidate truly loses on the first suite; the other suites are unharmed. A fraction, like
            discordance and margin.
        same_champion: the first round, in which the champion is the origin.
    """
    random = np.random.default_rng(seed)
    verdicts = [
        _verdict(
            [
                judge(interval, margin, alpha)[0]
                for suite in range(suites)
                for interval in _intervals(
                    random, items, discordance, drop if suite == 0 else 0.0, score, same_champion, alpha
                )
            ]
        )
        for _ in range(rounds)
    ]
    return Rates(*(verdicts.count(kind) / rounds for kind in ("pass", "fail", "inconclusive")))


def rate_table(
    judge: Judge, *, margin: float, items: Sequence[int], discordances: Sequence[float], rounds: int = 500
) -> str:
    """Markdown for the docs: how often an unchanged model passes (and fails) four suites, by items and discordance.

    The first figure of a cell is for the first round, in which the champion is the origin; the second for later ones.
    """
    heads = [f"D = {100 * discordance:g} %" for discordance in discordances]
    lines = ["| items per suite | " + " | ".join(heads) + " |", "|---:|" + "---|" * len(heads)]
    for count in items:
        cells = [_cell(judge, count, discordance, margin, rounds) for discordance in discordances]
        lines.append(f"| {count:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(judge: Judge, items: int, discordance: float, margin: float, rounds: int) -> str:
    first, later = (
        simulate_rounds(judge, items=items, discordance=discordance, margin=margin, same_champion=same, rounds=rounds)
        for same in (True, False)
    )
    return f"{first.passed:.0%}, {later.passed:.0%} (fail {first.failed:.1%}, {later.failed:.1%})"


def _intervals(
    random: np.random.Generator,
    items: int,
    discordance: float,
    drop: float,
    score: float,
    same_champion: bool,
    alpha: float,
) -> list[Interval]:
    truth = random.random(items) < score
    origin = _flipped(random, truth, discordance, score)
    champion = origin if same_champion else _flipped(random, truth, discordance, score)
    candidate = _flipped(random, truth, discordance, score)
    if drop:
        candidate &= random.random(items) >= drop / score
    return [_interval(candidate, baseline, alpha) for baseline in (champion, origin)]


def _flipped(random: np.random.Generator, truth: Correct, discordance: float, score: float) -> Correct:
    """A model that flips the truth on just under discordance / 2 of the items, as many up as down."""
    share = (1 - np.sqrt(1 - 2 * discordance)) / 2  # two such models disagree on 2 share (1 - share) of them
    up, down = share / (2 * (1 - score)), share / (2 * score)
    flips: Correct = random.random(len(truth)) < np.where(truth, down, up)
    return np.logical_xor(truth, flips)


def _interval(candidate: Correct, baseline: Correct, alpha: float) -> Interval:
    gains, losses = int(np.sum(candidate & ~baseline)), int(np.sum(~candidate & baseline))
    n = len(candidate)
    lower, upper = score_bounds(gains, losses, n, alpha)
    difference = (gains - losses) / n
    return Interval(difference, lower, upper, n, (gains + losses) / n - difference**2)


def _verdict(outcomes: list[str]) -> str:
    return "fail" if "fail" in outcomes else "inconclusive" if "inconclusive" in outcomes else "pass"
