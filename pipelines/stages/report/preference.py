"""What the report says of learning from thumbs: method and why, which feedback counted, and what came of it.

report.json, key `preference` (null where the recipe has no such stage); shares from 0 to 1, no text of users:
    {"method": "kto", "why": "...", "sources": {"siblings": 180}, "used": {"siblings": 360}, "dropped": {"over_cap": 31},
     "held_out": 74, "notes": ["..."], "heldout_before": 0.02, "heldout_after": 0.97, "n": 21, "lower": 0.8, "upper": 1.0,
     "labelled": 30, "moved": 0.93, "probes": {"champion": {...}, "candidate": {...}}, "training": {...}, "curve": [...]}
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.backends.base import PreferOutput
from pipelines.feedback.reasons import FEEDBACK_REASONS, SOURCES
from pipelines.gate.statistics import paired_interval
from pipelines.records import Record
from pipelines.stages.prefer import Preferred
from pipelines.stages.report.plots import PreferencePoint
from pipelines.stages.snapshot import FeedbackSummary
from pipelines.suites.probes import Probe
from pipelines.suites.scores import GateInput, PreferenceMeasure, PreferenceScore

_FIGURES = {
    "chosen": "preferred answers, nats per token",
    "length": "answer length, tokens",
    "preferred_length": "preferred answers, tokens",
    "kl": "KL from the champion, nats per token",
    "refusals": "refusals",
    "agreement": "agreement with wrong claims",
}
_SHARES = ("refusals", "agreement")


class PreferenceSection(Record):
    """What a round found out about preferences.

    Attributes:
        method: dpo, kto, bco, or none where the stage was left out; `why` is the sentence of the choice.
        sources: examples made, by source; `used` and `dropped` count votes, corrections and comparisons by rule.
        notes: sentences on influence, such as the cap per person and why it is what it is.
        training: None where the stage was left out.
        measures: by role (origin, champion, candidate), see `preference_measures`.
    """

    method: str
    why: str
    sources: Mapping[str, int] = {}
    used: Mapping[str, int] = {}
    dropped: Mapping[str, int] = {}
    held_out: int = 0
    notes: tuple[str, ...] = ()
    training: PreferOutput | None = None
    measures: Mapping[str, PreferenceMeasure] = {}


class HeldoutPreference(Record):
    """Held-out preferences under the champion (before) and the candidate (after).

    Attributes:
        before, after: shares of `pairs` pairs whose preferred answer is the likelier one.
        lower, upper: one-sided 95 % bounds of after - before.
        moved: share of `labelled` answers that became likelier if voted up, less likely if voted down.
    """

    pairs: int
    before: float | None
    after: float | None
    lower: float | None
    upper: float | None
    labelled: int
    moved: float | None


def told_of(preferred: Preferred, feedback: FeedbackSummary, scores: GateInput) -> PreferenceSection:
    """What the report tells of a preference step."""
    sources = {**feedback.pairs, "lone": feedback.good + feedback.bad}
    if preferred.resampled:
        sources |= {"resample": preferred.resampled, "lone": sources["lone"] - preferred.resampled}
    return PreferenceSection(
        method=preferred.choice.method,
        why=preferred.choice.why,
        sources={name: n for name, n in sources.items() if n},
        used=feedback.used,
        dropped=feedback.dropped,
        held_out=sum(feedback.held_out.values()),
        notes=(f"Cap per rater: {feedback.cap.why}.", *((preferred.cohort.sentence,) if preferred.cohort else ())),
        training=preferred.trained,
        measures=preference_measures(scores),
    )


def preference_measures(scores: GateInput) -> dict[str, PreferenceMeasure]:
    """What was measured of preferences, by role; empty if nothing was."""
    roles = {"origin": scores.origin, "champion": scores.champion, "candidate": scores.candidate}
    return {role: model.preference for role, model in roles.items() if model.preference is not None}


def heldout_preference(champion: PreferenceMeasure, candidate: PreferenceMeasure) -> HeldoutPreference:
    """The same held-out preferences under both, paired."""
    both = list(zip(champion.items, candidate.items, strict=True))
    pairs = [(old, new) for old, new in both if new.prefers is not None]
    moved = [_moved(old, new) for old, new in both if new.prefers is None]
    before, after = (
        ([float(bool(item.prefers)) for item in side] for side in zip(*pairs, strict=True)) if pairs else ([], [])
    )
    clusters = [new.cluster or new.id for _, new in pairs]
    interval = paired_interval(after, before, clusters=clusters) if pairs else None
    return HeldoutPreference(
        pairs=len(pairs),
        before=_mean(before),
        after=_mean(after),
        lower=interval.lower if interval else None,
        upper=interval.upper if interval else None,
        labelled=len(moved),
        moved=_mean([float(way) for way in moved]),
    )


def read_curve(path: Path) -> list[PreferencePoint]:
    """Loss and margin by step, from the history of a preference run."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{key: row.get(key) or None for key in ("step", "loss", "margin")} for row in csv.DictReader(file)]
    return [PreferencePoint.model_validate(row) for row in rows if row["loss"] is not None]


def preference_json(told: PreferenceSection | None, curve: Sequence[PreferencePoint]) -> dict[str, Any] | None:
    """The section as JSON values."""
    if told is None:
        return None
    held = _heldout(told)
    return {
        **told.model_dump(mode="json", include={"method", "why", "sources", "used", "dropped", "held_out", "notes"}),
        "heldout_before": held.before if held else None,
        "heldout_after": held.after if held else None,
        "n": held.pairs if held else 0,
        "lower": held.lower if held else None,
        "upper": held.upper if held else None,
        "labelled": held.labelled if held else 0,
        "moved": held.moved if held else None,
        "probes": {role: measure.probe().model_dump(mode="json") for role, measure in told.measures.items()},
        "training": told.training.model_dump(mode="json") if told.training else None,
        "curve": [point.model_dump(mode="json") for point in curve],
    }


def preference_markdown(told: PreferenceSection) -> str:
    """The section for people, without its heading."""
    parts = [f"Method: **{told.method}**. {told.why}", *told.notes, _training(told.training), _heldout_sentence(told)]
    tables = [
        _table(
            ("examples from", "number", "what they are"), [(name, n, SOURCES[name]) for name, n in told.sources.items()]
        ),
        _table(("feedback", "number", "why"), _feedback(told)),
        _table(("what must not change", *told.measures), _probe_rows(told.measures)) if told.measures else "",
    ]
    return "\n\n".join(filter(None, parts)) + "\n\n" + "\n".join(filter(None, tables))


def _feedback(told: PreferenceSection) -> list[tuple[str, int, str]]:
    rows = [(f"used: {rule}", count, FEEDBACK_REASONS[rule]) for rule, count in told.used.items()]
    rows += [("held out", told.held_out, "kept apart for dev and measuring")]
    return rows + [(f"dropped: {rule}", count, FEEDBACK_REASONS[rule]) for rule, count in told.dropped.items()]


def _training(run: PreferOutput | None) -> str:
    if run is None:
        return ""
    end = (
        f"stopped at step {run.steps} of {run.planned_steps}, by {run.stopped_by}"
        if run.stopped_by
        else f"{run.steps} steps"
    )
    kept = f"; the weights of step {run.kept_step} were kept" if run.kept_step != run.steps else ""
    data = f"{run.pairs} pairs, {run.good} good and {run.bad} bad answers, {run.anchors} anchors"
    dev = (
        f"; dev pairs {_percent(run.dev_before)} before, {_percent(run.dev_after)} after"
        if run.dev_after is not None
        else ""
    )
    return f"{data}; {end}{kept}; loss {run.first_loss:.4f} to {run.last_loss:.4f}{dev}."


def _heldout(told: PreferenceSection) -> HeldoutPreference | None:
    champion, candidate = told.measures.get("champion"), told.measures.get("candidate")
    return heldout_preference(champion, candidate) if champion and candidate else None


def _heldout_sentence(told: PreferenceSection) -> str:
    if told.training is None:
        return "Preferences were not measured: the stage was left out."
    held = _heldout(told)
    if held is None or held.pairs + held.labelled == 0:
        return "Nothing was held out to measure preferences on."
    said = []
    if held.before is not None and held.after is not None and held.lower is not None and held.upper is not None:
        said.append(
            f"The preferred answer is the likelier one in {_percent(held.after)} of {held.pairs} held-out pairs, "
            f"{_percent(held.before)} before (difference {100 * held.lower:+.1f} to {100 * held.upper:+.1f} points at 95 % one-sided)."
        )
    if held.moved is not None:
        said.append(f"{_percent(held.moved)} of {held.labelled} held-out rated answers moved the way of their votes.")
    return " ".join(said)


def _probe_rows(measures: Mapping[str, PreferenceMeasure]) -> list[tuple[str, ...]]:
    probes = [measure.probe() for measure in measures.values()]
    return [(said, *(_figure(probe, name) for probe in probes)) for name, said in _FIGURES.items()]


def _figure(probe: Probe, name: str) -> str:
    value = getattr(probe, name)
    if value is None:
        return "not measured"
    return _percent(value) if name in _SHARES else f"{value:.3f}" if name in ("chosen", "kl") else f"{value:.1f}"


def _moved(old: PreferenceScore, new: PreferenceScore) -> bool:
    if new.chosen is not None and old.chosen is not None:
        return new.chosen > old.chosen
    return (new.rejected or 0.0) < (old.rejected or 0.0)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(map(str, row)) for row in rows)]
    return "".join(f"| {line} |\n" for line in lines)
