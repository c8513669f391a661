"""The story of an attempt: report.md for people, report.json for programs, pictures of loss and scores.

report.json:
    {"recipe": "tiny", "attempt": 1, "verdict": "pass", "reasons": ["..."], "funnel": {"received": 640, ...},
     "mixture": [...], "scores": {"tiny_math": {"origin": 90.1, "candidate": 90.3, "difference": 0.2, ...}}, ...}
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.artifacts import write_atomic
from pipelines.backends.base import TrainOutput
from pipelines.feedback.reasons import CONVERSATION_REASONS, FEEDBACK_REASONS
from pipelines.gate.decide import Verdict
from pipelines.recipe import Recipe
from pipelines.records import Record
from pipelines.stages.evaluate import EvaluateOutput
from pipelines.stages.export import Exported
from pipelines.stages.mix import MixOutput
from pipelines.stages.report.plots import LossPoint, PreferencePoint, draw
from pipelines.stages.report.preference import PreferenceSection, preference_json, preference_markdown, read_curve
from pipelines.stages.report.scores import ScoreRow, score_table
from pipelines.stages.snapshot import FeedbackSummary, SnapshotOutput
from pipelines.suites.scores import GateInput, LanguageMeasure


class ReportFacts(Record):
    """Everything an attempt found out.

    `origin` and `champion` are model ids, `language` goes by role (empty if it was not measured), `seconds` by stage.
    `preference` is None where the recipe has no preference stage.
    """

    recipe: Recipe
    attempt: int
    origin: str
    champion: str
    snapshot: SnapshotOutput
    mixture: MixOutput
    training: TrainOutput
    candidate: Exported
    evaluation: EvaluateOutput
    verdict: Verdict
    language: Mapping[str, LanguageMeasure]
    seconds: Mapping[str, float]
    preference: PreferenceSection | None = None


class ReportOutput(Record):
    """File names in the report's folder; pictures are empty where matplotlib is not installed."""

    markdown: str
    json_file: str
    pictures: tuple[str, ...]


def report(told: ReportFacts, loss_history: Path, out: Path, preference_history: Path | None = None) -> ReportOutput:
    """Write report.md, report.json and, where matplotlib is installed, the pictures into `out`.

    `preference_history` is the CSV of a preference run, if there was one.
    """
    losses = read_losses(loss_history)
    curve = read_curve(preference_history) if preference_history else []
    pictures = draw(losses, told.evaluation.rows, out, curve)
    write_atomic(out / "report.json", json.dumps(as_json(told, losses, curve), ensure_ascii=False, indent=1))
    write_atomic(out / "report.md", as_markdown(told, losses, pictures))
    return ReportOutput(markdown="report.md", json_file="report.json", pictures=tuple(pictures))


def language_of(scores: GateInput) -> dict[str, LanguageMeasure]:
    """How the models' answers look, by role; empty if the recipe does not measure it."""
    roles = {"origin": scores.origin, "champion": scores.champion, "candidate": scores.candidate}
    return {role: measured.language for role, measured in roles.items() if measured.language is not None}


def read_losses(path: Path) -> list[LossPoint]:
    """The loss history of a training run, in steps."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{key: row[key] or None for key in ("step", "loss", "dev_loss")} for row in csv.DictReader(file)]
    return [LossPoint.model_validate(row) for row in rows]


def as_json(told: ReportFacts, losses: Sequence[LossPoint], curve: Sequence[PreferencePoint] = ()) -> dict[str, Any]:
    """The report as JSON values: ids and numbers, no text of users."""
    return {
        "recipe": told.recipe.name,
        "recipe_digest": told.recipe.digest,
        "attempt": told.attempt,
        "verdict": told.verdict.outcome,
        "reasons": list(told.verdict.reasons),
        "checks": [check.model_dump(mode="json") for check in told.verdict.checks],
        "funnel": _funnel(told),
        "per_user_cap": told.snapshot.cap.model_dump(mode="json") if told.snapshot.cap else None,
        "mixture": [share.model_dump(mode="json") for share in told.mixture.shares],
        "tokens": dict(told.mixture.tokens),
        "contaminated_anchors": dict(told.mixture.contaminated_anchors),
        "families": told.mixture.model_dump(mode="json")["families"],
        "training": told.training.model_dump(mode="json"),
        "loss": [point.model_dump(mode="json") for point in losses],
        "preference": preference_json(told.preference, curve),
        "export": told.candidate.model_dump(mode="json"),
        "scores": {_name(row, told.evaluation.rows): row.model_dump(mode="json") for row in told.evaluation.rows},
        "language": {role: measure.model_dump(mode="json") for role, measure in told.language.items()},
        "lineage": {"kind": told.recipe.lineage, "origin": told.origin, "champion": told.champion},
        "seconds": {**told.seconds, "total": sum(told.seconds.values())},
    }


def as_markdown(told: ReportFacts, losses: Sequence[LossPoint], pictures: Sequence[str]) -> str:
    """The same for people, in the order in which the round went."""
    said = "".join(f"- {reason}\n" for reason in told.verdict.reasons)
    parts = [
        f"# {told.recipe.name}, attempt {told.attempt}: {told.verdict.outcome}\n\n{said}",
        f"## Lineage\n\n{_lineage(told)}",
        f"## Funnel\n\n{_funnel_table(told)}",
        f"## Feedback\n\n{_feedback(told.snapshot.feedback)}",
        f"## Mixture\n\n{_mixture_table(told)}",
        f"## Training\n\n{_training(told, losses)}",
        *([f"## Preferences\n\n{preference_markdown(told.preference)}"] if told.preference else []),
        f"## Scores\n\nPercentage points; bounds are one-sided.\n\n{score_table(told.evaluation.rows)}",
        f"## Gate\n\n{_gate(told)}",
        *([f"## Language\n\n{_language(told)}"] if told.language else []),
        f"## Seconds\n\n{_table(('stage', 'seconds'), _seconds(told))}",
        *(f"![{picture.removesuffix('.png')}]({picture})\n" for picture in pictures),
    ]
    return "\n".join(parts)


def _funnel(told: ReportFacts) -> dict[str, Any]:
    """The counts from what came in to what was trained on; what the mixture had no room for is left out as well."""
    taken, mixed = told.snapshot, told.mixture.left_out
    left_out = dict(taken.left_out)
    for reason, count in mixed.items():
        left_out[reason] = left_out.get(reason, 0) + count
    trained = told.mixture.examples.get("new", 0) + told.mixture.examples.get("replay", 0)
    feedback = taken.feedback.model_dump(mode="json")
    return {
        **taken.sizes,
        "examples": trained,
        "rejected": dict(taken.rejected),
        "left_out": left_out,
        "feedback": feedback,
    }


def _lineage(told: ReportFacts) -> str:
    kind = {
        "from_origin": "One fresh adapter on the origin, from everything still consented.",
        "sequential": "One fresh adapter on the merged champion, with replay.",
    }[told.recipe.lineage]
    cap = told.snapshot.cap
    capped = (
        f"One person may fill at most {100 * cap.share:.2g} % of the user part ({cap.tokens:.0f} tokens; {cap.people} people)."
        if cap
        else f"No cap per person: {told.snapshot.people} people are too few for one, or the recipe allows everything."
    )
    return f"{kind} Origin `{told.origin}`, champion `{told.champion}`. {capped}\n"


def _funnel_table(told: ReportFacts) -> str:
    funnel = _funnel(told)
    rows = [("received", funnel["received"], "")]
    rows += [(f"rejected: {rule}", -count, "") for rule, count in sorted(funnel["rejected"].items())]
    rows += [("clean", funnel["clean"], "")]
    rows += [
        (f"left out: {reason}", -count, CONVERSATION_REASONS.get(reason, ""))
        for reason, count in sorted(funnel["left_out"].items())
    ]
    rows += [(name, -funnel[name], CONVERSATION_REASONS[name]) for name in ("dev", "heldout")]
    rows += [("examples", funnel["examples"], f"{told.mixture.examples.get('new', 0)} new")]
    return _table(("step", "conversations", "why"), rows)


def _feedback(summary: FeedbackSummary) -> str:
    """What became of every vote, correction and comparison, by source and by rule, with the rule's sentence."""
    made = {source: f"{count} pairs" for source, count in summary.pairs.items()}
    made["lone"] = f"{summary.good} good and {summary.bad} bad answers"
    rows: list[tuple[object, ...]] = [("received", summary.received, "votes, corrections and comparisons")]
    rows += [(f"used: {source}", count, made.get(source, "")) for source, count in summary.used.items()]
    rows += [(f"held out: {source}", count, FEEDBACK_REASONS[source]) for source, count in summary.held_out.items()]
    rows += [(f"dropped: {rule}", count, FEEDBACK_REASONS[rule]) for rule, count in summary.dropped.items()]
    kept = f"Kept apart: {summary.dev} items to choose settings, {summary.heldout} to measure the result."
    return (
        f"Cap per rater: {summary.cap.why}. {kept}{_cohort(summary)}\n\n{_table(('feedback', 'pieces', 'why'), rows)}"
    )


def _cohort(summary: FeedbackSummary) -> str:
    group = summary.cohort
    if group is None:
        return ""
    return f" The most influential group of accounts are {len(group.raters)}, with {100 * group.share:.1f} % of the weight."


def _mixture_table(told: ReportFacts) -> str:
    rows = [
        (
            s.source,
            f"{100 * s.asked:.1f} %",
            f"{100 * s.reached:.1f} %",
            s.tokens,
            s.examples,
            s.distinct,
            s.most_repeats,
            s.shortfall_tokens or "",
        )
        for s in told.mixture.shares
    ]
    head = ("source", "asked", "reached", "tokens", "examples", "distinct", "most repeats", "tokens short")
    tokens = ", ".join(f"{source} {count}" for source, count in told.mixture.tokens.items())
    pasted = ", ".join(f"{pool} {count}" for pool, count in told.mixture.contaminated_anchors.items())
    warned = f" Anchors that repeat an item of a suite and were not used: {pasted}." if pasted else ""
    return f"{_table(head, rows)}\nTrained tokens by source: {tokens}.{warned}\n"


def _training(told: ReportFacts, losses: Sequence[LossPoint]) -> str:
    run, made = told.training, told.candidate
    end = f"stopped early at step {run.steps} of {run.planned_steps}" if run.stopped_early else f"{run.steps} steps"
    best = f", best dev loss {run.best_dev_loss:.4f} at step {run.best_step}" if run.best_dev_loss is not None else ""
    speed = f"{run.tokens} tokens ({run.trained_tokens} with loss), {run.tokens_per_second:.0f} per second"
    memory = f"peak memory {run.peak_memory_bytes / 2**20:.0f} MiB"
    shown = [
        (point.step, _number(point.loss), _number(point.dev_loss)) for point in losses[:: max(1, len(losses) // 12)]
    ]
    agreement = f"; {', '.join(f'{name} {value:.4g}' for name, value in made.agreement)}" if made.agreement else ""
    exported = f"Exported as {made.form.kind} {made.form.quantization}, {made.size_bytes / 1e6:.1f} MB, adapter scale {made.scale:g}{agreement}."
    return f"{end}{best}; {speed}; {memory}.\n\n{_table(('step', 'loss', 'dev loss'), shown)}\n{exported}\n"


def _gate(told: ReportFacts) -> str:
    rows = [(c.suite, c.criterion, c.baseline or "", c.outcome, c.n or "", c.needed or "") for c in told.verdict.checks]
    return _table(("suite", "criterion", "against", "outcome", "items", "items needed"), rows)


def _language(told: ReportFacts) -> str:
    rows = [
        (
            role,
            measure.answers,
            *(f"{100 * share:.1f} %" for share in (measure.target, measure.third, measure.gibberish, measure.short)),
        )
        for role, measure in told.language.items()
    ]
    return _table(("model", "answers", "in the prompt's script", "third scripts", "gibberish", "too short"), rows)


def _seconds(told: ReportFacts) -> list[tuple[str, str]]:
    rows = [(stage, f"{seconds:.1f}") for stage, seconds in told.seconds.items()]
    return [*rows, ("total", f"{sum(told.seconds.values()):.1f}")]


def _name(row: ScoreRow, rows: Sequence[ScoreRow]) -> str:
    """The suite's name; with its metric where a suite has several."""
    return row.suite if sum(other.suite == row.suite for other in rows) == 1 else f"{row.suite}/{row.metric}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(str(cell) for cell in row) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
