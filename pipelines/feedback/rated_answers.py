"""The answers that feedback names: the turns before each, what keeps it from being chosen, and feedback that names none.

RULES say which feedback speaks of answers that are there; UNFIT which answers may be rejected but never chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.feedback.drafts import Answer
from pipelines.feedback.lesson import FORM_FLAWS, UNTAUGHT, Flaw, TurnCase
from pipelines.feedback.pieces import Feedback, pieces_of
from pipelines.feedback.rules import Rule, first_against
from pipelines.feedback.same_prompt import Intents, prompt_of
from pipelines.feedback.select import Renders
from pipelines.feedback.tree import originals_of, path_before
from pipelines.recipe import Select
from pipelines.records import RatedConversation, RatedMessage, Turn
from pipelines.text import fold

# Whether training can read an answer to these turns whole.
Fits = Callable[[Sequence[Turn], str], bool]
UNFIT: tuple[Flaw, ...] = FORM_FLAWS


@dataclass(frozen=True)
class NamedAnswers:
    """The argument of a rule: a piece of feedback, its conversation, how many answers it names and those that are there."""

    candidate: RatedConversation
    names: int
    answers: tuple[Answer, ...]
    select: Select


RULES: tuple[Rule[NamedAnswers, bool], ...] = (
    Rule(
        "other_language",
        "its conversation is not in the recipe's primary language",
        lambda named: named.select.language.primary not in (None, named.candidate.language),
    ),
    Rule(
        "answer_gone",
        "an answer that it names is not in its conversation, or was not fit to keep",
        lambda named: len(named.answers) < named.names,
    ),
    Rule(
        "not_an_answer",
        "what was rated is not an answer of the assistant",
        lambda named: any(answer.message.role != "assistant" for answer in named.answers),
    ),
    Rule(
        "other_prompt",
        "the two answers do not answer the same prompt",
        lambda named: len({answer.message.parent for answer in named.answers}) > 1,
    ),
)


class RatedAnswers:
    """All answers that feedback in these conversations names, by message id, with the intents of their prompts."""

    def __init__(
        self,
        candidates: Sequence[RatedConversation],
        select: Select,
        count_tokens: Callable[[str], int],
        renders: Renders,
        fits: Fits,
    ) -> None:
        self._select, self._count_tokens, self._renders, self._fits = select, count_tokens, renders, fits
        self._originals: dict[str, str] = {}
        homes = {candidate.conversation: candidate for candidate in candidates if any(pieces_of(candidate))}
        paths = {name: _paths(candidate, self._names(candidate)) for name, candidate in homes.items()}
        self.intents = Intents(
            prompt_of(before, home) for home, contexts in paths.items() for before in contexts.values()
        )
        self._answers = {
            name: self._answer(homes[home], name, before)
            for home, contexts in paths.items()
            for name, before in contexts.items()
        }

    def __getitem__(self, name: str) -> Answer:
        return self._answers[name]

    def original(self, correction: str) -> str:
        """The message that a correction replaces in the end, both by id."""
        return self._originals[correction]

    def why_unusable(self, candidate: RatedConversation, piece: Feedback) -> str | None:
        """The rule by which a piece of feedback speaks of nothing that could be learnt; None where it does."""
        names = [name for name in (piece.message, piece.other) if name]
        there = tuple(self._answers[name] for name in names if name in self._answers)
        return first_against(RULES, NamedAnswers(candidate, len(names), there, self._select))

    def unreadable(self, *answers: Answer) -> str | None:
        """The rule by which nothing is learnt of one of these, or by which it cannot be read with its prompt."""
        for answer in answers:
            untaught = first_against(UNTAUGHT, TurnCase(answer.message, 0, self._select, before=answer.before))
            if untaught:
                return untaught
            if answer.message.replaced:
                return "answer_replaced"
            if answer.message.tool_calls:
                return "calls_a_tool"
            prompt = [message.turn() for message in answer.before]
            if not self._renders([*prompt, answer.message.turn(trained=True)]):
                return "cannot_be_rendered"
            if answer.candidate.part == "train" and not self._fits(prompt, answer.message.text):
                return "too_long"
        return None

    def _names(self, candidate: RatedConversation) -> set[str]:
        """The messages of a conversation that its feedback names, and the answers that corrections go back to."""
        self._originals |= originals_of(candidate.messages)
        names = {name for piece in pieces_of(candidate) for name in (piece.message, piece.other)}
        return names | {self._originals[name] for name in names if name in self._originals}

    def _answer(self, candidate: RatedConversation, name: str, before: tuple[RatedMessage, ...]) -> Answer:
        message = next(message for message in candidate.messages if message.key.message == name)
        prompt = prompt_of(before, candidate.conversation)
        return Answer(
            candidate=candidate,
            message=message,
            before=before,
            prompt=prompt,
            intent=(self.intents.of(prompt), candidate.part),
            text=fold(message.said, "NFC"),
            flaw=first_against(UNFIT, TurnCase(message, self._count_tokens(message.said), self._select)),
        )


def fits_always(prompt: Sequence[Turn], answer: str) -> bool:
    """For where nothing is trained on."""
    return True


def _paths(candidate: RatedConversation, names: set[str]) -> Mapping[str, tuple[RatedMessage, ...]]:
    """The turns before each of these messages, as far as they are in the conversation."""
    messages = {message.key.message: message for message in candidate.messages}
    return {name: path_before(messages, messages[name]) for name in sorted(names & messages.keys())}
