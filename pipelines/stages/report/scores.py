"""The score table of a round: a row per suite and metric, with the bounds that the gate used."""

from pipelines.gate.statistics import alpha_for, paired_interval
from pipelines.records import Record
from pipelines.suites.scores import PERPLEXITY, GateInput, SuiteScores, paired_values, shown_difference, shown_score


class ScoreRow(Record):
    """One suite by one metric: scores of the three models, and the candidate's differences with one-sided bounds.

    Scores and differences are percentage points; for `perplexity` the scores are perplexities (lower is better) and
    a difference is by how many percent it is lower. `difference`, `lower`, `upper` are against the origin.
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

    def against(self, difference: float, lower: float, upper: float) -> str:
        """A difference with its bounds, in its unit."""
        unit = " %" if self.metric == PERPLEXITY else ""
        return f"{difference:+.1f}{unit} ({lower:+.1f} to {upper:+.1f})"


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
    metric = candidate.metric
    return ScoreRow(
        suite=candidate.suite,
        metric=metric,
        origin=shown_score(metric, origin.mean),
        champion=shown_score(metric, champion.mean),
        candidate=shown_score(metric, candidate.mean),
        difference=shown_difference(metric, against_origin.difference),
        lower=shown_difference(metric, against_origin.lower),
        upper=shown_difference(metric, against_origin.upper),
        champion_difference=shown_difference(metric, against_champion.difference),
        champion_lower=shown_difference(metric, against_champion.lower),
        champion_upper=shown_difference(metric, against_champion.upper),
        n=against_origin.n,
    )
