"""The records of a report. report.json is `ReportFacts` as JSON, report.md is its text, and the page reads it back.

    {"recipe": "tiny", "attempt": 1, "verdict": "pass", "reasons": ["..."], "funnel": {"received": 640, ...},
     "mixture": [...], "scores": {"tiny_math": {"origin": 90.1, "candidate": 90.3, "difference": 0.2, ...}},
     "preference": {"method": "kto", "why": "...", "used": {"siblings": 360}, "heldout_after": 0.97, ...}, ...}

Ids and numbers, no text of users. Reports of earlier rounds stay on the page: what is added to a section that it reads
has a default.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from pipelines.backends.base import PreferOutput, TrainOutput
from pipelines.curate.reasons import Altered
from pipelines.feedback.regression import Regression
from pipelines.feedback.select import UserCap
from pipelines.gate.decide import Check
from pipelines.gate.judge import Outcome
from pipelines.records import Record
from pipelines.stages.export.form import Exported
from pipelines.stages.mix import ShareLine
from pipelines.stages.report.scores import ScoreRow
from pipelines.stages.snapshot import FeedbackSummary
from pipelines.suites.probes import Probe
from pipelines.suites.scores import Cost, LanguageMeasure

JSON_FILE = "report.json"


class LossPoint(Record):
    """One line of loss_history.csv; a loss is None where that step measured the other one only."""

    step: int
    loss: float | None
    dev_loss: float | None


class PreferencePoint(Record):
    """One step of a preference run: its loss, and by how much good answers are ahead of bad ones."""

    step: int
    loss: float
    margin: float | None


class Funnel(Record):
    """From what came in to what was trained on: received = examples + dev + heldout + rejected + left out.

    `new` and `replay` are what the snapshot had for training, `examples` what the mixture had room for.
    """

    received: int
    clean: int
    examples: int
    new: int
    replay: int
    dev: int
    heldout: int
    rejected: Mapping[str, int]
    left_out: Mapping[str, int]
    feedback: FeedbackSummary
    altered: Altered = Altered()


class Lineage(Record):
    """What the candidate was trained from, and the models that it was compared with, by id.

    `passed_over` are models that it would have been trained on top of, had they not learned from an erased person.
    """

    kind: Literal["from_origin", "sequential"]
    origin: str
    champion: str
    passed_over: tuple[str, ...] = ()


class PreferenceSection(Record):
    """Learning from thumbs: method and why, which feedback counted, and what came of it; shares from 0 to 1.

    Attributes:
        method: dpo, kto, bco, or none where the stage was left out; `why` is the sentence of the choice.
        sources: examples made, by source; `used` and `dropped` count votes, corrections and comparisons by rule.
        notes: sentences on influence, such as the cap per person and why it is what it is.
        heldout_before, heldout_after: shares of `n` held-out pairs whose preferred answer is the likelier one, under the
            champion and under the candidate; `lower` and `upper` are one-sided 95 % bounds of after - before.
        moved: share of `labelled` answers that became likelier if voted up, less likely if voted down.
        probes: what must not change, by role (origin, champion, candidate).
        training: None where the stage was left out.
    """

    method: str
    why: str
    sources: Mapping[str, int] = {}
    used: Mapping[str, int] = {}
    dropped: Mapping[str, int] = {}
    held_out: int = 0
    notes: tuple[str, ...] = ()
    heldout_before: float | None = None
    heldout_after: float | None = None
    n: int = 0
    lower: float | None = None
    upper: float | None = None
    labelled: int = 0
    moved: float | None = None
    probes: Mapping[str, Probe] = {}
    training: PreferOutput | None = None
    curve: tuple[PreferencePoint, ...] = ()


class ReportFacts(Record):
    """Everything an attempt found out.

    Attributes:
        examples, tokens: trained examples and tokens by source.
        regression: the permanent suite of corrections, as this round found it.
        preference: None where the recipe has no such stage.
        scores: by suite, with the metric where a suite has several.
        language: by role; empty if it was not measured.
        seconds: by stage, and `total`.
        cost: what serving takes, by role; empty if it was not measured.
    """

    recipe: str
    recipe_digest: str
    attempt: int
    verdict: Outcome
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    funnel: Funnel
    people: int
    per_user_cap: UserCap | None
    mixture: tuple[ShareLine, ...]
    examples: Mapping[str, int]
    tokens: Mapping[str, int]
    contaminated_anchors: Mapping[str, int]
    unrendered_anchors: Mapping[str, int] = {}
    families: Mapping[str, Mapping[str, int]]
    training: TrainOutput
    loss: tuple[LossPoint, ...]
    preference: PreferenceSection | None
    export: Exported
    scores: Mapping[str, ScoreRow]
    language: Mapping[str, LanguageMeasure]
    lineage: Lineage
    seconds: Mapping[str, float]
    regression: Regression = Regression()
    cost: Mapping[str, Cost] = {}


def read_preference_section(report: Path) -> PreferenceSection | None:
    """The section on thumbs of a report's folder; None where there is no report, no such section, or one of a version
    that cannot be read. Fields that this version does not know are passed over.
    """
    try:
        section = json.loads((report / JSON_FILE).read_text(encoding="utf-8"))["preference"]
        return None if section is None else _section(section)
    except (FileNotFoundError, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return None


def _section(raw: Mapping[str, Any]) -> PreferenceSection:
    """The section; without its details, which no page shows, where an earlier version wrote less into them."""
    try:
        return PreferenceSection.model_validate(raw, extra="ignore")
    except ValidationError:
        shown = {key: value for key, value in raw.items() if key not in ("training", "curve", "probes")}
        return PreferenceSection.model_validate(shown, extra="ignore")
