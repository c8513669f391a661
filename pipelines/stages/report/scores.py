"""The score table of a round: a row per suite and metric, with the bounds that the gate used."""

from math import exp

from pipelines.gate.statistics import alpha_for, paired_interval
from pipelines.records import Record
from pipelines.suites.scores import GateInput, SuiteScores, paired_values


class ScoreRow(Record):
    """One suite by one metric: scores of the three models, and the candidate's differences with one-sided bounds.

    Scores and differences are percentage points; for `perplexity` the scores are perplexities (lower is better) and
    a difference of 1 stands for a perplexity about 1 % lower. `difference`, `lower`, `upper` are against the origin.
    """

    suite: str
    metric: str
    origin: float
    champion: float
    candidate: float
    difference: float
    lower: float
    upper: float
    champion_difference: float
    champion_lower: float
    champion_upper: float
    n: int


def score_rows(scores: GateInput) -> tuple[ScoreRow, ...]:
    """A row per suite and metric that was measured, at the level of the bounds that the gate used."""
    alpha = alpha_for(scores.attempt, scores.max_attempts)
    return tuple(_row(scores, entry, alpha) for entry in scores.candidate.suites)


def _row(scores: GateInput, candidate: SuiteScores, alpha: float) -> ScoreRow:
    origin = scores.origin.suite(candidate.suite, candidate.metric)
    champion = scores.champion.suite(candidate.suite, candidate.metric)
    against_origin, against_champion = (
        paired_interval(new, old, alpha=alpha, clusters=clusters)
        for new, old, clusters in (paired_values(candidate, origin), paired_values(candidate, champion))
    )
    return ScoreRow(
        suite=candidate.suite,
        metric=candidate.metric,
        origin=_shown(origin),
        champion=_shown(champion),
        candidate=_shown(candidate),
        difference=100 * against_origin.difference,
        lower=100 * against_origin.lower,
        upper=100 * against_origin.upper,
        champion_difference=100 * against_champion.difference,
        champion_lower=100 * against_champion.lower,
        champion_upper=100 * against_champion.upper,
        n=against_origin.n,
    )


def _shown(scores: SuiteScores) -> float:
    return exp(-scores.mean) if scores.metric == "perplexity" else 100 * scores.mean
