"""The one way in which a stage runs: found again by its key, or run, timed, sealed; the contract is in pipelines/stages."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from pipelines.artifacts import Attempt, read_manifest
from pipelines.context import Journal, StageContext
from pipelines.progress import report_progress
from pipelines.stages.contract import Finished, Stage, key_of

Given = TypeVar("Given", bound=BaseModel)
Made = TypeVar("Made", bound=BaseModel)


class StageRunner:
    """Runs an attempt's stages in order, each once: what has finished on the same input is not run again."""

    def __init__(self, attempt: Attempt, context: StageContext, journal: Journal) -> None:
        self._attempt, self._context, self._journal = attempt, context, journal
        self._seconds: dict[str, float] = {}

    def __call__(self, stage: Stage[Given, Made], input: Given) -> Finished[Made]:
        """The stage's output and folder: from an earlier run whose Input had the same digest, else made now."""
        name, key = stage.__name__.rpartition(".")[2], key_of(input)
        output = self._attempt.finished(name, key, stage.Output)
        ran = output is None
        if output is None:
            output = self._run(name, key, lambda out: stage.run(input, out, self._context))
        folder = self._attempt.folder / name
        manifest = read_manifest(folder)
        assert manifest is not None
        self._seconds[name] = manifest.seconds
        self._journal.finished(name, manifest, ran=ran)
        return Finished[Made](digest=manifest.digest, output=output, folder=folder)

    @property
    def seconds(self) -> dict[str, float]:
        """How long each stage took, in the order in which they ran."""
        return dict(self._seconds)

    def _run(self, name: str, key: str, work: Callable[[Path], Made]) -> Made:
        self._journal.started(name)
        started = time.monotonic()
        with self._attempt.writing(name, key) as folder:
            report_progress(folder, name, 0, 1)
            output = work(folder)
            report_progress(folder, name, 1, 1)
            self._attempt.seal(name, folder, key, output, time.monotonic() - started)
        return output
