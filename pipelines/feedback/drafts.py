"""Intermediate records of pair building: rated answers, their labels, candidate pairs, and what newer feedback said.

Answer         something that feedback names, with the turns before it
Label          an answer that votes decided on
Draft          an item to be: a pair, or one answer on one side
NewerFeedback  what newer drafts have said, for older ones on the same prompt to be held against

All of a round's are in memory at once: they hold names, places and digests, no text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pipelines.feedback.pieces import Feedback
from pipelines.feedback.same_prompt import Prompt
from pipelines.records import MessageKey, Part, PreferenceSource

_SOURCES: tuple[PreferenceSource, ...] = ("comparison", "siblings", "correction", "near_prompt", "lone", "resample")


@dataclass(frozen=True, slots=True)
class Home:
    """The conversation that an answer stands in, without its text; `place` is its place among all candidates."""

    place: int
    conversation: str
    prompt_cluster: str
    part: Part
    topic: str
    occurred_at: datetime
    language: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that feedback names.

    Attributes:
        position, before: its place among the messages of its home, and those of the turns before it.
        intent: the prompt's, within its part.
        text: a digest of what it says.
        flaw: why it may not be chosen.
    """

    home: Home
    name: str
    revision: int
    parent: str | None
    position: int
    before: tuple[int, ...]
    is_answer: bool
    prompt: Prompt
    intent: tuple[Prompt, Part]
    text: bytes
    flaw: str | None

    @property
    def key(self) -> MessageKey:
        """The revision of its message."""
        return MessageKey(message=self.name, revision=self.revision)


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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
    def first(self) -> Answer:
        """The answer whose conversation and prompt the draft belongs to."""
        return self.answers[0]

    @property
    def texts(self) -> tuple[bytes | None, bytes | None]:
        """Digests of the chosen and the rejected text."""
        return (self.chosen.text if self.chosen else None, self.rejected.text if self.rejected else None)

    @property
    def newest_first(self) -> tuple[float, int, list[str]]:
        """A sorting key: by the newest piece, then by the source's rank, then by names."""
        return _newest_first(self.pieces), _SOURCES.index(self.source), [answer.name for answer in self.answers]


Labels = dict[str, Label]
_Intent = tuple[Prompt, Part]


class NewerFeedback:
    """What newer feedback has said, prompt by prompt, for older feedback to be held against."""

    def __init__(self) -> None:
        self._pairs: set[tuple[_Intent, bytes | None, bytes | None]] = set()
        self._good: set[tuple[_Intent, bytes | None]] = set()
        self._bad: set[tuple[_Intent, bytes | None]] = set()
        self._corrected: set[tuple[_Intent, bytes | None]] = set()
        self._answers: dict[tuple[_Intent, str], list[tuple[str, bytes]]] = {}

    def judge(self, draft: Draft) -> str | None:
        """Why it does not stand; None, and it is remembered."""
        reason = self._again(draft) or ("superseded" if self._is_overtaken(draft) else None)
        if reason is None:
            self._remember(draft)
        return reason

    def _again(self, draft: Draft) -> str | None:
        intent, (chosen, rejected) = draft.first.intent, draft.texts
        said = (intent, chosen) in self._good if chosen is not None else (intent, rejected) in self._bad
        again = (draft.source == "lone" and said) or (intent, chosen, rejected) in self._pairs
        return "duplicate" if again else None

    def _is_overtaken(self, draft: Draft) -> bool:
        intent, (chosen, rejected) = draft.first.intent, draft.texts
        if draft.source == "comparison":
            return (intent, rejected, chosen) in self._pairs or (intent, chosen) in self._corrected
        if (intent, chosen) in self._bad or (intent, rejected) in self._good:
            return True
        return draft.source == "lone" and draft.chosen is not None and self._has_newer_answer(draft.chosen)

    def _has_newer_answer(self, answer: Answer) -> bool:
        """Whether SFT would take another conversation's answer to this prompt instead: one that says something else."""
        others = self._answers.get((answer.intent, answer.home.prompt_cluster), ())
        return any(home != answer.home.conversation and said != answer.text for home, said in others)

    def _remember(self, draft: Draft) -> None:
        """A comparison says which is better, not that one is good or the other bad."""
        intent, (chosen, rejected) = draft.first.intent, draft.texts
        self._pairs.add((intent, chosen, rejected))
        if draft.source == "comparison":
            return
        if draft.chosen is not None:
            self._good.add((intent, chosen))
            self._keep(draft.chosen, intent)
        if draft.rejected is not None:
            self._bad.add((intent, rejected))
            if draft.source == "correction":
                self._corrected.add((intent, rejected))

    def _keep(self, answer: Answer, intent: _Intent) -> None:
        """Five of a cluster's answers are enough to tell whether any differs from a later one in home and in text: the
        first, two of other homes that say two things, and two that say something else in two homes.
        """
        pair = home, said = answer.home.conversation, answer.text
        kept = self._answers.setdefault((intent, answer.home.prompt_cluster), [pair])
        first_home, first_said = kept[0]
        elsewhere = {text for other, text in kept if other != first_home}
        otherwise = {other for other, text in kept if text != first_said}
        if (home != first_home and said not in elsewhere and len(elsewhere) < 2) or (
            said != first_said and home not in otherwise and len(otherwise) < 2
        ):
            kept.append(pair)


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
