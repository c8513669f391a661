"""Intermediate records of pair building: rated answers, their labels, candidate pairs, and what newer feedback said.

Answer         something that feedback names, with the turns before it
Label          an answer that votes decided on
Draft          an item to be: a pair, or one answer on one side
NewerFeedback  what newer drafts on one prompt have said, for older ones to be held against
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipelines.feedback.pieces import Feedback
from pipelines.feedback.same_prompt import Prompt
from pipelines.records import Part, PreferenceSource, RatedConversation, RatedMessage

_SOURCES: tuple[PreferenceSource, ...] = ("comparison", "siblings", "correction", "near_prompt", "lone", "resample")


@dataclass(frozen=True)
class Answer:
    """An answer that feedback names. `flaw` says why it may not be chosen; `intent` is the prompt's, within its part."""

    candidate: RatedConversation
    message: RatedMessage
    before: tuple[RatedMessage, ...]
    prompt: Prompt
    intent: tuple[Prompt, Part]
    text: str
    flaw: str | None

    @property
    def name(self) -> str:
        """The hash of its message."""
        return self.message.key.message


@dataclass(frozen=True)
class Label:
    """An answer with the votes that decided on it."""

    answer: Answer
    good: bool
    weight: float
    pieces: tuple[Feedback, ...]

    @property
    def newest_first(self) -> tuple[float, str]:
        """A sorting key: by the newest piece, then by name."""
        return _newest_first(self.pieces), self.answer.name


@dataclass(frozen=True)
class Draft:
    """An item to be: a pair, or one answer on one side."""

    source: PreferenceSource
    chosen: Answer | None
    rejected: Answer | None
    weight: float
    pieces: tuple[Feedback, ...]

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The answers that are there, the chosen one first."""
        return tuple(answer for answer in (self.chosen, self.rejected) if answer is not None)

    @property
    def home(self) -> Answer:
        """The answer whose conversation the draft belongs to."""
        return self.answers[0]

    @property
    def texts(self) -> tuple[str | None, str | None]:
        """The chosen and the rejected text."""
        return (self.chosen.text if self.chosen else None, self.rejected.text if self.rejected else None)

    @property
    def newest_first(self) -> tuple[float, int, list[str]]:
        """A sorting key: by the newest piece, then by the source's rank, then by names."""
        return _newest_first(self.pieces), _SOURCES.index(self.source), [answer.name for answer in self.answers]


Labels = dict[str, Label]


class NewerFeedback:
    """What newer feedback on one prompt has said, for older feedback to be held against."""

    def __init__(self) -> None:
        self._texts: set[tuple[str | None, str | None]] = set()
        self._good: dict[str, list[RatedConversation]] = defaultdict(list)
        self._bad: set[str] = set()
        self._corrected: set[str] = set()

    def judge(self, draft: Draft) -> str | None:
        """Why it does not stand; None, and it is remembered."""
        reason = self._again(draft) or ("superseded" if self._is_overtaken(draft) else None)
        if reason is None:
            self._remember(draft)
        return reason

    def _again(self, draft: Draft) -> str | None:
        chosen, rejected = draft.texts
        lone = draft.source == "lone" and (chosen in self._good if chosen is not None else rejected in self._bad)
        return "duplicate" if lone or draft.texts in self._texts else None

    def _is_overtaken(self, draft: Draft) -> bool:
        chosen, rejected = draft.texts
        if draft.source == "comparison":
            return (rejected, chosen) in self._texts or chosen in self._corrected
        if chosen in self._bad or rejected in self._good:
            return True
        return draft.source == "lone" and draft.chosen is not None and self._has_newer_answer(draft.chosen)

    def _has_newer_answer(self, answer: Answer) -> bool:
        """Whether SFT would take another conversation's answer to this prompt instead."""
        home = answer.candidate
        return any(
            other.conversation != home.conversation and other.prompt_cluster == home.prompt_cluster
            for text, others in self._good.items()
            if text != answer.text
            for other in others
        )

    def _remember(self, draft: Draft) -> None:
        """A comparison says which is better, not that one is good or the other bad."""
        self._texts.add(draft.texts)
        if draft.source == "comparison":
            return
        if draft.chosen is not None:
            self._good[draft.chosen.text].append(draft.chosen.candidate)
        if draft.rejected is not None:
            self._bad.add(draft.rejected.text)
            if draft.source == "correction":
                self._corrected.add(draft.rejected.text)


def matched(
    source: PreferenceSource,
    members: Sequence[Label],
    labels: Labels,
    may_pair: Callable[[Label, Label], bool],
    rank: Callable[[Label], tuple[float, tuple[float, str]]],
) -> list[Draft]:
    """Each good answer with the first bad one that it may be paired with; both labels are then taken."""
    bad = sorted((label for label in members if not label.good), key=rank)
    drafts = []
    for good in sorted((label for label in members if label.good), key=rank):
        fit = (
            place for place, label in enumerate(bad) if label.answer.text != good.answer.text and may_pair(good, label)
        )
        place = next(fit, None)
        if place is not None:
            partner = bad.pop(place)
            labels.pop(good.answer.name)
            labels.pop(partner.answer.name)
            weight = min(good.weight, partner.weight)
            drafts.append(Draft(source, good.answer, partner.answer, weight, good.pieces + partner.pieces))
    return drafts


def with_agreeing(draft: Draft, labels: Labels) -> Draft:
    """The draft with the votes on its two answers that say the same and have no pair of their own."""
    pieces = draft.pieces
    for answer, good in ((draft.chosen, True), (draft.rejected, False)):
        label = labels.get(answer.name) if answer else None
        if label is not None and label.good is good:
            pieces += labels.pop(label.answer.name).pieces
    return replace(draft, pieces=pieces)


def alone(label: Label) -> Draft:
    """The label's answer on its one side."""
    chosen, rejected = (label.answer, None) if label.good else (None, label.answer)
    return Draft("lone", chosen, rejected, label.weight, label.pieces)


def _newest_first(pieces: Sequence[Feedback]) -> float:
    return -max(piece.at for piece in pieces).timestamp()
