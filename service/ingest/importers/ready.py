"""What an importer found, made ready to be stored: with what holds for all that do not say, checked as the API checks it."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, get_args

import msgspec

from pipelines.errors import InputError
from service.ingest.importers.thumbs import Thumb
from service.ingest.parse import parse_conversation
from service.ingest.prepare import Incoming, prepare
from service.ingest.wire import ConversationIn, MessageIn, VoteIn

Rating = int | Thumb


@dataclass(frozen=True)
class Terms:
    """What holds for conversations that do not say: consent, a rating, the app; and whether answers are learned from."""

    consent: bool | None = None
    rating: Rating | None = None
    app: str | None = None
    learns_answers: bool = True


class ReadyConversation(NamedTuple):
    """A conversation as the API takes it and as the database stores it, and why no round can learn from it, if so."""

    row: bytes
    incoming: Incoming
    lack: str | None
    is_copy: bool


def make_ready(
    given: ConversationIn, terms: Terms, default_app: str, now: datetime, is_copy: bool
) -> ReadyConversation:
    """The conversation, checked.

    Raises:
        DataError: it breaks a rule of what can be stored; the sentence names the field.
    """
    row = msgspec.json.encode(_with_terms(given, terms))
    sent = parse_conversation(row)
    return ReadyConversation(row, prepare(sent, sent.app or default_app, now), lack_of(sent), is_copy)


def parse_rating(text: str) -> Rating:
    """A rating as people type it: 1 to 5, up or down.

    Raises:
        InputError: it is none of these.
    """
    if text in get_args(Thumb):
        return "up" if text == "up" else "down"
    if text in ("1", "2", "3", "4", "5"):
        return int(text)
    raise InputError(f"the rating {text[:40]!r} is none of 1, 2, 3, 4, 5, up, down")


def lack_of(row: ConversationIn) -> str | None:
    """Why no round can learn from a conversation as it was sent, in the names of selection's rules; None if one can.

    Selection asks more, of the answers' text and of a recipe's minimum; these are what whoever sends it can mend.
    """
    checks = (
        ("no_consent", row.consent is not True),
        ("no_answer", all(message.role != "assistant" for message in row.messages)),
        ("unrated", row.satisfaction is None and not (row.votes or row.corrections or row.comparisons)),
    )
    return next((name for name, holds in checks if holds), None)


def hide_addresses(sentence: str) -> str:
    """The sentence without e-mail addresses, which some programs use as ids."""
    return re.sub(r"[^\s'\"<>(]+@[^\s'\"<>)]+", "[e-mail]", sentence)


def _with_terms(given: ConversationIn, terms: Terms) -> ConversationIn:
    changes: dict[str, object] = {}
    if given.consent is None and terms.consent is not None:
        changes["consent"] = terms.consent
    if given.app is None and terms.app is not None:
        changes["app"] = terms.app
    if not terms.learns_answers:
        changes["messages"] = tuple(map(_as_context, given.messages))
    if given.satisfaction is None and not given.votes:
        changes |= _rated(given, terms.rating)
    return msgspec.structs.replace(given, **changes) if changes else given


def _as_context(message: MessageIn) -> MessageIn:
    return msgspec.structs.replace(message, weight=0) if message.role == "assistant" else message


def _rated(given: ConversationIn, rating: Rating | None) -> dict[str, object]:
    if rating is None:
        return {}
    if isinstance(rating, int):
        return {"satisfaction": rating}
    answers = [at for at, one in enumerate(given.messages) if one.role == "assistant"]
    value: Literal["up", "down"] = rating
    return {"votes": tuple(VoteIn(message=at, value=value) for at in answers)}
