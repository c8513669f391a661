"""Measures origin, champion and candidate on the same items, in the forms in which they are served.

evaluate/
├── items.jsonl.gz    {"model": "candidate", "suite": "tiny_math", "metric": "exact_match", "id": "...", "value": 1.0}
├── scores.json       the same for the gate, with language measures
├── progress.jsonl    {"stage": "evaluate", "done": 240, "total": 5200, "message": "origin: tiny_math", ...}
└── manifest.json
"""

import gzip
import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.artifacts import write_atomic
from pipelines.context import Baseline, StageContext
from pipelines.errors import ArtifactError
from pipelines.gguf.runtime import threads_for, usable_cores, uses_gpu
from pipelines.progress import PROGRESS_FILE, read_progress, report_progress
from pipelines.recipe import APART, GUARD_SUITE, HELDOUT
from pipelines.records import Record, ServedForm
from pipelines.stages.contract import Finished, Keyed
from pipelines.stages.export.form import Exported
from pipelines.stages.questions import Measurement, PreferenceQuestions, Questions, gate_questions
from pipelines.stages.report.scores import ScoreRow, score_rows
from pipelines.suites.folder import place_of
from pipelines.suites.measure import JobRequest, SuiteChoice, measure
from pipelines.suites.preference import compare
from pipelines.suites.scores import BaselineName, GateInput, ModelScores

POLL_SECONDS = 0.5


class EvaluateOutput(Record):
    """Paths relative to the stage folder, counts and mean scores; the rows are in scores.json."""

    items: str
    scores: str
    measured: int
    rows: tuple[ScoreRow, ...]
    seconds: float


Output = EvaluateOutput


class Input(Record):
    """Three models (the champion may be the origin), what they are asked, and which look at the gate items it is.

    `thumbs` are the questions of a preference stage, None where none trained.
    """

    origin: Keyed[Baseline]
    champion: Keyed[Baseline]
    candidate: Finished[Exported]
    questions: Questions
    thumbs: PreferenceQuestions | None = None
    attempt: int = 1
    max_attempts: int = 1


def run(input: Input, out: Path, context: StageContext) -> Output:
    """Score the three models and write the stage's files into `out`.

    Raises:
        SuiteError: a suite is missing or malformed, or was edited while the round ran.
        GGUFError: a form is missing or changed.
        ChildCrashed: a form crashes llama.cpp.
    """
    started = time.monotonic()
    forms = {
        "origin": input.origin.value.form,
        "champion": input.champion.value.form,
        "candidate": input.candidate.output.form_in(input.candidate.folder),
    }
    baselines: dict[BaselineName, str] = {"champion": input.champion.value.id, "origin": input.origin.value.id}
    questions = gate_questions(input.questions, context.corpus, input.thumbs, baselines)
    suites = input.questions.suites.value.folders
    measured = measure_models(forms, questions, out, suites=suites, cache=context.scores)
    scores = GateInput(**measured, attempt=input.attempt, max_attempts=input.max_attempts)
    count = _write_items(out / "items.jsonl.gz", measured)
    write_atomic(out / "scores.json", scores.model_dump_json())
    return EvaluateOutput(
        items="items.jsonl.gz",
        scores="scores.json",
        measured=count,
        rows=score_rows(scores),
        seconds=time.monotonic() - started,
    )


def scores_of(measured: Finished[Output]) -> GateInput:
    """What the gate decides on, from a finished evaluate stage. Raises ArtifactError."""
    path = measured.folder / measured.output.scores
    try:
        return GateInput.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path} does not hold the scores of this version; delete {measured.folder} to run it again"
        ) from error


def measure_models(
    forms: Mapping[str, ServedForm],
    measurement: Measurement,
    progress: Path,
    *,
    suites: Sequence[Path],
    cache: Path,
    stage: str = "evaluate",
) -> dict[str, ModelScores]:
    """The scores of several models by name, each in a child process; equal forms are measured once.

    As many run at once as there are cores for their threads. `progress` is the folder whose progress.jsonl grows.
    Where preferences are measured, each model's KL is taken from the one named `champion`, if there is one.
    """
    unique: dict[str, tuple[str, ServedForm]] = {}
    for name, form in forms.items():
        unique.setdefault(form.model_dump_json(), (name, form))
    with TemporaryDirectory(prefix="perennial-evaluate-") as notes, _Joined(Path(notes), progress, stage, len(unique)):
        jobs = [
            _job(name, form, measurement, Path(notes) / str(number), suites, cache)
            for number, (name, form) in enumerate(unique.values())
        ]
        with ThreadPoolExecutor(max_workers=_workers(list(forms.values()))) as pool:
            measured = dict(zip(unique, pool.map(measure, jobs), strict=True))
        if measurement.preference is not None and "champion" in forms:
            folders = {key: Path(job.progress) for key, job in zip(unique, jobs, strict=True)}
            champion = folders[forms["champion"].model_dump_json()]
            measured = {key: _with_kl(scores, champion, folders[key]) for key, scores in measured.items()}
    return {name: measured[form.model_dump_json()] for name, form in forms.items()}


def _with_kl(scores: ModelScores, champion: Path, model: Path) -> ModelScores:
    """The scores with the model's KL from the champion, which has 0 from itself."""
    compared = compare(champion, model)
    if compared is None or scores.preference is None:
        return scores
    kl, places = compared
    return scores.model_copy(
        update={"preference": scores.preference.model_copy(update={"kl": kl, "kl_positions": places})}
    )


def _job(
    name: str, form: ServedForm, measurement: Measurement, progress: Path, suites: Sequence[Path], cache: Path
) -> JobRequest:
    progress.mkdir()
    names = [suite for suite in measurement.suites if suite not in (*APART, GUARD_SUITE)]
    return JobRequest(
        form=form,
        name=name,
        suites=tuple(
            SuiteChoice(
                folder=str(place_of(suites, suite)),
                split=measurement.split,
                count=measurement.items,
                seed=measurement.seed,
                quarter=measurement.quarter,
            )
            for suite in names
        ),
        heldout=measurement.heldout if HELDOUT in measurement.suites else (),
        pairs=tuple(asked for asked in measurement.pairs if asked.suite in measurement.suites),
        language=str(measurement.language) if GUARD_SUITE in measurement.suites else None,
        preference=measurement.preference,
        cache=str(cache),
        progress=str(progress),
    )


def _workers(forms: Sequence[ServedForm]) -> int:
    """How many models fit side by side on the cores, given the threads each uses; on a GPU one after the other."""
    if uses_gpu():
        return 1
    threads = [threads_for(path) for form in forms if (path := Path(form.path)).is_file()]
    return max(1, usable_cores() // max(threads, default=1))


def _write_items(path: Path, measured: Mapping[str, ModelScores]) -> int:
    """One line per model, metric and item; the same scores give the same bytes."""
    count = 0
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as file:
        for model, scores in measured.items():
            for suite in scores.suites:
                for item in suite.items:
                    row = {"model": model, "suite": suite.suite, "metric": suite.metric, **item.model_dump()}
                    file.write(json.dumps(row).encode() + b"\n")
                    count += 1
    return count


class _Joined:
    """While the block runs, joins the children's progress files into one line per change in the stage's."""

    def __init__(self, notes: Path, progress: Path, stage: str, models: int) -> None:
        self._notes, self._progress, self._stage, self._models = notes, progress, stage, models
        self._ended = threading.Event()
        self._told = -1.0
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._tell()

    def _follow(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._tell()

    def _tell(self) -> None:
        files = [read_progress(path) for path in self._notes.glob(f"*/{PROGRESS_FILE}")]
        lines = [whole[-1] for whole in files if whole]
        done = sum(line["done"] for line in lines)
        if not lines or done == self._told:
            return
        self._told = done
        # models that have not begun count as long as those that have
        total = sum(line["total"] for line in lines) * self._models / len(lines)
        newest = max(lines, key=lambda line: line["time"])
        report_progress(self._progress, self._stage, done, total, message=newest["message"])
