"""The facts by which lessons are compared with one another: names, places, numbers and digests, no text.

A round has as many of them as conversations, all in memory at once; what a lesson says is read again where it is needed.
"""

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from sys import intern

from pipelines.feedback.contradicted import Answer, answers_of
from pipelines.feedback.lesson import Lesson
from pipelines.records import Part, RatedConversation, RatedMessage
from pipelines.text import digest, fold


@dataclass(frozen=True, slots=True)
class LessonFacts:
    """A lesson without its text.

    Attributes:
        place: of its conversation among all candidates.
        newest: when it was last written to, as a timestamp.
        reason: what speaks against the lesson whatever the others are; then the fields behind it are empty.
        positions: of its path among the conversation's messages; by turn the tokens, and whether they are trained.
        writers: who taught each turn; None: the conversation's person all of them.
        pair: what prompt and answers it stands for; `prompts` what each turn of the user asks, both by digest.
        answers: those that other conversations may contradict.
    """

    place: int
    name: str
    person: str
    part: Part
    cluster: str
    occurred_at: datetime
    newest: float
    seen: bool
    reason: str | None
    positions: bytes = b""
    counts: tuple[int, ...] = ()
    trained: tuple[bool, ...] = ()
    writers: tuple[str, ...] | None = None
    pair: bytes = b""
    prompts: tuple[bytes, ...] = ()
    answers: tuple[Answer, ...] = ()

    @property
    def newest_first(self) -> tuple[float, str]:
        """A sorting key, as Lesson's."""
        return (-self.newest, self.name)

    @property
    def tokens(self) -> int:
        """The tokens with loss."""
        return sum(count for count, good in zip(self.counts, self.trained, strict=True) if good)

    @property
    def tokens_by_writer(self) -> Mapping[str, int]:
        """Trained tokens by whom they are counted against: what a corrector wrote is the corrector's."""
        tokens: Counter[str] = Counter()
        for place, (count, good) in enumerate(zip(self.counts, self.trained, strict=True)):
            if good:
                tokens[self.writer(place)] += count
        return tokens

    def writer(self, place: int) -> str:
        """Who taught the turn at this place of the path."""
        return self.person if self.writers is None else self.writers[place]

    def path_in(self, candidate: RatedConversation) -> list[RatedMessage]:
        """The messages that would be learnt, of its conversation as it is read again."""
        return [candidate.messages[position] for position in array("I", self.positions)]


def facts_of(lesson: Lesson, place: int, reason: str | None) -> LessonFacts:
    """The facts of a lesson; `reason` is what speaks against it whatever other lessons are."""
    candidate = lesson.candidate
    common = LessonFacts(
        place=place,
        name=candidate.conversation,
        person=intern(candidate.person),
        part=candidate.part,
        cluster=intern(candidate.prompt_cluster),
        occurred_at=candidate.occurred_at,
        newest=-lesson.newest_first[0],
        seen=candidate.seen,
        reason=reason,
    )
    return common if reason else _compared(common, lesson)


def _compared(common: LessonFacts, lesson: Lesson) -> LessonFacts:
    positions = {message.key: position for position, message in enumerate(lesson.candidate.messages)}
    prompts = (fold(message.text, "NFKC_casefold") for message in lesson.path if message.role == "user")
    return replace(
        common,
        positions=array("I", (positions[message.key] for message in lesson.path)).tobytes(),
        counts=lesson.counts,
        trained=lesson.trained,
        writers=tuple(map(intern, lesson.writers)) if any(message.corrects for message in lesson.path) else None,
        pair=digest("\0".join(lesson.pair)),
        prompts=tuple(digest(prompt) for prompt in prompts),
        answers=tuple(answers_of(lesson.path, lesson.trained)) if common.part == "train" else (),
    )
