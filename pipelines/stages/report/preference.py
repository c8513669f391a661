"""What a round found out about preferences, gathered from the preference stage, the snapshot and the scores."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.gate.statistics import paired_interval
from pipelines.stages.prefer import Preferred
from pipelines.stages.report.facts import PreferencePoint, PreferenceSection
from pipelines.stages.snapshot import FeedbackSummary
from pipelines.suites.scores import GateInput, PreferenceMeasure, PreferenceScore


def preference_section(
    preferred: Preferred, feedback: FeedbackSummary, scores: GateInput, curve: Sequence[PreferencePoint] = ()
) -> PreferenceSection:
    """What the report says of learning from thumbs; `curve` is the run's history, if it trained."""
    sources = {**feedback.pairs, "lone": feedback.good + feedback.bad}
    if preferred.resampled:
        sources |= {"resample": preferred.resampled, "lone": sources["lone"] - preferred.resampled}
    roles = {"origin": scores.origin, "champion": scores.champion, "candidate": scores.candidate}
    measures = {role: model.preference for role, model in roles.items() if model.preference is not None}
    section = PreferenceSection(
        method=preferred.choice.method,
        why=preferred.choice.why,
        sources={name: n for name, n in sources.items() if n},
        used=feedback.used,
        dropped=feedback.dropped,
        held_out=sum(feedback.held_out.values()),
        notes=(f"Cap per rater: {feedback.cap.why}.", *((preferred.cohort.sentence,) if preferred.cohort else ())),
        probes={role: measure.probe() for role, measure in measures.items()},
        training=preferred.trained,
        curve=tuple(curve),
    )
    if "champion" in measures and "candidate" in measures:
        return section.model_copy(update=heldout_figures(measures["champion"], measures["candidate"]))
    return section


def heldout_figures(champion: PreferenceMeasure, candidate: PreferenceMeasure) -> dict[str, Any]:
    """The fields of a PreferenceSection on held-out preferences: the same ones under both models, paired."""
    both = list(zip(champion.items, candidate.items, strict=True))
    pairs = [(old, new) for old, new in both if new.prefers is not None]
    moved = [float(_moved(old, new)) for old, new in both if new.prefers is None]
    labelled = {"labelled": len(moved), "moved": _mean(moved) if moved else None}
    if not pairs:
        return labelled
    before, after = ([float(bool(item.prefers)) for item in side] for side in zip(*pairs, strict=True))
    interval = paired_interval(after, before, clusters=[new.cluster or new.id for _, new in pairs])
    return labelled | {
        "n": len(pairs),
        "heldout_before": _mean(before),
        "heldout_after": _mean(after),
        "lower": interval.lower,
        "upper": interval.upper,
    }


def read_curve(path: Path) -> list[PreferencePoint]:
    """Loss and margin by step, from the history of a preference run."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{key: row.get(key) or None for key in ("step", "loss", "margin")} for row in csv.DictReader(file)]
    return [PreferencePoint.model_validate(row) for row in rows if row["loss"] is not None]


def _moved(old: PreferenceScore, new: PreferenceScore) -> bool:
    if new.chosen is not None and old.chosen is not None:
        return new.chosen > old.chosen
    return (new.rejected or 0.0) < (old.rejected or 0.0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
