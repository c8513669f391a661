"""The snapshot: the immutable list of what a round learns from, what measures it, and why the rest is left out.

items.jsonl holds one line per conversation, ids and numbers only:
    {"conversation": "9f..", "person": "1c..", "outcome": "used", "reason": "train", "part": "train",
     "source": "new", "month": "2026-09", "tokens": 34, "turns": [{"key": {...}, "role": "user", ...}], "digest": ".."}
preferences.jsonl one per pair or labelled answer, feedback.jsonl one per vote, correction and comparison:
    {"id": "0a..", "kind": "pair", "source": "siblings", "part": "train", "raters": ["1c.."], "chosen": {...}, ...}
    {"conversation": "9f..", "message": "m1", "rater": "1c..", "kind": "vote", "value": 1, "outcome": "dropped", "rule": "echo", ...}
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar, get_args

from pipelines.artifacts import digest_of_records, read_records, write_records
from pipelines.context import StageContext
from pipelines.curate.reasons import Altered
from pipelines.feedback.cohort import Cohort, influential_cohort
from pipelines.feedback.method import choose_method, resample_fates, settle_fates
from pipelines.feedback.pairs import Preferences, build_preferences
from pipelines.feedback.pieces import fate_order
from pipelines.feedback.rated_answers import Fits, fits_always
from pipelines.feedback.select import FindContaminated, Renders, UserCap, renders_always, select
from pipelines.feedback.weigh import VoteCap, WeighedFeedback, weigh
from pipelines.recipe import Preference, Select
from pipelines.records import (
    Corpus,
    FeedbackFate,
    FeedbackOutcome,
    PreferenceItem,
    RatedMessage,
    Record,
    SnapshotItem,
    Turn,
)
from pipelines.stages.contract import Finished, Keyed
from pipelines.suites.folder import SuiteFolder
from pipelines.tokenizer import ChatTokenizer

_ITEMS, _PREFERENCES, _FATES = "items.jsonl", "preferences.jsonl", "feedback.jsonl"
_Line = TypeVar("_Line", SnapshotItem, PreferenceItem, FeedbackFate)


class FeedbackSummary(Record):
    """What became of all votes, corrections and comparisons that stand; received = used + held_out + dropped.

    Attributes:
        used, held_out: pieces of feedback by source; those of dev and heldout conversations are held out.
        dropped: pieces by rule.
        pairs: training pairs by source; `good` and `bad` are labelled answers without a pair, for training too.
        dev, heldout: items kept apart.
        cohort: who moves this round most; None where nobody does.
    """

    received: int
    used: Mapping[str, int]
    held_out: Mapping[str, int]
    dropped: Mapping[str, int]
    pairs: Mapping[str, int]
    good: int
    bad: int
    dev: int
    heldout: int
    cap: VoteCap
    cohort: Cohort | None


class SnapshotOutput(Record):
    """The funnel and the lists; `examples` counts what is used (new + replay), `tokens` trained assistant tokens.

    `items`, `preferences` and `fates` are file names; `digest` is over all three.
    """

    items: str
    preferences: str
    fates: str
    digest: str
    received: int
    rejected: Mapping[str, int]
    clean: int
    examples: int
    new: int
    replay: int
    dev: int
    heldout: int
    left_out: Mapping[str, int]
    tokens: Mapping[str, int]
    people: int
    cap: UserCap | None
    feedback: FeedbackSummary
    altered: Altered = Altered()

    def shortage(self, min_new: int, min_examples: int) -> str | None:
        """Why there is too little to learn from, with the counts; None if there is enough."""
        if self.new < min_new:
            return f"skipped: {self.new} new examples, and the schedule asks for at least {min_new}"
        if self.examples < min_examples:
            return f"skipped: {self.examples} examples ({self.new} new), and the recipe asks for {min_examples}"
        return None

    @property
    def sizes(self) -> dict[str, int]:
        """The counts that a round's row shows."""
        names = ("received", "clean", "examples", "new", "replay", "dev", "heldout")
        return {name: getattr(self, name) for name in names}


Output = SnapshotOutput


class Input(Record):
    """What decides who is asked.

    Attributes:
        method: what of the recipe's preference section chooses the loss (feedback.method.deciding), None without one.
        max_tokens: what preference training can read whole.
        base: whose tokenizer counts; suites: whose items must not be learnt.
    """

    select: Select
    method: Preference | None
    max_tokens: int
    base: Keyed[Path]
    suites: Keyed[SuiteFolder]


def run(input: Input, out: Path, context: StageContext) -> Output:
    """The lists of this round, as the corpus is now.

    Raises:
        ModelError, SuiteError: the base model or a suite is missing or malformed.
    """
    tokenizer = ChatTokenizer(input.base.value)
    tokenizer.check_template()
    selector = Selector(
        count_tokens=tokenizer.count,
        find_contaminated=input.suites.value.contamination.check_pool,
        renders=tokenizer.can_render,
        fits=partial(_fits, tokenizer, input.max_tokens) if input.method else fits_always,
    )
    return snapshot(context.corpus, input.select, out, selector, now=datetime.now(UTC), rule=input.method)


@dataclass(frozen=True)
class Selector:
    """How selection judges a text: its tokens, whether it repeats a suite's item, whether a model can read it (whole)."""

    count_tokens: Callable[[str], int]
    find_contaminated: FindContaminated
    renders: Renders = renders_always
    fits: Fits = fits_always


@dataclass(frozen=True)
class _Taken:
    """Everything that a snapshot decides."""

    items: Sequence[SnapshotItem]
    cap: UserCap | None
    weighed: WeighedFeedback
    preferences: Preferences
    rejected: Mapping[str, int]


def snapshot(
    corpus: Corpus, config: Select, out: Path, selector: Selector, *, now: datetime, rule: Preference | None = None
) -> SnapshotOutput:
    """The immutable lists of one round, written to `out` as JSONL, with the funnel's counts.

    `now` is what the age of accounts is counted to; `rule` the recipe's preference section, None where it has none.
    """
    taken = _take(corpus, config, selector, now, rule)
    write_records(out / _ITEMS, taken.items)
    write_records(out / _PREFERENCES, taken.preferences.items)
    write_records(out / _FATES, taken.preferences.fates)
    return _funnel(taken)


def items_of(taken: Finished[Output]) -> list[SnapshotItem]:
    """What a finished snapshot decided about every conversation. Raises DataError."""
    return list(read_records(taken.folder / taken.output.items, SnapshotItem))


def preferences_of(taken: Finished[Output]) -> list[PreferenceItem]:
    """The pairs and labelled answers of a finished snapshot. Raises DataError."""
    return list(read_records(taken.folder / taken.output.preferences, PreferenceItem))


def preview(
    corpus: Corpus, rules: Select, selector: Selector, *, now: datetime, rule: Preference | None = None
) -> SnapshotOutput:
    """The counts that a snapshot taken now would have; writes nothing."""
    return _funnel(_take(corpus, rules, selector, now, rule))


def as_resampled(taken: SnapshotOutput, folder: Path, answers: Container[str]) -> SnapshotOutput:
    """The snapshot in `folder` with its feedback counted anew, now that fresh answers stand against these bad ones."""
    fates = resample_fates(list(read_records(folder / taken.fates, FeedbackFate)), answers)
    counts = {outcome: _by_rule(fates, outcome) for outcome in get_args(FeedbackOutcome)}
    return taken.model_copy(update={"feedback": taken.feedback.model_copy(update=counts)})


def _take(corpus: Corpus, rules: Select, selector: Selector, now: datetime, rule: Preference | None) -> _Taken:
    """Feedback is weighed first: what does not count teaches nothing in SFT either."""
    count, find, renders = selector.count_tokens, selector.find_contaminated, selector.renders
    weighed = weigh(corpus.candidates(), rules, now)
    items, cap = select(weighed.candidates, rules, count_tokens=count, find_contaminated=find, renders=renders)
    built = build_preferences(
        weighed, rules, count_tokens=count, find_contaminated=find, renders=renders, fits=selector.fits
    )
    method = choose_method(built.items, rule).method if rule else "none"
    fates = (*settle_fates(built.fates, method, items), *corpus.lost())
    preferences = replace(built, fates=tuple(sorted(fates, key=fate_order)))
    return _Taken(items, cap, weighed, preferences, corpus.outcomes())


def _fits(tokenizer: ChatTokenizer, max_tokens: int, prompt: Sequence[Turn], answer: str) -> bool:
    """Whether preference training can read this answer whole."""
    return tokenizer.count_trained([*prompt, Turn(role="assistant", content=answer, trained=True)], max_tokens) > 0


def _funnel(taken: _Taken) -> SnapshotOutput:
    items = taken.items
    used = [item for item in items if item.outcome == "used"]
    parts = Counter(item.part for item in items if item.outcome == "held_out")
    sources = Counter(item.source for item in used)
    lists = (items, taken.preferences.items, taken.preferences.fates)
    return SnapshotOutput(
        items=_ITEMS,
        preferences=_PREFERENCES,
        fates=_FATES,
        digest=digest_of_records(lists),
        received=len(items) + sum(taken.rejected.values()),
        rejected=dict(taken.rejected),
        clean=len(items),
        examples=len(used),
        new=sources["new"],
        replay=sources["replay"],
        dev=parts["dev"],
        heldout=parts["heldout"],
        left_out=_counts(item.reason for item in items if item.outcome == "left_out"),
        tokens={source: sum(i.tokens for i in used if i.source == source) for source in ("new", "replay")},
        people=len({item.person for item in used}),
        cap=taken.cap,
        feedback=_summary(taken.weighed, taken.preferences),
        altered=_altered(message for one in taken.weighed.candidates for message in one.messages),
    )


def _altered(messages: Iterable[RatedMessage]) -> Altered:
    answers = [message for message in messages if message.role == "assistant"]
    changed = [message for message in answers if message.surrogates or message.replaced]
    return Altered(answers=len(answers), changed=len(changed), replaced=sum(message.replaced for message in answers))


def _summary(weighed: WeighedFeedback, preferences: Preferences) -> FeedbackSummary:
    train = [item for item in preferences.items if item.part == "train"]
    parts = Counter(item.part for item in preferences.items)
    labelled = [item for item in train if item.kind == "labelled"]
    return FeedbackSummary(
        received=len(preferences.fates),
        used=_by_rule(preferences.fates, "used"),
        held_out=_by_rule(preferences.fates, "held_out"),
        dropped=_by_rule(preferences.fates, "dropped"),
        pairs=_counts(item.source for item in train if item.kind == "pair"),
        good=sum(item.good for item in labelled),
        bad=sum(not item.good for item in labelled),
        dev=parts["dev"],
        heldout=parts["heldout"],
        cap=weighed.cap,
        cohort=influential_cohort(weighed, preferences.items),
    )


def _by_rule(fates: Iterable[FeedbackFate], outcome: FeedbackOutcome) -> dict[str, int]:
    return _counts(fate.rule for fate in fates if fate.outcome == outcome)


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
