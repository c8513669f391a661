"""The snapshot: the immutable list of what a round learns from, what measures it, and why the rest is left out.

items.jsonl holds one line per conversation, ids and numbers only:
    {"conversation": "9f..", "person": "1c..", "outcome": "used", "reason": "train", "part": "train",
     "source": "new", "month": "2026-09", "tokens": 34, "turns": [{"key": {...}, "role": "user", ...}], "digest": ".."}
preferences.jsonl one per pair or labelled answer, feedback.jsonl one per vote, correction and comparison:
    {"id": "0a..", "kind": "pair", "source": "siblings", "part": "train", "raters": ["1c.."], "chosen": {...}, ...}
    {"conversation": "9f..", "message": "m1", "rater": "1c..", "kind": "vote", "value": 1, "outcome": "dropped", "rule": "echo", ...}
corrections.jsonl one per item of the permanent regression suite (pipelines/feedback/regression.py).
"""

import heapq
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from pipelines.artifacts import digest_of_records, read_records, writing_records
from pipelines.context import StageContext
from pipelines.curate.reasons import Altered
from pipelines.feedback.cohort import Cohort, influential_cohort
from pipelines.feedback.held_back import hold_back
from pipelines.feedback.method import Method, choose_method, resample_fates, settle_fates, spoken_for
from pipelines.feedback.pairs import Preferences, build_preferences
from pipelines.feedback.pieces import fate_order
from pipelines.feedback.rated_answers import Fits, fits_always
from pipelines.feedback.regression import HeldoutCorrections, Regression, RegressionItem
from pipelines.feedback.select import FindContaminated, Renders, UserCap, renders_always, select
from pipelines.feedback.weigh import VoteCap, WeighedFeedback, weigh
from pipelines.recipe import CORRECTIONS, PAIRS, ChatRules, Preference, Select
from pipelines.records import Corpus, FeedbackFate, PreferenceItem, Record, SnapshotItem, Turn
from pipelines.stages.contract import Finished, Keyed
from pipelines.stages.funnel import AlteredCounts, FateCounts, ItemCounts, PreferenceCounts
from pipelines.suites.folder import SuiteFolder
from pipelines.tokenizer import ChatTokenizer

_ITEMS, _PREFERENCES, _FATES = "items.jsonl", "preferences.jsonl", "feedback.jsonl"
_CORRECTIONS = "corrections.jsonl"
_Line = TypeVar("_Line", SnapshotItem, PreferenceItem, FeedbackFate, RegressionItem)


class FeedbackSummary(Record):
    """What became of all votes, corrections and comparisons that stand; received = used + held_out + dropped.

    Attributes:
        used, held_out: pieces of feedback by source; those of dev and heldout conversations are held out.
        dropped: pieces by rule.
        pairs: training pairs by source; `good` and `bad` are labelled answers without a pair, for training too.
        dev, heldout: items kept apart; `heldout_pairs` are those of heldout that are pairs.
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
    heldout_pairs: int = 0


class SnapshotOutput(Record):
    """The funnel and the lists; `examples` counts what is used (new + replay), `tokens` trained assistant tokens.

    `items`, `preferences`, `fates` and `corrections` are file names; `digest` is over all of them. `quarter` is when the
    snapshot was taken, by which half of the gate's items are chosen.
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
    corrections: str = ""
    regression: Regression = Regression()
    quarter: str = ""

    def shortage(self, min_new: int, min_examples: int) -> str | None:
        """Why there is too little to learn from, with the counts; None if there is enough."""
        if self.new < min_new:
            return f"skipped: {self.new} new examples, and the schedule asks for at least {min_new}"
        if self.examples < min_examples:
            return f"skipped: {self.examples} examples ({self.new} new), and the recipe asks for {min_examples}"
        return None

    @property
    def pair_sizes(self) -> dict[str, int]:
        """The items of the suites of pairs."""
        return {CORRECTIONS: self.regression.items, PAIRS: self.feedback.heldout_pairs}

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
        chat: how the model is shown a chat.
        max_tokens: what preference training can read whole.
        base: whose tokenizer counts; suites: whose items must not be learnt.
    """

    select: Select
    chat: ChatRules = ChatRules()
    method: Preference | None
    max_tokens: int
    base: Keyed[Path]
    suites: Keyed[SuiteFolder]


def run(input: Input, out: Path, context: StageContext) -> Output:
    """The lists of this round, as the corpus is now.

    Raises:
        ModelError, SuiteError: the base model or a suite is missing or malformed.
    """
    tokenizer = ChatTokenizer(input.base.value, input.chat)
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
    """Everything that a snapshot decides; its lists are made record by record whenever they are read."""

    items: Sequence[SnapshotItem]
    cap: UserCap | None
    weighed: WeighedFeedback
    preferences: Preferences
    method: Method
    lost: Sequence[FeedbackFate]
    rejected: Mapping[str, int]
    altered: Altered
    corrections: Sequence[RegressionItem]
    regression: Regression
    quarter: str


def snapshot(
    corpus: Corpus, config: Select, out: Path, selector: Selector, *, now: datetime, rule: Preference | None = None
) -> SnapshotOutput:
    """The immutable lists of one round, written to `out` as JSONL, with the funnel's counts.

    `now` is what the age of accounts is counted to; `rule` the recipe's preference section, None where it has none.
    """
    return _put_down(_take(corpus, config, selector, now, rule, out), out)


def items_of(taken: Finished[Output]) -> list[SnapshotItem]:
    """What a finished snapshot decided about every conversation. Raises DataError."""
    return list(read_records(taken.folder / taken.output.items, SnapshotItem))


def preferences_of(taken: Finished[Output]) -> list[PreferenceItem]:
    """The pairs and labelled answers of a finished snapshot. Raises DataError."""
    return list(read_records(taken.folder / taken.output.preferences, PreferenceItem))


def corrections_of(taken: Finished[Output]) -> list[RegressionItem]:
    """The permanent regression suite as a finished snapshot found it; empty in one of a version without. Raises DataError."""
    name = taken.output.corrections
    return list(read_records(taken.folder / name, RegressionItem)) if name else []


def preview(
    corpus: Corpus, rules: Select, selector: Selector, *, now: datetime, rule: Preference | None = None
) -> SnapshotOutput:
    """The counts that a snapshot taken now would have; writes nothing."""
    return _put_down(_take(corpus, rules, selector, now, rule, None), None)


def as_resampled(taken: SnapshotOutput, folder: Path, answers: Container[str]) -> SnapshotOutput:
    """The snapshot in `folder` with its feedback counted anew, now that fresh answers stand against these bad ones."""
    counts = FateCounts()
    deque(counts.watch(resample_fates(read_records(folder / taken.fates, FeedbackFate), answers)), maxlen=0)
    return taken.model_copy(update={"feedback": taken.feedback.model_copy(update=counts.by_outcome())})


def _take(
    corpus: Corpus, rules: Select, selector: Selector, now: datetime, rule: Preference | None, folder: Path | None
) -> _Taken:
    """Feedback is weighed first: what does not count teaches nothing in SFT either."""
    count, find, renders = selector.count_tokens, selector.find_contaminated, selector.renders
    alterations = AlteredCounts()
    corrections = HeldoutCorrections(renders)
    weighed = weigh(corrections.watch(alterations.watch(hold_back(corpus.candidates(), rules))), rules, now, folder)
    items, cap = select(weighed.candidates, rules, count_tokens=count, find_contaminated=find, renders=renders)
    preferences = build_preferences(
        weighed, rules, count_tokens=count, find_contaminated=find, renders=renders, fits=selector.fits
    )
    method = choose_method(preferences.items, rule).method if rule else "none"
    return _Taken(
        items,
        cap,
        weighed,
        preferences,
        method,
        corpus.lost(),
        corpus.outcomes(),
        alterations.count(),
        *corrections.settle(),
        quarter=f"{now.year}Q{(now.month + 2) // 3}",
    )


def _fits(tokenizer: ChatTokenizer, max_tokens: int, prompt: Sequence[Turn], answer: Turn) -> bool:
    """Whether preference training can read this answer whole, old turns of its prompt left out where there is need."""
    return tokenizer.start([*prompt, answer], max_tokens) is not None


def _put_down(taken: _Taken, out: Path | None) -> SnapshotOutput:
    """The funnel's counts, and the lists as files in `out` if there is one; they are gone through once, one by one."""
    items = ItemCounts(spoken_for=frozenset(filter(None, map(spoken_for, taken.preferences.fates))))
    preferences, fates = PreferenceCounts(), FateCounts()
    lists = (
        _written(out, _ITEMS, items.watch(taken.items)),
        _written(out, _PREFERENCES, preferences.watch(taken.preferences.items)),
        _written(out, _FATES, fates.watch(_all_fates(taken, items.learnt))),
        _written(out, _CORRECTIONS, taken.corrections),
    )
    digest = digest_of_records(lists)
    return SnapshotOutput(
        items=_ITEMS,
        preferences=_PREFERENCES,
        fates=_FATES,
        digest=digest,
        received=len(taken.items) + sum(taken.rejected.values()),
        rejected=dict(taken.rejected),
        clean=len(taken.items),
        examples=items.sources.total(),
        new=items.sources["new"],
        replay=items.sources["replay"],
        dev=items.apart["dev"],
        heldout=items.apart["heldout"],
        left_out=dict(sorted(items.left_out.items())),
        tokens={source: items.tokens[source] for source in ("new", "replay")},
        people=len(items.people),
        cap=taken.cap,
        feedback=FeedbackSummary(
            received=fates.counts.total(),
            **fates.by_outcome(),
            pairs=dict(sorted(preferences.pairs.items())),
            good=preferences.labelled[True],
            bad=preferences.labelled[False],
            dev=preferences.parts["dev"],
            heldout=preferences.parts["heldout"],
            cap=taken.weighed.cap,
            cohort=influential_cohort(taken.weighed, taken.preferences.items),
            heldout_pairs=preferences.heldout_pairs,
        ),
        altered=taken.altered,
        corrections=_CORRECTIONS,
        regression=taken.regression,
        quarter=taken.quarter,
    )


def _written(out: Path | None, name: str, records: Iterable[_Line]) -> Iterable[_Line]:
    return records if out is None else writing_records(out / name, records)


def _all_fates(taken: _Taken, learnt: Container[str]) -> Iterator[FeedbackFate]:
    settled = settle_fates(taken.preferences.fates, taken.method, learnt)
    return heapq.merge(settled, sorted(taken.lost, key=fate_order), key=fate_order)
