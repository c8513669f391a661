"""What the page of a round shows of learning from thumbs, from the attempt's report.json."""

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.feedback.reasons import FEEDBACK_REASONS
from service.web.pages import charts


class Told(BaseModel):
    """The part of the report's `preference` that the page shows (pipelines/stages/report/preference.py)."""

    model_config = ConfigDict(extra="ignore")

    method: str
    why: str
    used: dict[str, int] = {}
    dropped: dict[str, int] = {}
    held_out: int = 0
    notes: tuple[str, ...] = ()
    heldout_before: float | None = None
    heldout_after: float | None = None
    n: int = 0
    lower: float | None = None
    upper: float | None = None


class Report(BaseModel):
    """report.json as far as this card reads it."""

    model_config = ConfigDict(extra="ignore")

    preference: Told | None = None


@dataclass(frozen=True)
class FeedbackRow:
    """Feedback that met one fate for one rule."""

    fate: str
    rule: str
    words: str
    count: str


@dataclass(frozen=True)
class PreferenceView:
    """The card on preferences; `before`, `after` and `bounds` are empty where no pair was held out."""

    method: str
    why: str
    notes: tuple[str, ...]
    feedback: tuple[FeedbackRow, ...]
    before: str
    after: str
    bounds: str
    pairs: int
    drawing: Markup | None


def preference_view(attempt: Path) -> PreferenceView | None:
    """The card of a finished attempt, None where it has no report or its recipe no preferences."""
    told = _read(attempt / "report" / "report.json")
    if told is None:
        return None
    bounds, drawing = _difference(told)
    return PreferenceView(
        method=told.method,
        why=told.why,
        notes=told.notes,
        feedback=_feedback(told),
        before=_percent(told.heldout_before),
        after=_percent(told.heldout_after),
        bounds=bounds,
        pairs=told.n,
        drawing=drawing,
    )


def _read(path: Path) -> Told | None:
    try:
        return Report.model_validate_json(path.read_text(encoding="utf-8")).preference
    except (FileNotFoundError, ValidationError):  # not there yet, or of another version
        return None


def _difference(told: Told) -> tuple[str, Markup | None]:
    """The bounds of after - before in points, in words and drawn; nothing where no pair was held out."""
    if told.heldout_before is None or told.heldout_after is None or told.lower is None or told.upper is None:
        return "", None
    difference = 100 * (told.heldout_after - told.heldout_before)
    lower, upper = 100 * told.lower, 100 * told.upper
    return f"{lower:+.1f} to {upper:+.1f}", charts.interval(difference, lower, upper, None)


def _feedback(told: Told) -> tuple[FeedbackRow, ...]:
    rows = [
        FeedbackRow("used", rule, FEEDBACK_REASONS.get(rule, ""), f"{count:,}") for rule, count in told.used.items()
    ]
    if told.held_out:
        rows.append(FeedbackRow("held out", "", "kept apart to choose and to measure", f"{told.held_out:,}"))
    rows += [
        FeedbackRow("dropped", rule, FEEDBACK_REASONS.get(rule, ""), f"{count:,}")
        for rule, count in told.dropped.items()
    ]
    return tuple(rows)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
