"""The one helper through which every stage runs: resume, timing, progress, seal."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from pipelines.artifacts import Attempt, Manifest, digest_of, read_manifest, report_progress
from pipelines.context import Journal

Output = TypeVar("Output", bound=BaseModel)


class StageRunner:
    """Runs an attempt's stages in order, each once: what has finished on the same input is not run again."""

    def __init__(self, attempt: Attempt, journal: Journal) -> None:
        self._attempt, self._journal = attempt, journal
        self._manifests: dict[str, Manifest] = {}

    def __call__(self, name: str, kind: type[Output], work: Callable[[Path], Output], *reads: Any) -> Output:
        """The output of stage `name`: `work` is given a folder to write into, unless the stage had finished.

        `reads` are the records and JSON values that decide what the stage does; a change in them runs it again.
        """
        read = digest_of([_plain(value) for value in reads])
        output = self._attempt.finished(name, read, kind)
        ran = output is None
        if output is None:
            output = self._run(name, read, work)
        manifest = read_manifest(self._attempt.folder / name)
        assert manifest is not None
        self._manifests[name] = manifest
        self._journal.finished(name, manifest, ran=ran)
        return output

    def folder(self, name: str) -> Path:
        """Where a finished stage's files are."""
        return self._attempt.folder / name

    def digest(self, name: str) -> str:
        """What a stage of this attempt left, in one digest: the next stage's input."""
        return self._manifests[name].digest

    @property
    def seconds(self) -> dict[str, float]:
        """How long each stage took, in the order in which they ran."""
        return {name: manifest.seconds for name, manifest in self._manifests.items()}

    def _run(self, name: str, read: str, work: Callable[[Path], Output]) -> Output:
        self._journal.started(name)
        started = time.monotonic()
        with self._attempt.writing(name, read) as folder:
            report_progress(folder, name, 0, 1)
            output = work(folder)
            report_progress(folder, name, 1, 1)
            self._attempt.seal(name, folder, read, output, time.monotonic() - started)
        return output


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
