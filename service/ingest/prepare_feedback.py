"""What ingest stores of feedback that comes by itself: a vote, a correction, a comparison with its prompt and answers."""

from datetime import datetime
from hashlib import sha256
from typing import Literal

from msgspec.structs import replace

from pipelines.errors import DataError
from service.ingest.prepare import Incoming, NewCorrection, NewVote, in_utc, prepare
from service.ingest.wire import (
    AnswerIn,
    ComparisonIn,
    ConversationIn,
    CorrectionChangeIn,
    MessageIn,
    PromptMessageIn,
    VoteChangeIn,
    WholeComparisonIn,
)


def prepare_vote(given: VoteChangeIn, message: str, app: str, now: datetime) -> NewVote:
    """A vote on a message by its id. Raises DataError if its time cannot be."""
    value: Literal[1, -1] = 1 if given.value == "up" else -1
    at = None if given.time is None else in_utc(given.time, now)
    return NewVote(app, message, given.user, value, given.reason, given.comment or None, at, given.source)


def prepare_correction(given: CorrectionChangeIn, message: str, app: str, now: datetime) -> NewCorrection:
    """A correction of a message by its id. Raises DataError if its time cannot be."""
    at = None if given.time is None else in_utc(given.time, now)
    return NewCorrection(app, message, given.user, given.content, at, given.source)


def prepare_comparison(given: WholeComparisonIn, app: str, now: datetime, notes: tuple[str, ...] = ()) -> Incoming:
    """The conversation that a comparison brings along: its prompt, the rejected answer, and the chosen one beside it.

    An answer without an id is named by its text, so that preferring the other one next time changes the comparison
    and not the conversation.

    Raises:
        DataError: like `prepare`, and where the answers are the same or the prompt ends with an answer.
    """
    names = [_answer_name(given.id, answer) for answer in (given.rejected, given.chosen)]
    if names[0] == names[1] or _text_of(given.rejected) == _text_of(given.chosen):
        raise DataError("chosen and rejected are the same answer; compare two different ones")
    if given.prompt[-1].role not in ("user", "tool"):
        raise DataError(
            f"prompt: its last message is of the role {given.prompt[-1].role!r}; end it with what was answered, a user's"
        )
    asked = [message.id or f"{given.id}:{position}" for position, message in enumerate(given.prompt)]
    parents = [None, *asked]
    messages = [
        *(_prompt_message(m, asked[at], parents[at]) for at, m in enumerate(given.prompt)),
        _answer_message(given.rejected, names[0], asked[-1]),
        _answer_message(given.chosen, names[1], asked[-1]),
    ]
    whole = ConversationIn(
        id=given.id,
        user=given.user,
        messages=tuple(messages),
        app=given.app,
        hints=given.hints,
        model=given.model,
        consent=given.consent,
        time=given.time,
        metadata=given.metadata,
        comparisons=(ComparisonIn(names[1], names[0], source=given.source),),
        tools=given.tools,
    )
    return replace(prepare(whole, app, now, notes), prompt=len(given.prompt))


def _prompt_message(given: PromptMessageIn, id: str, parent: str | None) -> MessageIn:
    values = {name: getattr(given, name) for name in given.__struct_fields__}
    return MessageIn(**values | {"id": id, "parent": parent})


def _answer_message(given: AnswerIn, id: str, parent: str) -> MessageIn:
    return MessageIn("assistant", given.content, id, parent, given.reasoning, given.tool_calls, model=given.model)


def _answer_name(conversation_id: str, answer: AnswerIn) -> str:
    return answer.id or f"{conversation_id}:{sha256(_text_of(answer).encode()).hexdigest()[:32]}"


def _text_of(answer: AnswerIn) -> str:
    """All that an answer says, as one text."""
    return "\n".join([answer.content, *(f"{call.name}({call.arguments})" for call in answer.tool_calls)])
