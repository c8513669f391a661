"""One turn of the wheel, top to bottom: var/rounds/0007/attempt-1/{snapshot,origin,mix,train,prefer,export,...}/manifest.json."""

from pipelines.artifacts import Attempt
from pipelines.context import Journal, RoundContext, RoundResult, StageContext
from pipelines.feedback.method import deciding
from pipelines.gate.outlook import check_gates
from pipelines.recipe import Recipe
from pipelines.records import Corpus
from pipelines.stages import evaluate, gate, mix, origin, prefer, snapshot, train
from pipelines.stages.export import export
from pipelines.stages.questions import PreferenceQuestions, Questions
from pipelines.stages.report import report
from pipelines.stages.runner import StageRunner
from pipelines.stages.sources import keyed_model, open_sources


def run_round(recipe: Recipe, attempt: Attempt, corpus: Corpus, context: RoundContext, journal: Journal) -> RoundResult:
    """One attempt at a round. A stage that an earlier, killed run finished on the same input is not run again.

    Raises:
        PerennialError: one sentence, whichever stage it came from; Cancelled when the claim is gone.
    """
    sources = open_sources(recipe, context)
    base, pools, claims, grown = sources.base, sources.pools, sources.claims, sources.training_base
    around = StageContext(context.models, context.scores, corpus, attempt.scratch, attempt.still_ours)
    check_gates(recipe, sources.suites.value.sizes)
    run = StageRunner(attempt, around, journal)

    # Who is asked: every conversation gets a place or a reason.
    method, longest = deciding(recipe.preference), recipe.train.max_tokens
    asking = snapshot.Input(
        select=recipe.select, chat=recipe.chat, method=method, max_tokens=longest, base=base, suites=sources.tasks
    )
    taken = run(snapshot, asking)
    if shortage := taken.output.shortage(context.min_new, recipe.min_examples):
        return RoundResult(outcome="skipped", reasons=(shortage,), counts=taken.output.sizes)
    check_gates(recipe, {**sources.suites.value.sizes, **taken.output.pair_sizes}, heldout=taken.output.heldout)

    # What the candidate will be held against; an origin below a gate's floor, or beyond judging, stops the round here.
    questions = Questions(evaluate=recipe.evaluate, suites=sources.suites, snapshot=taken)
    floors = tuple(rule for rule in recipe.gates if rule.needs_origin_first)
    asked = questions if floors else None
    holding = origin.Input(
        base=sources.base_folder,
        quantize=recipe.export.quantize,
        thinking=recipe.chat.thinking,
        floors=floors,
        questions=asked,
    )
    beginning = run(origin, holding).output
    champion = context.champion or beginning
    first, rival = keyed_model(beginning), keyed_model(champion)

    # What is trained on: new, replay and anchors by their shares; as ids here, as text only in scratch.
    mixture = run(mix, mix.Input(recipe=recipe, snapshot=taken, pools=pools, base=base))

    # Learning.
    learning = train.Input(
        mixture=mixture, pools=pools, base=grown, base_name=recipe.base.model, chat=recipe.chat, train=recipe.train
    )
    trained = run(train, learning)

    # Learning from thumbs, against the result so far; left out, with the reason, where there are too few.
    thumbs = prefer.Input(
        recipe=recipe,
        snapshot=taken,
        trained=trained,
        base=grown,
        pools=pools,
        claims=claims,
        sampled=keyed_model(context.sampler or beginning),
    )
    preferred = run(prefer, thumbs)
    liked = recipe.preference if preferred.output.trained else None

    # The exact bytes that would be served; dev items choose the adapter's scale.
    exporting = export.Input(
        export=recipe.export,
        chat=recipe.chat,
        training=recipe.train,
        base=grown,
        trained=trained,
        preferred=preferred,
        mixture=mixture,
        pools=pools,
        questions=questions,
        origin=first,
    )
    exported = run(export, exporting)

    # Three models, the same items, the same engine and settings as in serving.
    measuring = evaluate.Input(
        origin=first,
        champion=rival,
        candidate=exported,
        questions=questions,
        thumbs=PreferenceQuestions(probes=liked.probes, snapshot=taken, pools=pools, claims=claims) if liked else None,
        attempt=context.attempt,
        max_attempts=recipe.max_attempts,
    )
    measured = run(evaluate, measuring)

    # The decision, and the story of it.
    stops = liked.stops if liked else None
    judged = run(gate, gate.Input(measured=measured, exported=exported, gates=recipe.gates, stops=stops))
    story = report.Input(
        recipe=recipe,
        attempt=context.attempt,
        origin=beginning.id,
        champion=champion.id,
        passed_over=context.passed_over,
        snapshot=taken,
        mixture=mixture,
        trained=trained,
        preferred=preferred,
        exported=exported,
        measured=measured,
        judged=judged,
        seconds=run.seconds,
    )
    run(report, story)
    attempt.clear_scratch()
    return RoundResult(
        outcome=judged.output.outcome,
        reasons=judged.output.reasons,
        counts=taken.output.sizes,
        origin=beginning,
        candidate=exported.output.form_in(exported.folder),
        adapter=str(prefer.weights_of(trained, preferred)),
        verdict=judged.output,
    )
