"""What ingest stores: a checked conversation or vote, whether it came over HTTP, from a file or from our own chat."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from pipelines.errors import DataError
from service.ingest.shapes import ConversationIn, MessageIn

Result = Literal["created", "appended", "unchanged", "conflict", "invalid"]
DEFAULT_APP = "default"
_STATUS: dict[Result, int] = {
    "created": 201,
    "appended": 200,
    "unchanged": 200,
    "conflict": 409,
    "invalid": 422,
}
_FUTURE = timedelta(days=1)  # clocks of phones are wrong by hours, not by days
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class NewMessage:
    """`served_by` is the id of our own model that wrote it; an incomplete reply is stored and never trained on."""

    id: str
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    parent: str | None = None
    served_by: str | None = None
    complete: bool = True


@dataclass(frozen=True, slots=True)
class NewVote:
    """A vote as it shall stand: 1 up, -1 down, 0 retracted."""

    app: str
    message: str
    rater: str
    value: Literal[1, -1, 0]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A conversation to store. `is_list`: the messages were sent without parents, so they start at the first one.

    `meta` is JSON of what curation and people may want to know: client id, hints, model, metadata.
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one conversation or vote; `detail` is a sentence where it was refused."""

    id: str
    result: Result
    detail: str | None = None

    @property
    def status(self) -> int:
        return _STATUS[self.result]


def prepare(given: ConversationIn, app: str, now: datetime) -> Incoming:
    """The conversation with every message named and linked to its parent.

    Raises:
        DataError: two messages with one id, a parent that comes later, a vote on no assistant message of it, or a
            time that lies in the future or before the year 2000.
    """
    is_list = all(message.parent is None for message in given.messages)
    messages = _link(given, is_list)
    roles = {message.id: message.role for message in messages}
    return Incoming(
        app=app,
        id=given.id,
        user=given.user,
        messages=messages,
        is_list=is_list,
        occurred_at=_in_utc(given.time, now),
        meta=describe(given.id, given.hints, given.model, given.metadata),
        votes=tuple(_votes(given, app, messages, roles)) if given.votes else (),
        satisfaction=given.satisfaction,
        consent=given.consent,
    )


def describe(client_id: str, hints: Any = None, model: str | None = None, metadata: Any = None) -> bytes:
    """The JSON that is sealed beside a conversation; read back with `read_meta`."""
    return msgspec.json.encode({"id": client_id, "hints": hints, "model": model, "metadata": metadata})


class Meta(msgspec.Struct, frozen=True):
    """What was sealed beside a conversation."""

    id: str
    hints: dict[str, str | None] | None = None
    model: str | None = None
    metadata: dict[str, Any] | None = None


def read_meta(plain: bytes) -> Meta:
    return msgspec.json.decode(plain, type=Meta)


def _link(given: ConversationIn, is_list: bool) -> tuple[NewMessage, ...]:
    names = [message.id or f"{given.id}:{position}" for position, message in enumerate(given.messages)]
    if len(set(names)) < len(names):
        twice = next(name for position, name in enumerate(names) if name in names[:position])
        raise DataError(f"messages: the id {twice[:80]!r} is used twice in this conversation")
    linked = []
    for position, (name, message) in enumerate(zip(names, given.messages, strict=True)):
        if is_list:
            parent = names[position - 1] if position else None
        else:
            parent = _checked_parent(message, position, names)
        linked.append(NewMessage(name, message.role, message.content, parent))
    return tuple(linked)


def _checked_parent(message: MessageIn, position: int, names: list[str]) -> str | None:
    if message.parent is not None and message.parent in names[position:]:
        raise DataError(
            f"messages[{position}].parent: {message.parent[:80]!r} does not come before it; send parents before children"
        )
    return message.parent


def _votes(
    given: ConversationIn, app: str, messages: tuple[NewMessage, ...], roles: dict[str, Any]
) -> list[NewVote]:
    found = []
    for number, vote in enumerate(given.votes):
        name = vote.message
        if isinstance(name, int):
            if not 0 <= name < len(messages):
                raise DataError(f"votes[{number}].message: there is no message at position {str(name)[:20]}")
            name = messages[name].id
        if roles.get(name, "assistant") != "assistant":
            raise DataError(
                f"votes[{number}].message: {name[:80]!r} is a {roles[name]} message; vote on an assistant's"
            )
        found.append(NewVote(app, name, vote.rater or given.user, 1 if vote.value == "up" else -1))
    return found


def _in_utc(time: datetime | None, now: datetime) -> datetime:
    if time is None:
        return now
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    if not _EARLIEST <= time <= now + _FUTURE:
        raise DataError(
            f"time: {time.isoformat()} lies in the future or before the year 2000; write e.g. {now:%Y-%m-%dT%H:%M:%SZ}"
        )
    return time.astimezone(UTC)
