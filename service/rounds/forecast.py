"""`perennial plan`: what a round of a recipe would be with today's data. Reads, counts, starts nothing."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pipelines.anchors.sets import set_of
from pipelines.backends.base import Machine
from pipelines.backends.fetch import BaseFolder
from pipelines.backends.launch import look_at_machine
from pipelines.errors import DataError, PerennialError, RecipeError
from pipelines.feedback.select import renders_always
from pipelines.forecast.preference import count_thumbs
from pipelines.forecast.round import REFUSED, Plan, Stock, forecast
from pipelines.gate.outlook import GateOutlook, gate_outlooks
from pipelines.mixture.anchors import AnchorPool, Pools
from pipelines.recipe import GUARD_SUITE, Recipe, Train
from pipelines.stages.baseline import base_digest, set_base
from pipelines.stages.snapshot import Selector, SnapshotOutput, preview
from pipelines.suites.folder import open_folders
from pipelines.tokenizer import ChatTokenizer
from service.corpus import StoreCorpus
from service.settings import Settings
from service.store import rounds
from service.store.session import Store
from service.vault import Vault

_CHARACTERS_PER_TOKEN = 3  # a rough mean of Korean and English, where the model's tokenizer is not here


def plan_recipe(settings: Settings, store: Store, vault: Vault, recipe: Recipe) -> Plan:
    """The forecast with what selection would take now; contamination is not checked, so it may be a little high.

    Without the base model's folder tokens are estimated at three characters each.

    Raises:
        ModelError: no chat can be learnt under the base model's template.
    """
    base = _base(settings, recipe)
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
    machine, refused = _machine(phase.train)
    plan = forecast(
        phase,
        new=new if missing <= 0 else _enough(phase, new, missing),
        replay=_stock(taken, "replay"),
        anchors={name: _pool_stock(pool, count) for name, pool in pools.items()},
        base=base,
        machine=machine,
        thumbs=count_thumbs(corpus.candidates()) if phase.preference else None,
    )
    short = (
        f"the round would be skipped now: {taken.examples} examples, and the recipe asks for {phase.min_examples}; "
        "everything above is for that number"
    )
    limits = tokenizer.limits() if tokenizer else ()
    gates, unusable = _gates(settings, phase, None if missing > 0 else taken.heldout)
    warnings = (*([short] if missing > 0 else []), *refused, *unwatched, *limits, *unusable, *plan.warnings)
    left_out = {**taken.rejected, **taken.left_out}
    return plan.model_copy(
        update={"warnings": warnings, "left_out": left_out, "altered": taken.altered, "gates": gates}
    )


def preview_recipe(settings: Settings, store: Store, vault: Vault, recipe: Recipe) -> SnapshotOutput:
    """What selection of the recipe's first phase would take of everything that is stored, as new data."""
    base = _base(settings, recipe)
    return _take(StoreCorpus(store, vault), recipe.phase(0), _tokenizer(base, recipe))


def _base(settings: Settings, recipe: Recipe) -> Path | None:
    """The base model's folder, if it is here."""
    folder = settings.project / recipe.base.model
    return folder if (folder / "config.json").is_file() else None


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


def _gates(settings: Settings, recipe: Recipe, heldout: int | None) -> tuple[tuple[GateOutlook, ...], tuple[str, ...]]:
    """What is to be expected of each gate, or why the round would be refused for its suites."""
    try:
        suites = open_folders(settings.suite_folders, [name for name in recipe.evaluate.suites if name != GUARD_SUITE])
    except PerennialError as error:
        return (), (f"{REFUSED}{error}",)
    outlooks = gate_outlooks(recipe, suites.sizes, heldout)
    never = [outlook.suite for outlook in outlooks if outlook.never]
    refused = f"{REFUSED}no candidate can pass its gate on {' and '.join(never)}"
    return outlooks, (refused,) if never else ()


def _machine(train: Train) -> tuple[Machine | None, tuple[str, ...]]:
    """What would train here, or why nothing can."""
    try:
        return look_at_machine(train), ()
    except PerennialError as error:
        return None, (f"{REFUSED}{error}",)
