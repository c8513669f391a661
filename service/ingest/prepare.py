"""What ingest stores: a checked conversation, vote, correction or comparison, whether it came over HTTP, from a file or from our own chat."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec

from pipelines.errors import DataError
from service.ingest.body import Body, body_of
from service.ingest.meta import describe
from service.ingest.parse import refuse_blank
from service.ingest.wire import (
    ComparisonIn,
    ConversationIn,
    CorrectionIn,
    FeedbackSource,
    MessageIn,
    Role,
    State,
    VoteIn,
)

Result = Literal["created", "appended", "unchanged", "conflict", "invalid", "not_found", "failed"]
DEFAULT_APP = "default"
_STATUS: dict[Result, int] = {
    "created": 201,
    "appended": 200,
    "unchanged": 200,
    "conflict": 409,
    "invalid": 422,
    "not_found": 404,
    "failed": 500,
}
_FUTURE = timedelta(days=1)  # clocks of phones are wrong by hours, not by days
JUDGE = "judge"  # who rates where a judge's vote names nobody
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


class NewMessage(msgspec.Struct, frozen=True):
    """`served_by` is the id of our own model that wrote it, `model` what the sender calls the one that did.

    One that is not complete is stored and never trained on. `body` is all that it says, where that is more than text.
    """

    id: str
    role: Role
    content: str
    parent: str | None = None
    served_by: str | None = None
    state: State = "complete"
    body: Body | None = None
    model: str | None = None
    at: datetime | None = None

    @property
    def size(self) -> int:
        """Its characters, reasoning and tool calls among them."""
        return len(self.content) if self.body is None else self.body.size


class AnswerOf(NamedTuple):
    """An answer by its conversation's id and the model that wrote it, where a vote does not name the message."""

    conversation: str
    model: str


class NewVote(msgspec.Struct, frozen=True):
    """A vote as it shall stand: 1 up, -1 down, 0 retracted. `at` is when it was given, where the sender says so.

    With `answer` it is on the only answer of that model in that stored conversation, whatever `message` says; with `hashed`
    on the stored message with that keyed id, by who knows only that.
    """

    app: str
    message: str
    rater: str
    value: Literal[1, -1, 0]
    reason: str | None = None
    comment: str | None = None
    at: datetime | None = None
    source: FeedbackSource = "person"
    answer: AnswerOf | None = None
    hashed: str | None = None


class NewCorrection(msgspec.Struct, frozen=True):
    """What a person writes in place of an answer; None takes back what they wrote before. `hashed` as in NewVote."""

    app: str
    message: str
    rater: str
    content: str | None
    at: datetime | None = None
    source: FeedbackSource = "person"
    hashed: str | None = None


class NewComparison(msgspec.Struct, frozen=True):
    """One answer preferred to another; taken back where `stands` is false. `hashed` as in NewVote, the chosen one first."""

    app: str
    chosen: str
    rejected: str
    rater: str
    stands: bool = True
    at: datetime | None = None
    source: FeedbackSource = "person"
    hashed: tuple[str, str] | None = None


class Incoming(msgspec.Struct, frozen=True):
    """A conversation to store. `is_list`: the messages were sent without parents, so they start at the first one.

    `prompt` are how many of the first messages a comparison brought as its prompt: a stored conversation must have them.

    `meta` is JSON of what curation and people may want to know: client id, hints, model, metadata, tools. `notes` are
    sentences for the sender: what was not kept.
    """

    app: str
    id: str
    user: str
    messages: tuple[NewMessage, ...]
    is_list: bool
    occurred_at: datetime
    meta: bytes
    votes: tuple[NewVote, ...] = ()
    satisfaction: int | None = None
    consent: bool | None = None
    corrections: tuple[NewCorrection, ...] = ()
    comparisons: tuple[NewComparison, ...] = ()
    prompt: int = 0
    notes: tuple[str, ...] = ()


class Outcome(msgspec.Struct, frozen=True):
    """What became of one thing; `detail` is a sentence where it was refused. A stored correction's `id` is its own.

    `pending` are the messages that a comparison names and that are not stored yet.
    """

    id: str
    result: Result
    detail: str | None = None
    pending: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """The HTTP status of this outcome."""
        return _STATUS[self.result]


def prepare(given: ConversationIn, app: str, now: datetime, notes: tuple[str, ...] = ()) -> Incoming:
    """The conversation with every message named and linked to its parent.

    Raises:
        DataError: two messages with one id, a parent that comes later, a vote, correction or comparison of what is
            no answer of it, or a time that lies in the future or before the year 2000.
    """
    is_list = all(message.parent is None for message in given.messages)
    messages = _link(given, is_list, now)
    roles = {message.id: message.role for message in messages}
    return Incoming(
        app=app,
        id=given.id,
        user=given.user,
        messages=messages,
        is_list=is_list,
        occurred_at=now if given.time is None else in_utc(given.time, now),
        meta=describe(given.id, given.hints, given.model, given.metadata, given.tools),
        votes=tuple(_votes(given, app, messages, roles, now)) if given.votes else (),
        satisfaction=given.satisfaction,
        consent=given.consent,
        corrections=tuple(_corrections(given, app, messages, now)) if given.corrections else (),
        comparisons=tuple(_comparisons(given, app, messages, now)) if given.comparisons else (),
        notes=notes,
    )


def _link(given: ConversationIn, is_list: bool, now: datetime) -> tuple[NewMessage, ...]:
    names = [message.id or f"{given.id}:{position}" for position, message in enumerate(given.messages)]
    positions: dict[str, int] = {}
    for position, name in enumerate(names):
        if positions.setdefault(name, position) != position:
            raise DataError(f"messages: the id {name[:80]!r} is used twice in this conversation")
    linked = []
    for position, (name, message) in enumerate(zip(names, given.messages, strict=True)):
        if is_list:
            parent = names[position - 1] if position else None
        else:
            parent = _checked_parent(message, position, positions)
        at = None if message.time is None else in_utc(message.time, now, f"messages[{position}].time")
        body = body_of(message, message.weight)
        linked.append(
            NewMessage(name, message.role, message.content, parent, None, message.state, body, message.model, at)
        )
    return tuple(linked)


def _checked_parent(message: MessageIn, position: int, positions: Mapping[str, int]) -> str | None:
    if message.parent is not None and positions.get(message.parent, -1) >= position:
        raise DataError(
            f"messages[{position}].parent: {message.parent[:80]!r} does not come before it; send parents before children"
        )
    return message.parent


def _rater(given: ConversationIn, one: VoteIn | CorrectionIn | ComparisonIn, place: str) -> str:
    """Who gave it; a judge without a name is called so, as it is not the conversation's user."""
    if one.rater is not None and one.user is not None and one.rater != one.user:
        raise DataError(f"{place}: `user` and `rater` are two names of the same field, and these differ; send `user`")
    return one.user or one.rater or (JUDGE if one.source == "judge" else given.user)


def _votes(
    given: ConversationIn, app: str, messages: tuple[NewMessage, ...], roles: dict[str, Any], now: datetime
) -> list[NewVote]:
    found = []
    for number, vote in enumerate(given.votes):
        name = _named(vote.message, messages, f"votes[{number}].message")
        if roles.get(name, "assistant") != "assistant":
            raise DataError(
                f"votes[{number}].message: {name[:80]!r} is a {roles[name]} message; vote on an assistant's"
            )
        found.append(
            NewVote(
                app,
                name,
                _rater(given, vote, f"votes[{number}]"),
                1 if vote.value == "up" else -1,
                vote.reason,
                vote.comment or None,
                None if vote.time is None else in_utc(vote.time, now, f"votes[{number}].time"),
                vote.source,
            )
        )
    return found


def _corrections(given: ConversationIn, app: str, messages: Sequence[NewMessage], now: datetime) -> list[NewCorrection]:
    """The last one of each person for each answer, so that the same row again changes nothing."""
    found, by_name = {}, {message.id: message for message in messages}
    for number, correction in enumerate(given.corrections):
        name = _named(correction.message, messages, f"corrections[{number}].message")
        answer = _answer(name, by_name, f"corrections[{number}].message")
        refuse_blank(correction.content, f"corrections[{number}].content")
        rater = _rater(given, correction, f"corrections[{number}]")
        at = None if correction.time is None else in_utc(correction.time, now, f"corrections[{number}].time")
        found[answer.id, rater] = NewCorrection(app, answer.id, rater, correction.content, at, correction.source)
    return list(found.values())


def _comparisons(given: ConversationIn, app: str, messages: Sequence[NewMessage], now: datetime) -> list[NewComparison]:
    found, by_name = [], {message.id: message for message in messages}
    for number, comparison in enumerate(given.comparisons):
        chosen, rejected = (
            _answer(_named(side, messages, place), by_name, place)
            for side, place in (
                (comparison.chosen, f"comparisons[{number}].chosen"),
                (comparison.rejected, f"comparisons[{number}].rejected"),
            )
        )
        if chosen is rejected or chosen.parent != rejected.parent or chosen.parent is None:
            raise DataError(
                f"comparisons[{number}]: {chosen.id[:80]!r} and {rejected.id[:80]!r} are not two answers to one message"
            )
        rater = _rater(given, comparison, f"comparisons[{number}]")
        at = None if comparison.time is None else in_utc(comparison.time, now, f"comparisons[{number}].time")
        found.append(NewComparison(app, chosen.id, rejected.id, rater, at=at, source=comparison.source))
    return found


def _answer(name: str, by_name: Mapping[str, NewMessage], place: str) -> NewMessage:
    found = by_name.get(name)
    if found is None:
        raise DataError(f"{place}: {name[:80]!r} is not a message of this conversation; send that message along")
    if found.role != "assistant":
        raise DataError(f"{place}: {name[:80]!r} is a {found.role} message; name an assistant's")
    return found


def _named(given: str | int, messages: Sequence[NewMessage], place: str) -> str:
    """The message's id, where its position may be given instead."""
    if isinstance(given, str):
        return given
    if not 0 <= given < len(messages):
        raise DataError(f"{place}: there is no message at position {str(given)[:20]}")
    return messages[given].id


def in_utc(time: datetime, now: datetime, place: str = "time") -> datetime:
    """A time that a sender names, in UTC; without a zone it is taken for UTC.

    Raises:
        DataError: it lies in the future, or before the year 2000; the sentence begins with `place`.
    """
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    if not _EARLIEST <= time <= now + _FUTURE:
        raise DataError(
            f"{place}: {time.isoformat()} lies in the future or before the year 2000; write e.g. {now:%Y-%m-%dT%H:%M:%SZ}"
        )
    return time.astimezone(UTC)
