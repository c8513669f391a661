"""What the client gives back, and one item on its way.

A line of a spool file is one item:

    {"kind": "vote", "message": "m-2", "take_back": false, "body": {"value": "up", "user": "u-4"}}
"""

import json
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

Kind = Literal["conversation", "vote", "correction", "comparison"]
Waiting = Literal["idle", "delivering", "server away", "server refuses"]
_KINDS = get_args(Kind)


@dataclass(frozen=True)
class Receipt:
    """What was handed over.

    `id` is the conversation's or comparison's id, or that of the message that a vote or correction is about; `messages`
    are the ids of a conversation's messages, in order, to vote on. `accepted` is false where it was dropped or rejected.
    """

    id: str
    messages: tuple[str, ...] = ()
    accepted: bool = True


@dataclass(frozen=True)
class Rejection:
    """An item that will not be stored, with the service's sentence (`status` None: it could not be written as JSON)."""

    kind: Kind
    id: str
    status: int | None
    detail: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Status:
    """Counts since the client was made; `waiting` includes what earlier processes left in the spool."""

    state: Waiting
    waiting: int
    delivered: int
    rejected: int
    dropped: int


@dataclass(frozen=True)
class Item:
    """One thing to deliver."""

    kind: Kind
    body: dict[str, Any]
    message: str | None = None
    take_back: bool = False

    @property
    def id(self) -> str:
        """The id that a receipt names."""
        return self.message or str(self.body.get("id") or self.body.get("chosen") or "")

    @property
    def brings_feedback(self) -> bool:
        """Whether it is a conversation with votes, corrections or comparisons in it."""
        return any(self.body.get(name) for name in ("votes", "corrections", "comparisons"))

    def to_line(self) -> bytes:
        """The item as one line of JSON; the body holds nothing but JSON's own types."""
        whole = {"kind": self.kind, "message": self.message, "take_back": self.take_back, "body": self.body}
        return encode(whole) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self | None:
        """The item of a line; None where the line is no item (half a line, bytes of a damaged disk)."""
        try:
            whole = json.loads(line)
            kind, body, message = whole["kind"], whole["body"], whole["message"]
        except (ValueError, KeyError, TypeError):
            return None
        needs_message = kind in ("vote", "correction")
        if kind not in _KINDS or not isinstance(body, dict) or (needs_message and not isinstance(message, str)):
            return None
        return cls(kind, body, message, whole.get("take_back") is True)


def encode(value: Any) -> bytes:
    """Compact JSON in UTF-8; half a surrogate pair is escaped, so that the service can say what is wrong with it."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
