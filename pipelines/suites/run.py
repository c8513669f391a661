"""Scores suites on a loaded model, by their own scorer or by lm-evaluation-harness; part of the child process of `measure`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from importlib.metadata import version
from typing import Any

from pipelines.artifacts import digest_of
from pipelines.gguf.scorer import GGUFScorer
from pipelines.recipe import Metric
from pipelines.records import ServedForm
from pipelines.suites.asked import AskedModel
from pipelines.suites.cache import ScoreCache
from pipelines.suites.load import Item, Suite
from pipelines.suites.prompts import template_of
from pipelines.suites.scorers.table import SCORERS_VERSION, metrics_of, score_each
from pipelines.suites.scores import ItemScore, SuiteScores

# Raise it when the way of scoring changes, so that cached scores are measured again.
RUN_VERSION = 1
KEPT_EVERY = 50

Choice = tuple[Suite, Sequence[Item]]


def score_suites(
    scorer: GGUFScorer,
    form: ServedForm,
    choices: Sequence[Choice],
    cache: ScoreCache,
    scored: Callable[[int, str], None],
) -> list[SuiteScores]:
    """The scores of one served form on the chosen items; only items that the cache does not know are run.

    `scored` is called with a number of items that are done and the suite's name.
    """
    model = model_key(scorer, form)
    return [
        scores
        for suite, items in choices
        for scores in _score_suite(scorer, model, suite, items, cache, _named(scored, suite.name))
    ]


def _score_suite(
    scorer: GGUFScorer,
    model: Mapping[str, Any],
    suite: Suite,
    items: Sequence[Item],
    cache: ScoreCache,
    scored: Callable[[int], None],
) -> list[SuiteScores]:
    """One entry a metric of the suite, its own first."""
    by = {"scorers": SCORERS_VERSION} if suite.scorer else {"lm_eval": version("lm-eval")}
    keys = {
        metric: {**model, **by, "task": digest_of(dict(suite.task)), **({"metric": metric} if suite.scorer else {})}
        for metric in metrics_of(suite)
    }
    known = {metric: cache.read(key) for metric, key in keys.items()}
    missing = [item for item in items if any(item.digest not in scores for scores in known.values())]
    scored(len(items) - len(missing))
    run = _run_by_scorer if suite.scorer else _run_by_harness
    for fresh in run(scorer, suite, missing, partial(scored, 1)):
        for metric, scores in fresh.items():
            known[metric] |= scores
            cache.add(keys[metric], scores)
    return [
        SuiteScores(
            suite=suite.name,
            metric=metric,
            items=tuple(
                ItemScore(id=item.id, value=scores[item.digest], cluster=item.cluster, stratum=item.stratum)
                for item in items
            ),
        )
        for metric, scores in known.items()
    ]


def _named(scored: Callable[[int, str], None], name: str) -> Callable[[int], None]:
    return lambda count: scored(count, name)


Fresh = dict[Metric, dict[str, float]]
"""New scores by metric and item digest."""


def _run_by_scorer(
    scorer: GGUFScorer, suite: Suite, items: Sequence[Item], scored: Callable[[], None]
) -> Iterator[Fresh]:
    """The scores of these items by the suite's own scorer, some at a time, so that what is killed keeps most of them."""
    fresh = _nothing(suite)
    for number, (item, values) in enumerate(score_each(suite, AskedModel(scorer), items), 1):
        for metric, value in values.items():
            fresh[metric][item.digest] = value
        if number % KEPT_EVERY == 0:
            yield fresh
            fresh = _nothing(suite)
        scored()
    yield fresh


def _nothing(suite: Suite) -> Fresh:
    return {metric: {} for metric in metrics_of(suite)}


def _run_by_harness(
    scorer: GGUFScorer, suite: Suite, items: Sequence[Item], scored: Callable[[], None]
) -> Iterator[Fresh]:
    for start in range(0, len(items), KEPT_EVERY):
        yield {suite.metric: run_suite(scorer, suite, items[start : start + KEPT_EVERY], scored)}


def model_key(scorer: GGUFScorer, form: ServedForm) -> dict[str, Any]:
    """Everything of a model that moves a score: form, template, library, processor and settings."""
    return {
        "run": RUN_VERSION,
        "form": form_key(form),
        "scorer": scorer.fingerprint(),
        "template": digest_of(template_of(scorer)),
    }


def form_key(form: ServedForm) -> dict[str, Any]:
    """What identifies a served form wherever its files lie."""
    adapter = {"adapter": form.adapter_sha256, "scale": form.scale} if form.kind == "adapter" else {}
    return {"kind": form.kind, "sha256": form.sha256, **adapter}


def form_digest(form: ServedForm) -> str:
    """One text for the whole served form; its sha256 alone is that of the base, which adapters share."""
    return digest_of(form_key(form))


def run_suite(scorer: GGUFScorer, suite: Suite, items: Sequence[Item], scored: Callable[[], None]) -> dict[str, float]:
    """Scores of these items by item digest, from the harness's sample log of the task's first filter."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    from pipelines.suites.harness import ServedModel

    _compile_templates_once()
    tasks = TaskManager(include_defaults=False).load([_config(suite, items)])
    for task in tasks["tasks"].values():
        task.set_fewshot_seed(seed=0)
    result = lm_eval.evaluate(
        ServedModel(scorer, scored), tasks, bootstrap_iters=0, log_samples=True, apply_chat_template=True
    )
    rows = result["samples"][suite.name]
    first = rows[0]["filter"]
    by_position = {row["doc_id"]: float(row[suite.metric]) for row in rows if row["filter"] == first}
    return {item.digest: by_position[position] for position, item in enumerate(items)}


def _compile_templates_once() -> None:
    """The harness compiles each of its templates anew for every item, which would cost more than the model does."""
    from lm_eval import utils

    if not hasattr(utils.env.from_string, "cache_info"):
        utils.env.from_string = lru_cache(maxsize=64)(utils.env.from_string)


def _config(suite: Suite, items: Sequence[Item]) -> dict[str, Any]:
    """The suite's task with the chosen items in place of its data files, so that nothing lands in a dataset cache."""
    import datasets

    task = {key: value for key, value in suite.task.items() if not key.startswith("dataset_")}
    split = str(task.get("test_split") or task.get("validation_split") or "gate")
    for key in ("training_split", "validation_split", "fewshot_split"):
        task.pop(key, None)
    rows = datasets.Dataset.from_list([dict(item.fields) for item in items])
    whole = datasets.DatasetDict({split: rows})
    return {**task, "num_fewshot": 0, "test_split": split, "custom_dataset": lambda **_: whole}
