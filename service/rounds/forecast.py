"""`perennial plan`: what a round of a recipe would be with today's data. Reads, counts, starts nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.anchors.sets import set_of
from pipelines.backends.base import Machine, Pace
from pipelines.backends.fetch import BaseFolder
from pipelines.backends.launch import look_at_machine
from pipelines.errors import DataError, PerennialError, RecipeError
from pipelines.feedback.select import renders_always
from pipelines.forecast.hours import ExampleSize, RoundWork, Speed, TrainingWork, stage_times, training_seconds
from pipelines.forecast.machine import with_wired_limit
from pipelines.forecast.memory import memory_outlook
from pipelines.forecast.model_size import shape_of
from pipelines.forecast.plan import REFUSED, Plan
from pipelines.forecast.preference import count_thumbs
from pipelines.forecast.round import Stock, forecast
from pipelines.gate.disagreement import Disagreement, read_disagreement
from pipelines.gate.outlook import GateOutlook, gate_outlooks
from pipelines.isolated import run_in_child
from pipelines.mixture.anchors import AnchorPool, Pools
from pipelines.recipe import GUARD_SUITE, Recipe, Train
from pipelines.stages.baseline import base_digest, set_base
from pipelines.stages.snapshot import Selector, SnapshotOutput, preview
from pipelines.suites.folder import SuiteFolder, open_folders
from pipelines.tokenizer import ChatTokenizer
from service.corpus import StoreCorpus
from service.room import free_bytes
from service.rounds.permission import check_base_is_here
from service.rounds.timing import count_items, find_pace, item_characters, sample_examples, seen_speed, stage_rates
from service.settings import Settings
from service.store import rounds
from service.store.models import has_origin
from service.store.session import Store
from service.vault import Vault

_INSPECT = "pipelines.bases.inspect:inspect_in_this_process"
_INSPECT_SECONDS = 120.0
_CHARACTERS_PER_TOKEN = 3  # a rough mean of Korean and English, where the model's tokenizer is not here


def plan_recipe(
    settings: Settings,
    store: Store,
    vault: Vault,
    recipe: Recipe,
    *,
    timed: bool = False,
    elsewhere: Machine | None = None,
) -> Plan:
    """The forecast with what selection would take now; contamination is not checked, so it may be a little high.

    Without the base model's folder tokens are estimated at three characters each.

    Args:
        timed: time a few training steps where no earlier forecast of this base and these settings did.
        elsewhere: a machine other than this one; memory is reckoned for it, and hours are not told.

    Raises:
        ModelError: no chat can be learnt under the base model's template.
    """
    base = _base(settings, recipe)
    unfit = _unfit(settings, recipe, base)
    pools, unwatched = _anchors(settings, recipe, base)
    tokenizer = _tokenizer(base, recipe)
    count = _counter(tokenizer)
    with store.read() as session:
        phase = recipe.phase(rounds.promoted_rounds(session, recipe.name))
        _, lineage = rounds.champion_lineage(session)
        seen = frozenset(rounds.seen_conversations(session, lineage))
    corpus = StoreCorpus(store, vault, seen)
    taken = _take(corpus, phase, tokenizer)
    new = _stock(taken, "new")
    missing = phase.min_examples - taken.examples
    machine, refused = (elsewhere, ()) if elsewhere else _machine(phase.train)
    plan = forecast(
        phase,
        new=new if missing <= 0 else _enough(phase, new, missing),
        replay=_stock(taken, "replay"),
        anchors={name: _pool_stock(pool, count) for name, pool in pools.items()},
        base=base,
        machine=machine,
        thumbs=count_thumbs(corpus.candidates()) if phase.preference else None,
        free_bytes=None if elsewhere else max(0, free_bytes(settings) - settings.min_free_bytes),
    )
    short = (
        f"the round would be skipped now: {taken.examples} examples, and the recipe asks for {phase.min_examples}; "
        "everything above is for that number"
    )
    limits = tokenizer.limits() if tokenizer else ()
    measured = _disagreement(settings, store, recipe)
    suites, gates, unusable = _gates(settings, phase, None if missing > 0 else taken, measured)
    warnings = (*([short] if missing > 0 else []), *unfit, *refused, *unwatched, *limits, *unusable, *plan.warnings)
    left_out = {**taken.rejected, **taken.left_out}
    plan = plan.model_copy(
        update={"warnings": warnings, "left_out": left_out, "altered": taken.altered, "gates": gates}
    )
    if elsewhere is not None:
        return plan.model_copy(update={"untimed": "not told for another machine; ask there, where a step can be timed"})
    if base is None or tokenizer is None or machine is None:
        return plan.model_copy(update={"untimed": "not told: it takes the base, and a machine that can train it"})
    fits = plan.memory is None or plan.memory.fits  # a step that does not fit may take the whole machine with it
    pace, untimed = find_pace(settings, base, phase.train, timed=timed and fits and not plan.refused)
    sample = () if pace is None else sample_examples(corpus, pools, tokenizer, plan, phase.train.max_tokens)
    looked = _Looked(phase, taken, suites, sample)
    return _with_times(settings, store, plan, looked, base, machine, pace, untimed)


@dataclass(frozen=True)
class _Looked:
    """What a forecast of the time goes by, besides the plan."""

    phase: Recipe
    taken: SnapshotOutput
    suites: SuiteFolder
    sample: tuple[ExampleSize, ...]


def _with_times(
    settings: Settings,
    store: Store,
    plan: Plan,
    looked: _Looked,
    base: Path,
    machine: Machine,
    pace: Pace | None,
    untimed: str,
) -> Plan:
    """The plan with how long its stages take, and with what a row was seen to need."""
    phase, taken = looked.phase, looked.taken
    with store.read() as session:
        rates = stage_rates(session, settings, phase, looked.suites.sizes)
        origin_ready = has_origin(session, phase.name)
        speed = Speed(pace.read, pace.start) if pace else seen_speed(session, settings, phase)
    amounts = {
        "snapshot": taken.received,
        "mix": sum(plan.examples.values()),
        "train": sum(plan.tokens.values()) * plan.epochs,
        "prefer": plan.preference.answers if plan.preference else 0,
        "evaluate": count_items(phase, looked.suites.sizes, taken.heldout),
    }
    work = RoundWork(
        amounts=amounts,
        parameters=plan.parameters,
        origin_ready=origin_ready,
        item_characters=item_characters(phase, looked.suites),
    )
    known = {}
    if pace is not None and looked.sample:
        early = phase.train.early_stopping is not None
        reading = TrainingWork(
            sample=looked.sample, steps=plan.steps, looks=plan.evaluations + early, dev_examples=_dev(plan, taken)
        )
        known = {"train": training_seconds(phase.train, reading, pace)}
    times = stage_times(work, rates, speed, known)
    shape, memory = shape_of(phase.base.model, base), plan.memory
    if shape is not None and pace is not None:
        longest = max((one.tokens for one in looked.sample), default=None)
        memory = memory_outlook(phase.train, shape, machine, longest, measured=pace.memory_bytes)
    return plan.model_copy(update={"times": times, "untimed": untimed, "memory": memory})


def _dev(plan: Plan, taken: SnapshotOutput) -> int:
    """Dev examples: those of users, and anchors in the mixture's proportions."""
    users = sum(count for name, count in plan.examples.items() if name in ("user", "new", "replay"))
    return round(taken.dev * sum(plan.examples.values()) / users) if users else 0


def preview_recipe(settings: Settings, store: Store, vault: Vault, recipe: Recipe) -> SnapshotOutput:
    """What selection of the recipe's first phase would take of everything that is stored, as new data."""
    base = _base(settings, recipe)
    return _take(StoreCorpus(store, vault), recipe.phase(0), _tokenizer(base, recipe))


def _base(settings: Settings, recipe: Recipe) -> Path | None:
    """The base model's folder, if it is here."""
    folder = settings.project / recipe.base.model
    return folder if (folder / "config.json").is_file() else None


def _unfit(settings: Settings, recipe: Recipe, base: Path | None) -> tuple[str, ...]:
    """Why the round would be refused for its base: it is not here and not on the hub, or cannot be trained or converted."""
    try:
        if base is None:
            check_base_is_here(settings, recipe)
        else:
            run_in_child(_INSPECT, {"folder": str(base)}, timeout_seconds=_INSPECT_SECONDS)
    except PerennialError as error:
        return (f"{REFUSED}{error}",)
    return ()


def _tokenizer(base: Path | None, recipe: Recipe) -> ChatTokenizer | None:
    """The base model's tokenizer, if it is here. Raises ModelError where its template cannot be trained with."""
    if base is None:
        return None
    tokenizer = ChatTokenizer(base, recipe.chat)
    tokenizer.check_template()
    return tokenizer


def _anchors(settings: Settings, recipe: Recipe, base: Path | None) -> tuple[Pools, tuple[str, ...]]:
    """The pools of the recipe's set, and what is not measured for want of one, or why the round would be refused for it.

    Of a base that is not here only the name is checked.
    """
    try:
        opened = set_of(recipe, settings.project, settings.anchors)
        if opened is not None and base is None:
            opened.check_name(recipe)
        elif opened is not None and base is not None:
            opened.check_fits(set_base(BaseFolder(folder=base), base_digest(base)), recipe.name)
    except (RecipeError, DataError) as error:
        return {}, (f"{REFUSED}{error}",)
    if opened is None:
        watched = "wrong claims, frozen prompts and language" if recipe.preference else "language"
        return {}, (f"{watched}: not measured, since the recipe names no set of anchors",)
    return opened.pools(), ()


def _take(corpus: StoreCorpus, phase: Recipe, tokenizer: ChatTokenizer | None) -> SnapshotOutput:
    selector = Selector(
        count_tokens=_counter(tokenizer),
        find_contaminated=lambda texts: [None] * len(texts),
        renders=tokenizer.can_render if tokenizer else renders_always,
    )
    return preview(corpus, phase.select, selector, now=datetime.now(UTC), rule=phase.preference)


def _enough(recipe: Recipe, new: Stock, missing: int) -> Stock:
    """As many examples as the recipe asks for; those that are not there yet are as long as the others, or as allowed."""
    shortest, longest = recipe.select.response_tokens
    mean = new.tokens / new.examples if new.examples else (shortest + longest) / 2
    return Stock(examples=new.examples + missing, tokens=new.tokens + round(missing * mean))


def _counter(tokenizer: ChatTokenizer | None) -> Callable[[str], int]:
    if tokenizer is None:
        return lambda text: max(1, len(text) // _CHARACTERS_PER_TOKEN)
    return tokenizer.count


def _stock(taken: SnapshotOutput, source: str) -> Stock:
    return Stock(examples=taken.new if source == "new" else taken.replay, tokens=taken.tokens[source])


def _pool_stock(pool: AnchorPool, count: Callable[[str], int]) -> Stock:
    train, _ = pool.split()
    answers = [turn.content for anchor in train for turn in anchor.turns if turn.role == "assistant"]
    return Stock(examples=len(train), tokens=sum(count(answer) + 1 for answer in answers))


def _gates(
    settings: Settings, recipe: Recipe, taken: SnapshotOutput | None, measured: Disagreement | None
) -> tuple[SuiteFolder, tuple[GateOutlook, ...], tuple[str, ...]]:
    """The suites, and what is to be expected of each gate, or why the round would be refused for its suites."""
    try:
        suites = open_folders(settings.suite_folders, [name for name in recipe.evaluate.suites if name != GUARD_SUITE])
    except PerennialError as error:
        return SuiteFolder(folders=(), digests={}), (), (f"{REFUSED}{error}",)
    sizes, heldout = suites.sizes, None
    if taken is not None:
        sizes, heldout = {**sizes, **taken.pair_sizes}, taken.heldout
    outlooks = gate_outlooks(recipe, sizes, heldout, measured)
    never = [outlook.suite for outlook in outlooks if outlook.never]
    refused = f"{REFUSED}no candidate can pass its gate on {' and '.join(never)}"
    return suites, outlooks, (refused,) if never else ()


def _disagreement(settings: Settings, store: Store, recipe: Recipe) -> Disagreement | None:
    """How far origin and candidate lay apart in the newest round of this recipe that was measured."""
    with store.read() as session:
        numbers = [one.id for one in rounds.list_rounds(session) if one.recipe_name == recipe.name]
    for number in numbers:
        for items in sorted(settings.rounds.glob(f"{number:04}/attempt-*/evaluate/items.jsonl.gz"), reverse=True):
            if measured := read_disagreement(items, f"round {number}"):
                return measured
    return None


def _machine(train: Train) -> tuple[Machine | None, tuple[str, ...]]:
    """What would train here, or why nothing can."""
    try:
        return with_wired_limit(look_at_machine(train)), ()
    except PerennialError as error:
        return None, (f"{REFUSED}{error}",)
