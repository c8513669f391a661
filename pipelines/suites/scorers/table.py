"""Which scorer a suite has, and the scores of an item by it: the one place that knows them all."""

from collections.abc import Callable
from functools import partial

from pipelines.recipe import Metric
from pipelines.suites.asked import AskedModel
from pipelines.suites.load import SCORER_METRICS, Item, Suite
from pipelines.suites.scorers import exact, golden, instructions, letter, likelihood, maths, perplexity, python_tests
from pipelines.suites.tools import check_tools

# Raise it when a scorer judges otherwise, so that cached scores are measured again.
SCORERS_VERSION = 1

ItemScorer = Callable[[AskedModel, Item], dict[Metric, float]]


def scorer_of(suite: Suite) -> ItemScorer:
    """What scores the items of a suite that names a scorer, by metric, higher is better.

    Raises:
        MissingDependency: a library, or the sandbox for code, is missing here.
    """
    assert suite.scorer is not None
    check_tools(suite)
    if suite.scorer == "perplexity":
        return partial(_read, suite)
    if suite.scorer in _CHOICES:
        return partial(_choose, suite)
    return partial(_write, suite)


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


def _choose(suite: Suite, model: AskedModel, item: Item) -> dict[Metric, float]:
    return {suite.metric: _CHOICES[suite.scorer or ""](item, partial(model.likelihood, item))}


def _read(suite: Suite, model: AskedModel, item: Item) -> dict[Metric, float]:
    return {suite.metric: perplexity.score(item, model)}


def _write(suite: Suite, model: AskedModel, item: Item) -> dict[Metric, float]:
    return judge(suite, item, model.answer(item, suite.task.get("generation_kwargs") or {}))
