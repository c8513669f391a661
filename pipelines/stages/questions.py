"""What models are asked: items of suites, answers that the snapshot kept apart, and after a preference stage its probes.

The gate's questions and those on which settings are chosen (dev) have nothing in common.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.feedback.regression import RegressionItem
from pipelines.mixture.anchors import Pools, frozen_prompts
from pipelines.mixture.preference_text import preference_examples
from pipelines.recipe import APART, CORRECTIONS, GUARD_SUITE, HELDOUT, PAIRS, Evaluate
from pipelines.records import Corpus, Example, Part, PreferenceItem, Record, SnapshotItem
from pipelines.stages import snapshot
from pipelines.stages.contract import Finished, Keyed
from pipelines.suites.folder import SuiteFolder
from pipelines.suites.heldout import HeldoutItem, heldout_items
from pipelines.suites.load import Split, rotated
from pipelines.suites.pairs import PAIR_SUITES, PairItem, PairSuite
from pipelines.suites.preference import PreferenceAsk
from pipelines.suites.scores import BaselineName

_FROZEN = 200  # enough that one refusal is half a point


class Measurement(Record):
    """What to measure, the same for every model.

    Attributes:
        suites: names of folders; those of APART and `language` are special.
        language: the file of the language guard's prompts.
        items: how many per suite (a fixed stratified choice), None for all.
        heldout: well-rated held-out examples.
        pairs: suites of pairs, each with its items.
        preference: held-out preferences and the prompts of the preference guard, if a preference stage ran.
        quarter: by which half of each suite's items are chosen; empty where they stay the same.
    """

    suites: tuple[str, ...]
    language: Path | None = None
    split: Split = "gate"
    items: int | None = None
    heldout: tuple[HeldoutItem, ...] = ()
    pairs: tuple[PairSuite, ...] = ()
    preference: PreferenceAsk | None = None
    seed: int = 0
    quarter: str = ""


class Questions(Record):
    """Where the questions come from, as a field of an Input: the recipe's section, its suites, what was kept apart."""

    evaluate: Evaluate
    suites: Keyed[SuiteFolder]
    snapshot: Finished[snapshot.Output]


class PreferenceQuestions(Record):
    """What a preference stage makes one ask besides: held-out preferences, frozen prompts, wrong claims."""

    probes: int
    snapshot: Finished[snapshot.Output]
    pools: Keyed[Pools]
    claims: Keyed[Path] | None


def gate_questions(
    source: Questions,
    corpus: Corpus,
    thumbs: PreferenceQuestions | None = None,
    baselines: Mapping[BaselineName, str] | None = None,
) -> Measurement:
    """What the gate is decided on: the suites' gate items, answers of the heldout part, and pairs of it.

    The permanent suite of corrections is asked whenever there are any, whatever the recipe names.

    Args:
        baselines: the ids of the models that are compared with, to know which answers they wrote themselves.

    Raises:
        SuiteError: a suite was edited while the round ran. Cancelled: a person among them was erased.
    """
    source.suites.value.check_unchanged()
    rule, items, quarter = source.evaluate, snapshot.items_of(source.snapshot), source.snapshot.output.quarter
    held = held_out_examples(items, corpus, "heldout", rule.heldout if HELDOUT in rule.suites else 0, quarter)
    known_items = {item.conversation: item for item in items}
    known = (*source.suites.value.digests, *APART)
    pairs = _pair_suites(source, items, corpus)
    return Measurement(
        suites=(
            *(name for name in rule.suites if name in known and name not in PAIR_SUITES),
            *(asked.suite for asked in pairs),
        ),
        language=source.suites.value.language,
        items=rule.items,
        heldout=tuple(_heldout_item(example, known_items[example.id], baselines or {}) for example in held),
        pairs=pairs,
        quarter=quarter,
        preference=preference_ask(thumbs, corpus) if thumbs else None,
    )


def dev_questions(source: Questions, corpus: Corpus, *, at_least: int = 0) -> Measurement:
    """What settings are chosen by: dev items and answers of the dev part alone, `at_least` so many where there are.

    Raises as `gate_questions` does.
    """
    source.suites.value.check_unchanged()
    rule, items = source.evaluate, snapshot.items_of(source.snapshot)
    count = max(rule.dev_items, at_least)
    return Measurement(
        suites=(*(suite for suite in rule.suites if suite not in (*APART, GUARD_SUITE)), HELDOUT),
        split="dev",
        items=count,
        heldout=heldout_items(held_out_examples(items, corpus, "dev", count)),
    )


def held_out_examples(
    items: Sequence[SnapshotItem], corpus: Corpus, part: Part, count: int, quarter: str = ""
) -> tuple[Example, ...]:
    """At most `count` examples of a part that is kept apart, the same ones in a quarter; half of them new where there are.

    Raises Cancelled if a person among them was erased after the snapshot.
    """
    held = {item.conversation: item for item in items if item.outcome == "held_out" and item.part == part}
    new = [name for name, item in held.items() if item.source == "new"]
    older = [name for name, item in held.items() if item.source == "replay"]
    wanted = min(len(new), max(count - len(older), (count + 1) // 2))
    names = rotated(new, wanted, "heldout", quarter) + rotated(older, count - wanted, "heldout", quarter)
    chosen = [held[name] for name in names]
    texts = corpus.texts([turn.key for item in chosen for turn in item.turns])
    return tuple(
        Example(
            id=item.conversation,
            source=item.source or "new",
            turns=tuple(texts[turn.key].turn(turn.role, turn.trained) for turn in item.turns),
        )
        for item in chosen
    )


def preference_ask(source: PreferenceQuestions, corpus: Corpus) -> PreferenceAsk:
    """Held-out preferences with their text, frozen prompts and wrong claims. Raises DataError and Cancelled."""
    held = [item for item in snapshot.preferences_of(source.snapshot) if item.part == "heldout"]
    held.sort(key=lambda item: item.id)
    people = {item.id: item.conversations[0] for item in held}
    return PreferenceAsk(
        examples=tuple(preference_examples(held, corpus)),
        clusters=people,
        probes=source.probes,
        frozen=frozen_prompts(source.pools.value, _FROZEN),
        claims=str(source.claims.value) if source.claims else None,
    )


def _heldout_item(example: Example, item: SnapshotItem, baselines: Mapping[BaselineName, str]) -> HeldoutItem:
    """The example with what the gate has to know of it: its person, its language and topic, and which baselines wrote its answer."""
    own = tuple(name for name, model in baselines.items() if item.served_by == model)
    return HeldoutItem(
        example=example, fresh=example.source != "replay", cluster=item.person, stratum=item.stratum, own=own
    )


def _pair_suites(source: Questions, items: Sequence[SnapshotItem], corpus: Corpus) -> tuple[PairSuite, ...]:
    """The corrections of the permanent suite, and the recipe's held-out pairs; suites without a pair are none."""
    rule, quarter = source.evaluate, source.snapshot.output.quarter
    older = {item.conversation for item in items if item.source == "replay"}
    people = {item.conversation: item.person for item in items}
    asked: list[PairSuite] = []
    for suite, pairs, most in (
        (CORRECTIONS, snapshot.corrections_of(source.snapshot), rule.items),
        (PAIRS, _heldout_pairs(source) if PAIRS in rule.suites else [], rule.heldout),
    ):
        by_id = {pair.id: pair for pair in pairs}
        names = rotated(list(by_id), len(by_id) if most is None else most, suite, quarter)
        chosen = [by_id[name] for name in sorted(names)]
        texts = preference_examples(chosen, corpus)
        made = tuple(
            PairItem(
                example=example,
                cluster=people.get(pair.conversations[0], pair.conversations[0]),
                stratum=f"{pair.app}/{pair.language}" if isinstance(pair, RegressionItem) else pair.source,
                fresh=not older.intersection(pair.conversations),
            )
            for pair, example in zip(chosen, texts, strict=True)
        )
        asked += [PairSuite(suite=suite, items=made)] if made else []
    return tuple(asked)


def _heldout_pairs(source: Questions) -> list[PreferenceItem]:
    return [item for item in snapshot.preferences_of(source.snapshot) if item.part == "heldout" and item.kind == "pair"]
