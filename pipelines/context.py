"""What one turn of the wheel is given and gives back. Light: the app side imports this, never the spine itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pipelines.artifacts import Attempt, Manifest
from pipelines.gate.decide import Verdict
from pipelines.recipe import Recipe
from pipelines.records import Corpus, Record, ServedForm

RoundOutcome = Literal["pass", "fail", "inconclusive", "skipped"]


class Baseline(Record):
    """A model that candidates are measured against: its id and its served form, with absolute paths.

    `commit` is what an origin from the hub was fetched at.
    """

    id: str
    form: ServedForm
    commit: str | None = None


class Adapter(Record):
    """A trained adapter (PEFT folder), and how its export merged it: at which scale, onto which weights."""

    folder: str
    scale: float = 1.0
    merged_onto: Literal["full", "nf4", "mlx4"] = "full"


class RoundContext(Record):
    """Where the round runs and what it compares with.

    Attributes:
        project: the folder with data/ and models/, to which a recipe's paths are relative.
        models, scores, anchors: where origins are kept, item scores, and sets of anchors.
        suites: where suites are that were added here, besides the project's.
        champion: the model served when the round began; None while that is the origin.
        sampler: whose fresh answers may be learnt from: the newest champion that learned from nobody who was erased; None
            while that is the origin.
        lineage: the adapters that made the champion from the origin, oldest first (for `sequential`).
        passed_over: the newest models of that lineage, whose adapters are not in it: they learned from somebody who was
            erased since.
        attempt: which try this is, counted from 1.
        min_new: fewer new examples than this, and the round is skipped.
    """

    project: Path
    models: Path
    scores: Path
    anchors: Path
    suites: Path | None = None
    champion: Baseline | None = None
    sampler: Baseline | None = None
    lineage: tuple[Adapter, ...] = ()
    passed_over: tuple[str, ...] = ()
    attempt: int = 1
    min_new: int = 0


@dataclass(frozen=True)
class StageContext:
    """Where a stage works. Nothing here decides what it makes: that is in its Input.

    Attributes:
        models, scores: where origins are kept, and item scores.
        corpus: gives text by key; the keys come from the snapshot.
        scratch: where text may be written; deleted when the attempt ends.
        still_ours: raises Cancelled when the claim on the round is lost.
    """

    models: Path
    scores: Path
    corpus: Corpus
    scratch: Path
    still_ours: Callable[[], None]


class RoundResult(Record):
    """How an attempt ended. `candidate`, `origin`, `verdict` are None when it was skipped; `adapter` is a folder."""

    outcome: RoundOutcome
    reasons: tuple[str, ...]
    counts: Mapping[str, int]
    origin: Baseline | None = None
    candidate: ServedForm | None = None
    adapter: str | None = None
    verdict: Verdict | None = None


class Journal(Protocol):
    """Hears of every stage; may raise Cancelled to stop the round."""

    def started(self, stage: str) -> None:
        """A stage begins, or is looked for."""
        ...

    def finished(self, stage: str, manifest: Manifest, *, ran: bool) -> None:
        """A stage is complete; `ran` is False if it had finished in an earlier run of the same attempt."""
        ...


class RunRound(Protocol):
    """The signature of pipelines.round.run_round."""

    def __call__(
        self, recipe: Recipe, attempt: Attempt, corpus: Corpus, context: RoundContext, journal: Journal
    ) -> RoundResult:
        """One attempt at a round, as in pipelines/round.py."""
        ...
