"""Which scorer a suite has, and the scores of an item by it: the one place that knows them all."""

from collections.abc import Iterator, Sequence
from functools import partial

from pipelines.recipe import Metric
from pipelines.suites.asked import AskedModel
from pipelines.suites.load import SCORER_METRICS, Item, Suite
from pipelines.suites.scorers import exact, golden, instructions, letter, likelihood, maths, perplexity, python_tests
from pipelines.suites.tools import check_tools

# Raise it when a scorer judges otherwise, so that cached scores are measured again.
SCORERS_VERSION = 1


def score_each(suite: Suite, model: AskedModel, items: Sequence[Item]) -> Iterator[tuple[Item, dict[Metric, float]]]:
    """Items of a suite that names a scorer, each with its scores by metric when they are known; higher is better.

    Raises:
        MissingDependency: a library, or the sandbox for code, is missing here.
    """
    assert suite.scorer is not None
    check_tools(suite)
    if suite.scorer == "perplexity":
        for item in items:
            yield item, {suite.metric: perplexity.score(item, model)}
        return
    if choose := _CHOICES.get(suite.scorer):
        for item in items:
            yield item, {suite.metric: choose(item, partial(model.likelihood, item))}
        return
    for place, answer in model.answer_each(items, suite.task.get("generation_kwargs") or {}):
        yield items[place], judge(suite, items[place], answer)


def judge(suite: Suite, item: Item, answer: str) -> dict[Metric, float]:
    """The scores of a written answer by the suite's scorer."""
    if suite.scorer == "golden":
        return golden.score(item, answer)
    if suite.scorer == "exact":
        return {suite.metric: exact.score(item, answer, suite.task)}
    scorer = {"maths": maths.score, "instructions": instructions.score, "python": python_tests.score}
    return {suite.metric: scorer[suite.scorer or ""](item, answer)}


def metrics_of(suite: Suite) -> tuple[Metric, ...]:
    """The metrics of a suite, its own first."""
    return SCORER_METRICS[suite.scorer] if suite.scorer == "golden" else (suite.metric,)


_CHOICES = {"letter": letter.score, "likelihood": likelihood.score}
