"""What the page of a round shows of learning from thumbs, from the attempt's report.json."""

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from pipelines.feedback.reasons import FEEDBACK_REASONS
from pipelines.stages.report.facts import PreferenceSection, read_preference_section
from service.web.pages import charts


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
    section = read_preference_section(attempt / "report")
    if section is None:
        return None
    bounds, drawing = _difference(section)
    return PreferenceView(
        method=section.method,
        why=section.why,
        notes=section.notes,
        feedback=_feedback(section),
        before=_percent(section.heldout_before),
        after=_percent(section.heldout_after),
        bounds=bounds,
        pairs=section.n,
        drawing=drawing,
    )


def _difference(section: PreferenceSection) -> tuple[str, Markup | None]:
    """The bounds of after - before in points, in words and drawn; nothing where no pair was held out."""
    before, after = section.heldout_before, section.heldout_after
    if before is None or after is None or section.lower is None or section.upper is None:
        return "", None
    lower, upper = 100 * section.lower, 100 * section.upper
    return f"{lower:+.1f} to {upper:+.1f}", charts.interval(100 * (after - before), lower, upper, None)


def _feedback(section: PreferenceSection) -> tuple[FeedbackRow, ...]:
    rows = [("used", rule, FEEDBACK_REASONS.get(rule, ""), count) for rule, count in section.used.items()]
    if section.held_out:
        rows.append(("held out", "", "kept apart to choose and to measure", section.held_out))
    rows += [("dropped", rule, FEEDBACK_REASONS.get(rule, ""), count) for rule, count in section.dropped.items()]
    return tuple(FeedbackRow(fate, rule, words, f"{count:,}") for fate, rule, words, count in rows)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
