"""A stage of a test: a name, a record and a function, run by the real runner under the real contract."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from pydantic import BaseModel

from pipelines.artifacts import Attempt
from pipelines.context import Journal, StageContext
from pipelines.records import Body, Corpus, FeedbackFate, MessageKey, RatedConversation, Record
from pipelines.stages.runner import StageRunner

Made = TypeVar("Made", bound=BaseModel)


class Reads(Record):
    """An Input of any values."""

    values: tuple[Any, ...] = ()


class _NoText:
    """A corpus in which nobody said anything."""

    def candidates(self) -> Iterator[RatedConversation]:
        return iter(())

    def texts(self, keys: Sequence[MessageKey]) -> Mapping[MessageKey, Body]:
        return {}

    def outcomes(self) -> Mapping[str, int]:
        return {}

    def lost(self) -> Sequence[FeedbackFate]:
        return ()


NO_TEXT: Corpus = _NoText()


def run_stage(runner: StageRunner, name: str, kind: type[Made], work: Callable[[Path], Made], *reads: Any) -> Made:
    """The output of a stage of this name, keyed by `reads`."""
    stage: Any = SimpleNamespace(__name__=name, Output=kind, run=lambda given, out, context: work(out))
    made: Made = runner(stage, Reads(values=reads)).output
    return made


def runner_of(attempt: Attempt, corpus: Corpus, journal: Journal) -> StageRunner:
    """A runner whose stages keep what they have in the attempt's folder."""
    folder = attempt.folder
    return StageRunner(attempt, StageContext(folder, folder, corpus, attempt.scratch, attempt.still_ours), journal)
