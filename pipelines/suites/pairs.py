"""Suites of pairs: whether a model finds the answer that a person preferred the likelier one, token for token.

    corrections   the permanent regression suite: what people wrote, over what it corrects (feedback/regression.py)
    pairs         every held-out pair of this snapshot: corrections, comparisons, an up and a down on one prompt

Log-probabilities are per token, so that a long correction of a short answer is no loss by its length alone.
"""

from collections.abc import Callable, Iterable, Sequence

from pipelines.gguf.scorer import GGUFScorer
from pipelines.recipe import CORRECTIONS, PAIRS, Metric
from pipelines.records import PreferenceExample, Record
from pipelines.suites.preference import score_example
from pipelines.suites.scores import ItemScore, PreferenceScore, SuiteScores

PAIR_SUITES = (CORRECTIONS, PAIRS)
PAIR_METRICS: tuple[Metric, ...] = ("preferred", "perplexity")


class PairItem(Record):
    """A held-out pair with its text; `cluster` is what makes it depend on others, `stratum` what a report groups it by."""

    example: PreferenceExample
    cluster: str = ""
    stratum: str = ""
    fresh: bool = True


class PairSuite(Record):
    """The pairs that are asked under one suite's name."""

    suite: str
    items: tuple[PairItem, ...]


def score_pairs(scorer: GGUFScorer, asked: PairSuite, scored: Callable[[], None]) -> list[SuiteScores]:
    """One SuiteScores per metric; pairs that the model cannot read whole are left out, the same ones for every model."""
    measured: list[tuple[PairItem, PreferenceScore]] = []
    for item in asked.items:
        score = score_example(scorer, item.example, item.cluster)
        if score is not None and score.chosen_tokens and score.rejected_tokens:
            measured.append((item, score))
        scored()
    return [_by_metric(asked.suite, metric, measured) for metric in PAIR_METRICS] if measured else []


def count_pairs(asked: Iterable[PairSuite]) -> int:
    """How often `score_pairs` calls back for all of them."""
    return sum(len(one.items) for one in asked)


def _by_metric(suite: str, metric: Metric, measured: Sequence[tuple[PairItem, PreferenceScore]]) -> SuiteScores:
    items = tuple(
        ItemScore(
            id=item.example.id,
            value=_value(metric, score),
            cluster=item.cluster,
            stratum=item.stratum,
            fresh=item.fresh,
        )
        for item, score in measured
    )
    return SuiteScores(suite=suite, metric=metric, items=items)


def _value(metric: Metric, score: PreferenceScore) -> float:
    chosen = (score.chosen or 0.0) / score.chosen_tokens
    if metric == "perplexity":
        return chosen
    return float(chosen > (score.rejected or 0.0) / score.rejected_tokens)
