"""The answers that feedback names: the turns before each, what keeps it from being chosen, and feedback that names none.

RULES say which feedback speaks of answers that are there; UNFIT which answers may be rejected but never chosen.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from sys import intern

from pipelines.feedback.drafts import Answer, Home
from pipelines.feedback.lesson import FORM_FLAWS, UNTAUGHT, Flaw, TurnCase
from pipelines.feedback.pieces import Feedback
from pipelines.feedback.rules import Rule, first_against
from pipelines.feedback.same_prompt import Intents, Prompt, prompt_of
from pipelines.feedback.select import Renders
from pipelines.feedback.tree import originals_of, path_before
from pipelines.feedback.weigh import WeighedFeedback
from pipelines.recipe import Select
from pipelines.records import RatedConversation, RatedMessage, Turn
from pipelines.text import digest, fold

# Whether training can read an answer to these turns whole.
Fits = Callable[[Sequence[Turn], Turn], bool]
UNFIT: tuple[Flaw, ...] = FORM_FLAWS


@dataclass(frozen=True)
class NamedAnswers:
    """The argument of a rule: the language of a piece's conversation, how many answers it names and those that are there."""

    language: str
    names: int
    answers: tuple[Answer, ...]
    select: Select


RULES: tuple[Rule[NamedAnswers, bool], ...] = (
    Rule(
        "other_language",
        "its conversation is not in the recipe's primary language",
        lambda named: named.select.language.primary not in (None, named.language),
    ),
    Rule(
        "answer_gone",
        "an answer that it names is not in its conversation, or was not fit to keep",
        lambda named: len(named.answers) < named.names,
    ),
    Rule(
        "not_an_answer",
        "what was rated is not an answer of the assistant",
        lambda named: not all(answer.is_answer for answer in named.answers),
    ),
    Rule(
        "other_prompt",
        "the two answers do not answer the same prompt",
        lambda named: len({answer.parent for answer in named.answers}) > 1,
    ),
)


class RatedAnswers:
    """All answers that feedback that counts names, by message id, with the intents of their prompts.

    Conversations are read one at a time, and again where what an answer says is asked for.
    """

    def __init__(
        self, weighed: WeighedFeedback, select: Select, count_tokens: Callable[[str], int], renders: Renders, fits: Fits
    ) -> None:
        self._select, self._count_tokens, self._renders, self._fits = select, count_tokens, renders, fits
        self._candidates = weighed.candidates
        self._originals: dict[str, str] = {}
        self._homes: dict[str, Home] = {}
        self._answers: dict[str, Answer] = {}
        self._examples: dict[Prompt, Answer] = {}
        self.intents = Intents(self._find_answers(weighed), self._question)
        self._answers = {name: self._with_intent(answer) for name, answer in self._answers.items()}

    def __getitem__(self, name: str) -> Answer:
        return self._answers[name]

    def original(self, correction: str) -> str:
        """The message that a correction replaces in the end, both by id."""
        return self._originals[correction]

    def why_unusable(self, piece: Feedback) -> str | None:
        """The rule by which a piece of feedback speaks of nothing that could be learnt; None where it does."""
        names = [name for name in (piece.message, piece.other) if name]
        there = tuple(self._answers[name] for name in names if name in self._answers)
        language = self._homes[piece.conversation].language
        return first_against(RULES, NamedAnswers(language, len(names), there, self._select))

    def unreadable(self, *answers: Answer) -> str | None:
        """The rule by which nothing is learnt of one of these, or by which it cannot be read with its prompt."""
        return next((reason for one in answers if (reason := self.unreadable_behind(one, one))), None)

    def unreadable_behind(self, answer: Answer, other: Answer) -> str | None:
        """As `unreadable`, behind the prompt of the other answer."""
        message, before = self.message(answer), self.before(other)
        untaught = first_against(UNTAUGHT, TurnCase(message, 0, self._select, before=tuple(before)))
        if untaught:
            return untaught
        if message.replaced:
            return "answer_replaced"
        prompt = [turn.turn() for turn in before]
        if not self._renders([*prompt, message.turn(trained=True)]):
            return "cannot_be_rendered"
        if answer.home.part == "train" and not self._fits(prompt, message.turn(trained=True)):
            return "too_long"
        return None

    def message(self, answer: Answer) -> RatedMessage:
        """What the answer says, read again."""
        return self._candidates[answer.home.place].messages[answer.position]

    def before(self, answer: Answer) -> list[RatedMessage]:
        """The turns before the answer, read again."""
        messages = self._candidates[answer.home.place].messages
        return [messages[position] for position in answer.before]

    def _find_answers(self, weighed: WeighedFeedback) -> Iterator[tuple[Prompt, str]]:
        """The prompts of all answers that are named, which are noted on the way."""
        names = _names_by_conversation(weighed.pieces)
        for place in weighed.rated:
            candidate = self._candidates[place]
            originals = originals_of(candidate.messages)
            named = names[candidate.conversation]
            named |= {originals[name] for name in named if name in originals}
            self._originals |= {name: originals[name] for name in named if name in originals}
            home = self._homes[candidate.conversation] = _home(candidate, place)
            messages = {message.key.message: message for message in candidate.messages}
            positions = {name: position for position, name in enumerate(messages)}
            for name in sorted(named & messages.keys()):
                before = path_before(messages, messages[name])
                prompt, question = prompt_of(before, candidate.conversation)
                where = tuple(positions[message.key.message] for message in before)
                answer = self._answer(home, messages[name], positions[name], where, prompt)
                self._answers[name] = answer
                self._examples.setdefault(prompt, answer)
                yield prompt, question

    def _answer(
        self, home: Home, message: RatedMessage, position: int, before: tuple[int, ...], prompt: Prompt
    ) -> Answer:
        return Answer(
            home=home,
            name=message.key.message,
            revision=message.key.revision,
            parent=message.parent,
            position=position,
            before=before,
            is_answer=message.role == "assistant",
            prompt=prompt,
            intent=(prompt, home.part),
            text=digest(fold(message.said, "NFC")),
            flaw=first_against(UNFIT, TurnCase(message, self._count_tokens(message.said), self._select)),
        )

    def _with_intent(self, answer: Answer) -> Answer:
        return replace(answer, intent=(self.intents.of(answer.prompt), answer.home.part))

    def _question(self, prompt: Prompt) -> str:
        example = self._examples[prompt]
        return prompt_of(self.before(example), example.home.conversation)[1]


def fits_always(prompt: Sequence[Turn], answer: Turn) -> bool:
    """For where nothing is trained on."""
    return True


def _names_by_conversation(pieces: Iterable[Feedback]) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for piece in pieces:
        names.setdefault(piece.conversation, set()).update((piece.message, piece.other))
    return names


def _home(candidate: RatedConversation, place: int) -> Home:
    return Home(
        place=place,
        conversation=candidate.conversation,
        prompt_cluster=intern(candidate.prompt_cluster),
        part=candidate.part,
        topic=intern(candidate.topic),
        occurred_at=candidate.occurred_at,
        language=intern(candidate.language),
    )
