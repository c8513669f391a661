"""The one way in which a stage runs: found again by its key, or run, timed, sealed; the contract is in pipelines/stages."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from pipelines.artifacts import Attempt, digest_of, read_manifest, report_progress
from pipelines.context import Journal, StageContext
from pipelines.stages.contract import Finished, Stage, key_of

Given = TypeVar("Given", bound=BaseModel)
Made = TypeVar("Made", bound=BaseModel)


class StageRunner:
    """Runs an attempt's stages in order, each once: what has finished on the same input is not run again."""

    def __init__(self, attempt: Attempt, context: StageContext, journal: Journal) -> None:
        self._attempt, self._context, self._journal = attempt, context, journal
        self._seconds: dict[str, float] = {}

    def __call__(self, stage: Stage[Given, Made], given: Given) -> Finished[Made]:
        """The stage's output and folder: from an earlier run whose Input had the same digest, else made now."""
        name, kind = stage.__name__.rpartition(".")[2], stage.Output
        return self._finish(name, kind, key_of(given), lambda out: stage.run(given, out, self._context))

    def by_reads(self, name: str, kind: type[Made], work: Callable[[Path], Made], *reads: Any) -> Finished[Made]:
        """A stage that is not a module of the contract yet."""
        read = digest_of([one.model_dump(mode="json") if isinstance(one, BaseModel) else one for one in reads])
        return self._finish(name, kind, read, work)

    @property
    def seconds(self) -> dict[str, float]:
        """How long each stage took, in the order in which they ran."""
        return dict(self._seconds)

    def _finish(self, name: str, kind: type[Made], key: str, work: Callable[[Path], Made]) -> Finished[Made]:
        output = self._attempt.finished(name, key, kind)
        ran = output is None
        if output is None:
            output = self._run(name, key, work)
        folder = self._attempt.folder / name
        manifest = read_manifest(folder)
        assert manifest is not None
        self._seconds[name] = manifest.seconds
        self._journal.finished(name, manifest, ran=ran)
        return Finished[Made](digest=manifest.digest, output=output, folder=folder)

    def _run(self, name: str, key: str, work: Callable[[Path], Made]) -> Made:
        self._journal.started(name)
        started = time.monotonic()
        with self._attempt.writing(name, key) as folder:
            report_progress(folder, name, 0, 1)
            output = work(folder)
            report_progress(folder, name, 1, 1)
            self._attempt.seal(name, folder, key, output, time.monotonic() - started)
        return output
