"""Scores suites with lm-evaluation-harness on a loaded model; part of the child process of `job`."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from importlib.metadata import version
from typing import Any

from pipelines.artifacts import digest_of
from pipelines.gguf.scorer import GGUFScorer
from pipelines.records import ServedForm
from pipelines.suites.cache import ScoreCache
from pipelines.suites.load import Item, Suite
from pipelines.suites.prompts import template_of
from pipelines.suites.scores import ItemScore, SuiteScores

# Raise it when the way of scoring changes, so that cached scores are measured again.
RUN_VERSION = 1

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
    model = model_key(scorer, form) | {"lm_eval": version("lm-eval")}
    keys = [model | {"task": digest_of(dict(suite.task))} for suite, _ in choices]
    known = [cache.read(key) for key in keys]
    missing = [
        (suite, [item for item in items if item.digest not in scores])
        for (suite, items), scores in zip(choices, known, strict=True)
    ]
    for (suite, items), (_, left) in zip(choices, missing, strict=True):
        scored(len(items) - len(left), suite.name)
    for index, (suite, left) in enumerate(missing):
        if left:
            fresh = run_suite(scorer, suite, left, partial(scored, 1, suite.name))
            known[index] |= fresh
            cache.add(keys[index], fresh)
    return [
        SuiteScores(
            suite=suite.name,
            metric=suite.metric,
            items=tuple(ItemScore(id=item.id, value=scores[item.digest]) for item in items),
        )
        for (suite, items), scores in zip(choices, known, strict=True)
    ]


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
