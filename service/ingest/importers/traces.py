"""What the programs that watch models (Langfuse, Phoenix, Opik, MLflow) have in common: a call with its input and output,
and scores about it, given by people or by other models.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from service.ingest.importers.items import Note, Options, inside
from service.ingest.prepare import JUDGE, NewVote
from service.ingest.wire import ConversationIn, MessageIn, State, ToolIn

EARLIEST = datetime.min.replace(tzinfo=UTC)


class Made(NamedTuple):
    """Who made a call, with which model, when, how it ended, and which tools there were."""

    user: str
    model: str | None = None
    time: datetime | None = None
    state: State = "complete"
    tools: tuple[ToolIn, ...] = ()


def exchange(id: str, asked: Sequence[MessageIn], answered: Sequence[MessageIn], made: Made) -> ConversationIn:
    """The conversation of one call. Its last answer has the id of the conversation: that is what scores are about."""
    last = max(at for at, message in enumerate(answered) if message.role == "assistant")
    names = [inside(id, str(at)) for at in range(len(asked))]
    names += [id if at == last else inside(id, f"out{at}") for at in range(len(answered))]
    outputs = [_output(message, made) for message in answered]
    messages = [
        msgspec.structs.replace(message, id=name, parent=parent)
        for message, name, parent in zip([*asked, *outputs], names, [None, *names], strict=False)
    ]
    return ConversationIn(
        id=id, user=made.user, messages=tuple(messages), model=made.model, time=made.time, tools=made.tools
    )


def _output(message: MessageIn, made: Made) -> MessageIn:
    if message.role != "assistant":
        return message
    return msgspec.structs.replace(message, model=made.model, time=made.time, state=made.state)


class Answer(NamedTuple):
    """The answer that stands for a whole trace, and the person who asked."""

    id: str
    is_root: bool
    time: datetime
    user: str | None


@dataclass
class Answers:
    """The answer of each trace so far: the root's, else the last one's; and who asked. About a hundred bytes a trace."""

    _by_trace: dict[str, Answer] = field(default_factory=dict)

    def note(self, trace: str, id: str, *, is_root: bool, time: datetime | None, user: str | None) -> None:
        """Notes an answer of a trace."""
        before = self._by_trace.get(trace)
        found = Answer(id, is_root, time or EARLIEST, user)
        if before is None or (before.is_root, before.time) <= (found.is_root, found.time):
            self._by_trace[trace] = found if before is None or user else found._replace(user=before.user)

    def of(self, trace: str) -> Answer | None:
        """The answer that stands for a trace, if it came by."""
        return self._by_trace.get(trace)


@dataclass(frozen=True)
class Score:
    """A score: on which message, by which name and value; `rater` is who gave it, None where nobody is named."""

    message: str
    name: str
    value: Any
    rater: str | None
    is_judge: bool = False
    comment: str | None = None
    at: datetime | None = None


def votes_of(score: Score, options: Options) -> list[NewVote | Note]:
    """The vote that a score is, and a note where it is none, or no person's.

    Raises:
        NotTaken: a person gave it, and nothing says who.
    """
    thumb = options.thumb(score.name, score.value)
    if thumb is None:
        return [Note("not_a_thumb")]
    vote = NewVote(
        app=options.app,
        message=score.message,
        rater=JUDGE if score.is_judge else options.person(score.rater, score.message),
        value=1 if thumb == "up" else -1,
        comment=score.comment,
        at=score.at,
        source="judge" if score.is_judge else "person",
    )
    return [vote, Note("judge")] if score.is_judge else [vote]
