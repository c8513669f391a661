"""Measures one served form in a process of its own: suites, held-out answers, language, preferences.

Run through `pipelines.isolated`, because llama.cpp may crash and the harness takes seconds to import. The request,
which holds held-out text, travels through a pipe and is never on disk; what comes back is ids and numbers.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.artifacts import digest_of
from pipelines.gguf.scorer import GGUFScorer
from pipelines.gguf.writing import Prompt
from pipelines.isolated import run_in_child
from pipelines.progress import report_progress
from pipelines.records import Record, ServedForm
from pipelines.suites.cache import ScoreCache
from pipelines.suites.cost import cost_prompts, measure_cost
from pipelines.suites.heldout import HeldoutItem, score_heldout
from pipelines.suites.language import MAX_LANGUAGE_TOKENS, LanguagePrompt, load_prompts, measure_language, sum_up
from pipelines.suites.load import Split, choose_items, load_suite
from pipelines.suites.pairs import PairSuite, count_pairs, score_pairs
from pipelines.suites.preference import PreferenceAsk, measure_preference
from pipelines.suites.prompts import question_ids
from pipelines.suites.run import form_digest, model_key, score_suites
from pipelines.suites.scores import AnswerShape, LanguageScores, ModelScores, PreferenceMeasure, SuiteScores

PROGRESS_EVERY = 20
TIMEOUT_SECONDS = 24 * 3600.0
_SHAPE_FIELDS = [name for name in AnswerShape.model_fields if name != "id"]


class SuiteChoice(Record):
    """Which items of a suite to score; see `choose_items`."""

    folder: str
    split: Split
    count: int | None
    seed: int = 0
    quarter: str = ""


class JobRequest(Record):
    """All that the child needs. `progress` is a folder whose progress.jsonl gets lines named `stage`.

    It also gets the distributions on the frozen prompts of `preference`, so it must be a temporary one.
    """

    form: ServedForm
    name: str
    suites: tuple[SuiteChoice, ...]
    heldout: tuple[HeldoutItem, ...] = ()
    pairs: tuple[PairSuite, ...] = ()
    language: str | None = None
    preference: PreferenceAsk | None = None
    cache: str
    progress: str
    stage: str = "evaluate"


def measure(request: JobRequest) -> ModelScores:
    """The scores of one served form, measured in a child process that dies with this one.

    Raises:
        SuiteError: a suite or its items cannot be used.
        GGUFError: the form is missing, changed or unreadable.
        ChildCrashed: llama.cpp crashed.
    """
    answer = run_in_child(
        "pipelines.suites.measure:measure_here", request.model_dump(mode="json"), timeout_seconds=TIMEOUT_SECONDS
    )
    return ModelScores.model_validate(answer)


def measure_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """The body of `measure`, for its child process."""
    request = JobRequest.model_validate(arguments)
    suites = [load_suite(Path(choice.folder)) for choice in request.suites]
    choices = [
        (suite, choose_items(suite, choice.split, choice.count, choice.seed, choice.quarter))
        for suite, choice in zip(suites, request.suites, strict=True)
    ]
    prompts = load_prompts(Path(request.language)) if request.language else ()
    total = sum(len(items) for _, items in choices) + len(request.heldout) + len(prompts) + count_pairs(request.pairs)
    total += request.preference.size if request.preference else 0
    progress = _Progress(request, total)
    with GGUFScorer(request.form) as scorer:
        scores: list[SuiteScores] = score_suites(
            scorer, request.form, choices, ScoreCache(Path(request.cache)), progress.add
        )
        scores += score_heldout(scorer, request.heldout, lambda: progress.add(1, "heldout"))
        for asked in request.pairs:
            scores += score_pairs(scorer, asked, partial(progress.add, 1, asked.suite))
        language = _language(scorer, request, prompts, lambda: progress.add(1, "language")) if prompts else None
        preference = _preference(scorer, request, request.preference, progress) if request.preference else None
        first = choices[0][1] if choices else ()
        cost = measure_cost(scorer, request.form, cost_prompts(request.heldout, prompts, first))
    progress.finish()
    measured = ModelScores(
        form=form_digest(request.form), suites=tuple(scores), language=language, preference=preference, cost=cost
    )
    return measured.model_dump(mode="json")


def _language(
    scorer: GGUFScorer, request: JobRequest, prompts: tuple[LanguagePrompt, ...], scored: Callable[[], None]
) -> LanguageScores:
    cache = ScoreCache(Path(request.cache))
    shown = [prompt.model_dump() for prompt in prompts]
    key = model_key(scorer, request.form) | {"language": digest_of(shown), "max_tokens": MAX_LANGUAGE_TOKENS}
    key |= {"fields": _SHAPE_FIELDS}
    if known := cache.read(key):
        shapes = [{"id": one.id, **{field: known[f"{one.id}/{field}"] for field in _SHAPE_FIELDS}} for one in prompts]
        return sum_up([AnswerShape.model_validate(one) for one in shapes])
    asked = [Prompt(question_ids(scorer, prompt.prompt), MAX_LANGUAGE_TOKENS) for prompt in prompts]
    measured = measure_language(prompts, [written.text for written in scorer.write_all(asked, scored)])
    fields = [(shape.id, field, getattr(shape, field)) for shape in measured.shapes for field in _SHAPE_FIELDS]
    cache.add(key, {f"{name}/{field}": float(value) for name, field, value in fields})
    return measured


def _preference(
    scorer: GGUFScorer, request: JobRequest, ask: PreferenceAsk, progress: "_Progress"
) -> PreferenceMeasure:
    cache, out = ScoreCache(Path(request.cache)), Path(request.progress)
    return measure_preference(scorer, request.form, ask, cache, out, lambda items: progress.add(items, "preference"))


class _Progress:
    """Appends a line every few items."""

    def __init__(self, request: JobRequest, total: int) -> None:
        self._request, self._total = request, max(1, total)
        self._done = self._told = 0

    def add(self, items: int, suite: str) -> None:
        self._done += items
        if self._done - self._told >= PROGRESS_EVERY:
            self._tell(suite)

    def finish(self) -> None:
        self._done = self._total
        self._tell("done")

    def _tell(self, suite: str) -> None:
        self._told = self._done
        report_progress(
            Path(self._request.progress),
            self._request.stage,
            self._done,
            self._total,
            message=f"{self._request.name}: {suite}",
            model=self._request.name,
        )
