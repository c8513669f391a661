"""The lesson of a conversation: the one path that would be learnt, its good answers, and the flaws of the others.

A flaw keeps loss from a turn, which stays as context. Where all answers have one flaw that has a name of its own, it is
also the reason against the conversation.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.curate.thinking import has_stray_marks
from pipelines.feedback.echo import echoes_its_prompt
from pipelines.feedback.path import best_path
from pipelines.feedback.rules import Rule, first_against
from pipelines.feedback.tree import net_votes
from pipelines.recipe import Select
from pipelines.records import RatedConversation, RatedMessage


@dataclass(frozen=True)
class TurnCase:
    """A turn as the flaws look at it. `liked`: its conversation has a good satisfaction.

    `votes` are the net votes on it; on a call of a tool those on the answer that came of it.
    """

    message: RatedMessage
    tokens: int
    select: Select
    votes: int = 0
    before: tuple[RatedMessage, ...] = ()
    liked: bool = False


Flaw = Rule[TurnCase, bool]

_NOT_AN_ANSWER: Flaw = Rule("not_an_answer", "is not the assistant's", lambda turn: turn.message.role != "assistant")
# What is no whole answer of a model to what it was shown is neither learnt nor held against it.
UNTAUGHT: tuple[Flaw, ...] = (
    Rule("failed_turn", "ended in an error", lambda turn: turn.message.state == "error"),
    Rule("unfinished", "was cut off", lambda turn: turn.message.state == "unfinished"),
    Rule(
        "stray_marks",
        "holds marks of thinking or of turns that only a template writes",
        lambda turn: has_stray_marks(turn.message.text),
    ),
    Rule("weight_zero", "was sent with the weight 0", lambda turn: turn.message.weight == 0),
    Rule("broken_call", "calls a tool with arguments that are no JSON object", lambda turn: _is_broken(turn.message)),
    Rule(
        "part_dropped",
        "answers what a picture, sound or file held, which is not kept",
        lambda turn: any(message.parts for message in turn.before),
    ),
)
# Curation replaced what was asked about or answered: learnt, rejected or measured, it would be a falsehood.
REPLACED: Flaw = Rule(
    "replaced",
    "no longer says what was said: names or numbers that it is about were replaced",
    lambda turn: turn.message.replaced,
)
# Without a good satisfaction only an up-vote speaks for an answer.
_VOTE_FLAWS: tuple[Flaw, ...] = (
    Rule("down_voted", "has more votes against it than for it", lambda turn: turn.votes < 0),
    Rule("not_voted_up", "has nothing that speaks for it", lambda turn: not turn.liked and turn.votes == 0),
)
FORM_FLAWS: tuple[Flaw, ...] = (
    Rule("language_mixed", "mixes languages", lambda turn: turn.message.mixing > turn.select.language.max_mixing),
    Rule(
        "response_too_short",
        "is shorter than allowed",
        lambda turn: not turn.message.tool_calls and turn.tokens < turn.select.response_tokens[0],
    ),
    Rule("response_too_long", "is longer than allowed", lambda turn: turn.tokens > turn.select.response_tokens[1]),
)
_ECHO: Flaw = Rule(
    "echo",
    "only repeats what its prompt put into its mouth",
    lambda turn: turn.select.feedback.echo and echoes_its_prompt(turn.message, turn.before),
)
# Echoes last, and of good answers only: that is the slowest to tell.
FLAWS: tuple[Flaw, ...] = (_NOT_AN_ANSWER, *UNTAUGHT, *_VOTE_FLAWS, REPLACED, *FORM_FLAWS, _ECHO)
# Those that are the reason against a conversation whose answers all have them.
NAMED_FLAWS: tuple[Flaw, ...] = (*UNTAUGHT, REPLACED, *FORM_FLAWS, _ECHO)


@dataclass(frozen=True)
class Lesson:
    """A conversation with the one path that would be learnt: by turn the tokens, and what keeps it from being trained."""

    candidate: RatedConversation
    path: tuple[RatedMessage, ...]
    counts: tuple[int, ...]
    flaws: tuple[str | None, ...]
    trained: tuple[bool, ...]
    liked: bool

    @property
    def name(self) -> str:
        """The hash of its conversation."""
        return self.candidate.conversation

    @property
    def tokens(self) -> int:
        """The tokens with loss."""
        return sum(count for count, good in zip(self.counts, self.trained, strict=True) if good)

    @property
    def answers(self) -> tuple[RatedMessage, ...]:
        """The assistant's messages on the path."""
        return tuple(message for message in self.path if message.role == "assistant")

    @property
    def common_flaw(self) -> str | None:
        """The flaw that all answers have; None where they differ, or one is good."""
        flaws = {flaw for message, flaw in zip(self.path, self.flaws, strict=True) if message.role == "assistant"}
        return flaws.pop() if len(flaws) == 1 else None

    @property
    def tokens_by_writer(self) -> Mapping[str, int]:
        """Trained tokens by whom they are counted against: what a corrector wrote is the corrector's."""
        tokens: Counter[str] = Counter()
        for writer, count, good in zip(self.writers, self.counts, self.trained, strict=True):
            if good:
                tokens[writer] += count
        return tokens

    @property
    def writers(self) -> tuple[str, ...]:
        """Who taught each message: its corrector, else the conversation's person."""
        return tuple(message.corrects.rater if message.corrects else self.candidate.person for message in self.path)

    @property
    def newest_first(self) -> tuple[float, str]:
        """A correction makes a conversation as new as itself."""
        times = [self.candidate.occurred_at, *(message.corrects.at for message in self.path if message.corrects)]
        return (-max(times).timestamp(), self.candidate.conversation)

    @property
    def pair(self) -> tuple[str, ...]:
        """What prompt and answers it stands for: a corrected answer is another one than its cluster was made from."""
        return (self.candidate.pair_cluster, *(message.key.message for message in self.path if message.corrects))


def lesson_of(candidate: RatedConversation, select: Select, count_tokens: Callable[[str], int]) -> Lesson:
    """The path of a conversation with its flaws; `count_tokens` counts an answer's text."""
    path = best_path(candidate.messages)
    counts = tuple(count_tokens(message.said) if message.role == "assistant" else 0 for message in path)
    liked = candidate.satisfaction is not None and candidate.satisfaction >= select.min_satisfaction
    turns = (
        TurnCase(message, counts[place], select, _votes(path, place), path[:place], liked)
        for place, message in enumerate(path)
    )
    flaws = tuple(first_against(FLAWS, turn) for turn in turns)
    return Lesson(candidate, path, counts, flaws, tuple(flaw is None for flaw in flaws), liked)


def _votes(path: Sequence[RatedMessage], place: int) -> int:
    """People vote on what they read: a vote on an answer speaks for the calls of tools that it came of."""
    while path[place].tool_calls and net_votes(path[place]) == 0:
        later = range(place + 1, len(path))
        answer = next((other for other in later if path[other].role != "tool"), None)
        if answer is None or path[answer].role != "assistant":
            break
        place = answer
    return net_votes(path[place])


def _is_broken(message: RatedMessage) -> bool:
    return any(not isinstance(_parsed(call.arguments), dict) for call in message.tool_calls)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
