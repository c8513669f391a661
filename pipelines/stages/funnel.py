"""The funnel of a snapshot: what its records come to, counted as they pass by one at a time."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import get_args

from pipelines.curate.reasons import Altered
from pipelines.feedback.method import answers_learnt
from pipelines.records import (
    FeedbackFate,
    FeedbackOutcome,
    PreferenceItem,
    PreferenceSource,
    RatedConversation,
    SnapshotItem,
)


@dataclass
class ItemCounts:
    """Conversations by what became of them; `learnt` are those of the answers `spoken_for` that SFT trains."""

    spoken_for: frozenset[str]
    sources: Counter[str | None] = field(default_factory=Counter)
    tokens: Counter[str | None] = field(default_factory=Counter)
    apart: Counter[str | None] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    people: set[str] = field(default_factory=set)
    learnt: set[str] = field(default_factory=set)

    def watch(self, items: Iterable[SnapshotItem]) -> Iterator[SnapshotItem]:
        """The same items, counted."""
        for item in items:
            if item.outcome == "used":
                self.sources[item.source] += 1
                self.tokens[item.source] += item.tokens
                self.people.add(item.person)
                self.learnt.update(self.spoken_for.intersection(answers_learnt(item)))
            elif item.outcome == "held_out":
                self.apart[item.part] += 1
            else:
                self.left_out[item.reason] += 1
            yield item


@dataclass
class PreferenceCounts:
    """Preference items: those to train on by kind, all of them by part, and the held-out pairs."""

    pairs: Counter[PreferenceSource] = field(default_factory=Counter)
    labelled: Counter[bool] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    heldout_pairs: int = 0

    def watch(self, items: Iterable[PreferenceItem]) -> Iterator[PreferenceItem]:
        """The same items, counted."""
        for item in items:
            self.parts[item.part] += 1
            self.heldout_pairs += item.part == "heldout" and item.kind == "pair"
            if item.part == "train" and item.kind == "pair":
                self.pairs[item.source] += 1
            elif item.part == "train":
                self.labelled[item.good] += 1
            yield item


@dataclass
class FateCounts:
    """Pieces of feedback by what became of them, and by rule."""

    counts: Counter[tuple[FeedbackOutcome, str]] = field(default_factory=Counter)

    def watch(self, fates: Iterable[FeedbackFate]) -> Iterator[FeedbackFate]:
        """The same fates, counted."""
        for fate in fates:
            self.counts[fate.outcome, fate.rule] += 1
            yield fate

    def by_rule(self, outcome: FeedbackOutcome) -> dict[str, int]:
        """Those with this outcome."""
        return {rule: count for (one, rule), count in sorted(self.counts.items()) if one == outcome}

    def by_outcome(self) -> dict[str, dict[str, int]]:
        """All of them."""
        return {outcome: self.by_rule(outcome) for outcome in get_args(FeedbackOutcome)}


@dataclass
class AlteredCounts:
    """Answers that curation changed."""

    answers: int = 0
    changed: int = 0
    replaced: int = 0

    def watch(self, candidates: Iterable[RatedConversation]) -> Iterator[RatedConversation]:
        """The same conversations, counted."""
        for candidate in candidates:
            for message in candidate.messages:
                if message.role == "assistant":
                    self.answers += 1
                    self.changed += bool(message.surrogates or message.replaced)
                    self.replaced += message.replaced
            yield candidate

    def count(self) -> Altered:
        """What they came to."""
        return Altered(answers=self.answers, changed=self.changed, replaced=self.replaced)
