"""The shapes of what apps send (parse.py reads them, and says what is wrong with others).

    {"id": "c-17", "user": "u-4", "consent": true, "satisfaction": 5,
     "messages": [{"id": "m-1", "role": "user", "content": "Hi"},
                  {"id": "m-2", "role": "assistant", "content": "Hello!"},
                  {"id": "m-3", "role": "assistant", "content": "Good day!", "parent": "m-1"}],
     "votes": [{"message": "m-3", "value": "up", "rater": "u-4"}],
     "corrections": [{"message": "m-2", "content": "Hello, Ana!", "rater": "u-4"}],
     "comparisons": [{"chosen": "m-3", "rejected": "m-2", "rater": "u-4"}],
     "hints": {"language": "en", "topic": "small talk"}, "model": "tiny-origin", "time": "2026-11-20T12:00:00Z",
     "app": "default", "metadata": {"screen": "home"}}

Without ids a message is called `<conversation id>:<position>`, positions from 0; votes, corrections and comparisons may
name the position instead. Corrections and comparisons are about messages of the same row.

A comparison that brings its own prompt (POST /v1/comparisons):

    {"id": "p-8", "user": "u-4", "consent": true, "prompt": [{"role": "user", "content": "Hi"}],
     "chosen": {"content": "Good day!"}, "rejected": {"content": "Yo."}}
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

MAX_MESSAGES = 2_000
MAX_CHARACTERS = 200_000
MAX_BATCH = 1_000

Identifier = Annotated[str, Meta(min_length=1, max_length=256)]
Label = Annotated[str, Meta(max_length=256)]
Text = Annotated[str, Meta(min_length=1, max_length=MAX_CHARACTERS)]


class MessageIn(Struct, frozen=True, forbid_unknown_fields=True):
    """One message of a conversation that an app sends; without `parent` it follows the one before it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Annotated[str, Meta(max_length=MAX_CHARACTERS)]
    id: Identifier | None = None
    parent: Identifier | None = None


class VoteIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A thumb on a message, by its id or its place in the list."""

    message: Identifier | int
    value: Literal["up", "down"]
    rater: Identifier | None = None


class CorrectionIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A better answer in place of a message, by its id or its place in the list."""

    message: Identifier | int
    content: Text
    rater: Identifier | None = None


class ComparisonIn(Struct, frozen=True, forbid_unknown_fields=True):
    """One answer preferred to another, by their ids or their places in the list."""

    chosen: Identifier | int
    rejected: Identifier | int
    rater: Identifier | None = None


class HintsIn(Struct, frozen=True, forbid_unknown_fields=True):
    """What the app says of a conversation's language and topic."""

    language: Label | None = None
    topic: Label | None = None


class ConversationIn(Struct, frozen=True, forbid_unknown_fields=True):
    """One conversation as an app sends it, with what people said of it."""

    id: Identifier
    user: Identifier
    messages: Annotated[tuple[MessageIn, ...], Meta(min_length=1, max_length=MAX_MESSAGES)]
    app: Identifier | None = None
    satisfaction: Annotated[int, Meta(ge=1, le=5)] | None = None
    votes: Annotated[tuple[VoteIn, ...], Meta(max_length=MAX_MESSAGES)] = ()
    hints: HintsIn | None = None
    model: Label | None = None
    consent: bool | None = None
    time: datetime | None = None
    metadata: dict[str, Any] | None = None
    corrections: Annotated[tuple[CorrectionIn, ...], Meta(max_length=MAX_MESSAGES)] = ()
    comparisons: Annotated[tuple[ComparisonIn, ...], Meta(max_length=MAX_MESSAGES)] = ()


class VoteChangeIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of PUT /v1/votes/{message id}."""

    value: Literal["up", "down"]
    user: Identifier
    app: Identifier | None = None


class RetractionIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The body that DELETE /v1/votes/{message id} may have; `value` is ignored."""

    user: Identifier | None = None
    app: Identifier | None = None
    value: Literal["up", "down"] | None = None


class CorrectionChangeIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/messages/{id}/corrections."""

    content: Text
    user: Identifier
    app: Identifier | None = None


class ComparisonChangeIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST and DELETE /v1/comparisons about two answers by their message ids."""

    chosen: Identifier
    rejected: Identifier
    user: Identifier
    app: Identifier | None = None


class AnswerIn(Struct, frozen=True, forbid_unknown_fields=True):
    """One of the two answers of a comparison that brings them along."""

    content: Text
    id: Identifier | None = None


class PromptMessageIn(Struct, frozen=True, forbid_unknown_fields=True):
    """One message of the prompt of a comparison that brings it along."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Annotated[str, Meta(max_length=MAX_CHARACTERS)]
    id: Identifier | None = None


class WholeComparisonIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST and DELETE /v1/comparisons that brings prompt and answers along; `id` names the conversation."""

    id: Annotated[str, Meta(min_length=1, max_length=200)]
    user: Identifier
    prompt: Annotated[tuple[PromptMessageIn, ...], Meta(min_length=1, max_length=MAX_MESSAGES - 2)]
    chosen: AnswerIn
    rejected: AnswerIn
    app: Identifier | None = None
    hints: HintsIn | None = None
    model: Label | None = None
    consent: bool | None = None
    time: datetime | None = None
    metadata: dict[str, Any] | None = None
