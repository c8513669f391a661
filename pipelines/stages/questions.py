"""What models are asked: items of suites, answers that the snapshot kept apart, and after a preference stage its probes.

The gate's questions and those on which settings are chosen (dev) have nothing in common.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.mixture.anchors import Pools, frozen_prompts
from pipelines.mixture.preference_text import preference_examples
from pipelines.recipe import GUARD_SUITE, Evaluate
from pipelines.records import Corpus, Example, Part, Record, SnapshotItem
from pipelines.stages import snapshot
from pipelines.stages.contract import Finished, Keyed
from pipelines.suites.folder import SuiteFolder
from pipelines.suites.load import Split
from pipelines.suites.preference import PreferenceAsk
from pipelines.suites.scores import HELDOUT

_FROZEN = 200  # enough that one refusal is half a point


class Measurement(Record):
    """What to measure, the same for every model.

    Attributes:
        suites: names of folders; `heldout` and `language` are special.
        language: the file of the language guard's prompts.
        items: how many per suite (a fixed stratified choice), None for all.
        heldout: well-rated held-out examples; source `replay` marks older data.
        clusters: by example id, what makes held-out examples dependent (their person).
        preference: held-out preferences and the prompts of the preference guard, if a preference stage ran.
    """

    suites: tuple[str, ...]
    language: Path | None = None
    split: Split = "gate"
    items: int | None = None
    heldout: tuple[Example, ...] = ()
    clusters: Mapping[str, str] = {}
    preference: PreferenceAsk | None = None
    seed: int = 0


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


def gate_questions(source: Questions, corpus: Corpus, thumbs: PreferenceQuestions | None = None) -> Measurement:
    """What the gate is decided on: the suites' gate items and answers of the heldout part.

    Raises:
        SuiteError: a suite was edited while the round ran. Cancelled: a person among them was erased.
    """
    source.suites.value.check_unchanged()
    rule, items = source.evaluate, snapshot.items_of(source.snapshot)
    held = held_out_examples(items, corpus, "heldout", rule.heldout if HELDOUT in rule.suites else 0)
    people = {item.conversation: item.person for item in items}
    return Measurement(
        suites=tuple(name for name in rule.suites if name in source.suites.value.digests or name == HELDOUT),
        language=source.suites.value.language,
        items=rule.items,
        heldout=held,
        clusters={example.id: people[example.id] for example in held},
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
        suites=(*(suite for suite in rule.suites if suite not in (HELDOUT, GUARD_SUITE)), HELDOUT),
        split="dev",
        items=count,
        heldout=held_out_examples(items, corpus, "dev", count),
    )


def held_out_examples(items: Sequence[SnapshotItem], corpus: Corpus, part: Part, count: int) -> tuple[Example, ...]:
    """At most `count` examples of a part that is kept apart, always the same ones; half of them new where there are.

    Raises Cancelled if a person among them was erased after the snapshot.
    """
    held = sorted((item for item in items if item.outcome == "held_out" and item.part == part), key=_rank)
    new = [item for item in held if item.source == "new"]
    older = [item for item in held if item.source == "replay"]
    chosen = new[: max(count - len(older), (count + 1) // 2)]
    chosen += older[: count - len(chosen)]
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


def _rank(item: SnapshotItem) -> str:
    return hashlib.sha256(item.conversation.encode()).hexdigest()
