"""The report stage: the story of an attempt, report.md for people, report.json for programs, pictures of loss and scores."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.artifacts import write_atomic
from pipelines.context import StageContext
from pipelines.recipe import Recipe
from pipelines.records import Record
from pipelines.stages import evaluate, gate, train
from pipelines.stages.contract import Finished
from pipelines.stages.export.form import Exported
from pipelines.stages.mix import MixOutput
from pipelines.stages.prefer import Preferred
from pipelines.stages.report.facts import JSON_FILE, Funnel, Lineage, LossPoint, ReportFacts
from pipelines.stages.report.plots import draw
from pipelines.stages.report.preference import preference_section, read_curve
from pipelines.stages.report.scores import ScoreRow
from pipelines.stages.report.text import as_markdown
from pipelines.stages.snapshot import SnapshotOutput, as_resampled
from pipelines.suites.scores import Cost, GateInput, LanguageMeasure


class Input(Record):
    """`origin`, `champion` and `passed_over` are model ids, `seconds` those of the stages before."""

    recipe: Recipe
    attempt: int
    origin: str
    champion: str
    passed_over: tuple[str, ...] = ()
    snapshot: Finished[SnapshotOutput]
    mixture: Finished[MixOutput]
    trained: Finished[train.Output]
    preferred: Finished[Preferred]
    exported: Finished[Exported]
    measured: Finished[evaluate.Output]
    judged: Finished[gate.Output]
    seconds: Mapping[str, float]


class Output(Record):
    """File names in the report's folder; pictures are empty where matplotlib is not installed."""

    markdown: str
    json_file: str
    pictures: tuple[str, ...]


def run(input: Input, out: Path, context: StageContext) -> Output:
    """Write report.md, report.json and, where matplotlib is installed, the pictures into `out`."""
    facts = gather(input)
    curve = facts.preference.curve if facts.preference else ()
    pictures = draw(facts.loss, list(facts.scores.values()), out, curve)
    write_atomic(out / JSON_FILE, facts.model_dump_json(indent=1))
    write_atomic(out / "report.md", as_markdown(facts, pictures))
    return Output(markdown="report.md", json_file=JSON_FILE, pictures=tuple(pictures))


def gather(input: Input) -> ReportFacts:
    """Everything that the stages found out, as one record."""
    scores = evaluate.scores_of(input.measured)
    preferred, mixture, verdict = input.preferred.output, input.mixture.output, input.judged.output
    snapshot = input.snapshot.output
    if preferred.replaced:
        snapshot = as_resampled(snapshot, input.snapshot.folder, preferred.replaced)
    curve = read_curve(input.preferred.folder / preferred.trained.history) if preferred.trained else []
    learns = input.recipe.preference is not None
    return ReportFacts(
        recipe=input.recipe.name,
        recipe_digest=input.recipe.digest,
        attempt=input.attempt,
        verdict=verdict.outcome,
        reasons=verdict.reasons,
        checks=verdict.checks,
        funnel=_funnel(snapshot, mixture),
        people=snapshot.people,
        per_user_cap=snapshot.cap,
        mixture=mixture.shares,
        examples=mixture.examples,
        tokens=mixture.tokens,
        contaminated_anchors=mixture.contaminated_anchors,
        unrendered_anchors=mixture.unrendered_anchors,
        families=mixture.families,
        training=input.trained.output,
        loss=tuple(read_losses(input.trained.folder / input.trained.output.loss_history)),
        preference=preference_section(preferred, snapshot.feedback, scores, curve) if learns else None,
        export=input.exported.output,
        scores={_name(row, input.measured.output.rows): row for row in input.measured.output.rows},
        language=_language(scores),
        lineage=Lineage(
            kind=input.recipe.lineage, origin=input.origin, champion=input.champion, passed_over=input.passed_over
        ),
        regression=snapshot.regression,
        cost=_cost(scores),
        seconds={**input.seconds, "total": sum(input.seconds.values())},
    )


def read_losses(path: Path) -> list[LossPoint]:
    """The loss history of a training run, in steps."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{key: row[key] or None for key in ("step", "loss", "dev_loss")} for row in csv.DictReader(file)]
    return [LossPoint.model_validate(row) for row in rows]


def _funnel(snapshot: SnapshotOutput, mixture: MixOutput) -> Funnel:
    """The counts from what came in to what was trained on; what the mixture had no room for is left out as well."""
    left_out = dict(snapshot.left_out)
    for reason, count in mixture.left_out.items():
        left_out[reason] = left_out.get(reason, 0) + count
    return Funnel(
        received=snapshot.received,
        clean=snapshot.clean,
        examples=mixture.examples.get("new", 0) + mixture.examples.get("replay", 0),
        new=snapshot.new,
        replay=snapshot.replay,
        dev=snapshot.dev,
        heldout=snapshot.heldout,
        rejected=snapshot.rejected,
        left_out=left_out,
        feedback=snapshot.feedback,
        altered=snapshot.altered,
    )


def _language(scores: GateInput) -> dict[str, LanguageMeasure]:
    """How the models' answers look, by role; empty if the recipe does not measure it."""
    roles = {"origin": scores.origin, "champion": scores.champion, "candidate": scores.candidate}
    return {role: measured.language.shares for role, measured in roles.items() if measured.language is not None}


def _cost(scores: GateInput) -> dict[str, Cost]:
    """What serving each model takes, by role, without the probes."""
    roles = {"origin": scores.origin, "champion": scores.champion, "candidate": scores.candidate}
    costs = {role: measured.cost for role, measured in roles.items() if measured.cost is not None}
    return {role: cost.model_copy(update={"probes": ()}) for role, cost in costs.items()}


def _name(row: ScoreRow, rows: Sequence[ScoreRow]) -> str:
    """The suite's name; with its metric where a suite has several."""
    return row.suite if sum(other.suite == row.suite for other in rows) == 1 else f"{row.suite}/{row.metric}"
