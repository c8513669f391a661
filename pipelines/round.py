"""One turn of the wheel, top to bottom: var/rounds/0007/attempt-1/{snapshot,origin,mix,train,prefer,export,...}/manifest.json."""

from datetime import UTC, datetime
from pathlib import Path

from pipelines.artifacts import Attempt, read_records
from pipelines.context import Baseline, Journal, RoundContext, RoundResult, StageContext
from pipelines.feedback.method import chosen_by
from pipelines.mixture.text import MixedText, materialise
from pipelines.recipe import Recipe
from pipelines.records import Corpus, PreferenceItem, SnapshotItem
from pipelines.stages import gate, train
from pipelines.stages.baseline import prepare_origin
from pipelines.stages.evaluate import EvaluateOutput, EvaluateRequest, evaluate
from pipelines.stages.export.form import Exported, ExportRequest, export_candidate
from pipelines.stages.mix import MixOutput, mix
from pipelines.stages.prefer import Preferred
from pipelines.stages.report import report
from pipelines.stages.runner import StageRunner
from pipelines.stages.snapshot import SnapshotOutput, as_resampled, snapshot
from pipelines.stages.sources import Sources
from pipelines.suites.run import form_digest
from pipelines.tools import gather_tools


def run_round(recipe: Recipe, attempt: Attempt, corpus: Corpus, context: RoundContext, journal: Journal) -> RoundResult:
    """One attempt at a round. A stage that an earlier, killed run finished on the same input is not run again.

    Raises:
        PerennialError: one sentence, whichever stage it came from; Cancelled when the claim is gone.
    """
    tools, sources = gather_tools(recipe, context), Sources(recipe, context)
    surroundings = StageContext(context.models, context.scores, corpus, attempt.scratch, attempt.still_ours)
    run = StageRunner(attempt, surroundings, journal)

    # Who is asked: every conversation gets a place or a reason.
    def take_snapshot(out: Path) -> SnapshotOutput:
        return snapshot(corpus, recipe.select, out, tools.selector, now=datetime.now(UTC), rule=recipe.preference)

    suites, method_rule = tools.selector.suite_digests, chosen_by(tools.preference_rule, recipe.train.max_tokens)
    seen = run.by_reads("snapshot", SnapshotOutput, take_snapshot, recipe.select, recipe.base, suites, method_rule)
    taken = seen.output
    if shortage := _shortage(taken, recipe, context.min_new):
        return RoundResult(outcome="skipped", reasons=(shortage,), counts=taken.sizes)
    items = list(read_records(seen.folder / taken.items, SnapshotItem))
    gate_items = tools.gate_items(items, corpus)

    # What the candidate will be held against; an origin below a gate's floor stops the round here.
    def prepare(out: Path) -> Baseline:
        prepared = prepare_origin(tools.base, recipe.export.quantize, context.models)
        tools.hold_to_floors(prepared, gate_items, out)
        return prepared

    origin = run.by_reads("origin", Baseline, prepare, recipe.base, recipe.export.quantize, suites).output
    champion = context.champion or origin

    # What is trained on: new, replay and anchors by their shares; as ids here, as text only in scratch.
    def mix_examples(out: Path) -> MixOutput:
        count, seed = tools.count_trained, recipe.train.seed
        return mix(items, tools.pools, recipe, count, out, seed, corpus=corpus, scratch=attempt.scratch)

    mixture = run.by_reads("mix", MixOutput, mix_examples, taken.digest, recipe, sources.pools.digest)
    mixed = mixture.output

    def text() -> MixedText:
        plan, expected = mixture.folder / mixed.plan, mixed.text_sha256
        return materialise(plan, corpus, tools.pools, attempt.scratch, expected_sha256=expected)

    # Learning.
    learning = train.Input(
        mixture=mixture,
        pools=sources.pools,
        base=sources.training_base,
        base_name=recipe.base.model,
        train=recipe.train,
    )
    training = run(train, learning)
    trained, weights = training.output, training.folder / training.output.weights

    # Learning from thumbs, against the result so far; left out, with the reason, where there are too few.
    rated = list(read_records(seen.folder / taken.preferences, PreferenceItem))
    thumbs = tools.preference(rated, corpus, champion, attempt.scratch, taken.feedback.cohort)

    def learn_from_thumbs(out: Path) -> Preferred:
        return thumbs.run(tools.training_base(attempt.scratch), weights, out, attempt.still_ours)

    thumbed = run.by_reads(
        "prefer", Preferred, learn_from_thumbs, taken.digest, thumbs.rule, training.digest, form_digest(champion.form)
    )
    preferred = thumbed.output
    taken = as_resampled(taken, seen.folder, preferred.replaced)
    if preferred.trained:
        weights = thumbed.folder / preferred.trained.weights
        gate_items = gate_items.model_copy(update={"preference": thumbs.ask()})

    # The exact bytes that would be served; dev items choose the adapter's scale.
    def export(out: Path) -> Exported:
        whole = trained.kind == "full"
        request = ExportRequest(
            base=weights if whole else tools.training_base(attempt.scratch),
            adapter=None if whole else weights,
            out=out,
            settings=recipe.export,
            trained_on="nf4" if recipe.train.method == "qlora" else "full",
            target=recipe.train.lora.target,
            origin=Path(origin.form.path),
            prompts=tuple(tools.prompts(text())),
        )
        return export_candidate(request, lambda forms: tools.best_on_dev(forms, origin, items, corpus, out))

    export_stage = run.by_reads(
        "export", Exported, export, training.digest, thumbed.digest, recipe.export, recipe.evaluate.dev_items
    )
    exported = export_stage.output
    candidate = exported.form_in(export_stage.folder)

    # Three models, the same items, the same engine and settings as in serving.
    def measure(out: Path) -> EvaluateOutput:
        request = EvaluateRequest(
            origin=origin.form,
            champion=champion.form,
            candidate=candidate,
            measurement=gate_items,
            attempt=context.attempt,
            max_attempts=recipe.max_attempts,
        )
        return evaluate(request, out, suites=tools.suites, cache=context.scores)

    scored = run.by_reads(
        "evaluate", EvaluateOutput, measure, export_stage.digest, form_digest(champion.form), recipe.evaluate
    )

    # The decision, and the story of it.
    stops = thumbs.rule.stops if preferred.trained else None
    judged = run(gate, gate.Input(measured=scored, exported=export_stage, gates=recipe.gates, stops=stops))
    verdict = judged.output

    story = report.Input(
        recipe=recipe,
        attempt=context.attempt,
        origin=origin.id,
        champion=champion.id,
        snapshot=seen,
        mixture=mixture,
        trained=training,
        preferred=thumbed,
        exported=export_stage,
        measured=scored,
        judged=judged,
        seconds=run.seconds,
    )
    run(report, story)
    attempt.clear_scratch()
    return RoundResult(
        outcome=verdict.outcome,
        reasons=verdict.reasons,
        counts=taken.sizes,
        origin=origin,
        candidate=candidate,
        adapter=str(weights),
        verdict=verdict,
    )


def _shortage(taken: SnapshotOutput, recipe: Recipe, min_new: int) -> str | None:
    """Why there is too little to learn from, with the counts; None if there is enough."""
    if taken.new < min_new:
        return f"skipped: {taken.new} new examples, and the schedule asks for at least {min_new}"
    if taken.examples < recipe.min_examples:
        return f"skipped: {taken.examples} examples ({taken.new} new), and the recipe asks for {recipe.min_examples}"
    return None
