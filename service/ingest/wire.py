"""The shapes of what apps send (natural.py brings others into these, parse.py says what is wrong with the rest).

    {"id": "c-17", "user": "u-4", "consent": true, "satisfaction": 5,
     "messages": [{"id": "m-1", "role": "user", "content": "Hi"},
                  {"id": "m-2", "role": "assistant", "content": "Hello!"},
                  {"id": "m-3", "role": "assistant", "content": "Good day!", "parent": "m-1",
                   "reasoning": "A guest.", "model": "qwen3:8b", "time": "2026-11-20T12:00:04Z"}],
     "votes": [{"message": "m-3", "value": "up", "user": "u-4", "reason": "friendly", "comment": "Like a host."}],
     "corrections": [{"message": "m-2", "content": "Hello, Ana!", "user": "u-4"}],
     "comparisons": [{"chosen": "m-3", "rejected": "m-2", "user": "u-4"}],
     "hints": {"language": "en", "topic": "small talk"}, "model": "tiny-origin", "time": "2026-11-20T12:00:00Z",
     "app": "default", "metadata": {"screen": "home"}}

A turn that calls tools, with the definitions of the tools on the conversation:

    {"role": "assistant", "content": "", "tool_calls": [{"id": "t-1", "name": "weather", "arguments": "{\"city\": \"Ulm\"}"}]},
    {"role": "tool", "tool_call_id": "t-1", "name": "weather", "content": "{\"degrees\": 21}"}

Without ids a message is called `<conversation id>:<position>`, positions from 0; votes, corrections and comparisons may
name the position instead. Corrections and comparisons are about messages of the same row. Who gave them is `user`
(`rater`, as it was called once, is read too); without one it is the conversation's user.

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

MAX_TOOLS = 128
MAX_TOOL_CALLS = 64
MAX_PARTS = 100

Identifier = Annotated[str, Meta(min_length=1, max_length=256)]
Label = Annotated[str, Meta(max_length=256)]
Content = Annotated[str, Meta(max_length=MAX_CHARACTERS)]
Text = Annotated[str, Meta(min_length=1, max_length=MAX_CHARACTERS)]
Tag = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\w .:/&+'-]+$")]
Comment = Annotated[str, Meta(max_length=20_000)]

Role = Literal["system", "user", "assistant", "tool"]
State = Literal["complete", "unfinished", "error"]
FeedbackSource = Literal["person", "judge", "implicit"]
PartKind = Literal["image", "audio", "video", "file"]


class ToolCallIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A tool that the assistant calls; `arguments` is a JSON text, as the model wrote it."""

    name: Identifier
    arguments: Text = "{}"
    id: Label = ""


class PartIn(Struct, frozen=True, forbid_unknown_fields=True):
    """What a message held beside its text and is not kept, with a hash by which the same thing is known again."""

    type: PartKind
    digest: Label = ""
    dropped: Literal[True] = True


class ToolIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A tool that the model could call; `parameters` is a JSON Schema."""

    name: Identifier
    description: Content = ""
    parameters: dict[str, Any] | None = None


class MessageIn(Struct, frozen=True, forbid_unknown_fields=True):
    """One message of a conversation that an app sends; without `parent` it follows the one before it.

    `weight` 0 says that nothing shall be learned from this turn; `state` that it failed, or has no end.
    """

    role: Role
    content: Content
    id: Identifier | None = None
    parent: Identifier | None = None
    reasoning: Content = ""
    tool_calls: Annotated[tuple[ToolCallIn, ...], Meta(max_length=MAX_TOOL_CALLS)] = ()
    tool_call_id: Label | None = None
    name: Label | None = None
    parts: Annotated[tuple[PartIn, ...], Meta(max_length=MAX_PARTS)] = ()
    model: Label | None = None
    time: datetime | None = None
    state: State = "complete"
    weight: Literal[0, 1] = 1


class VoteIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A thumb on a message, by its id or its place in the list; `reason` is a tag, `comment` what the person wrote."""

    message: Identifier | int
    value: Literal["up", "down"]
    user: Identifier | None = None
    reason: Tag | None = None
    comment: Comment | None = None
    time: datetime | None = None
    source: FeedbackSource = "person"
    rater: Identifier | None = None


class CorrectionIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A better answer in place of a message, by its id or its place in the list."""

    message: Identifier | int
    content: Text
    user: Identifier | None = None
    time: datetime | None = None
    source: FeedbackSource = "person"
    rater: Identifier | None = None


class ComparisonIn(Struct, frozen=True, forbid_unknown_fields=True):
    """One answer preferred to another, by their ids or their places in the list."""

    chosen: Identifier | int
    rejected: Identifier | int
    user: Identifier | None = None
    time: datetime | None = None
    source: FeedbackSource = "person"
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
    tools: Annotated[tuple[ToolIn, ...], Meta(max_length=MAX_TOOLS)] = ()


class VoteChangeIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of PUT /v1/votes/{message id}."""

    value: Literal["up", "down"]
    user: Identifier
    app: Identifier | None = None
    reason: Tag | None = None
    comment: Comment | None = None
    time: datetime | None = None
    source: FeedbackSource = "person"


class RetractionIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The body that DELETE /v1/votes/{message id} may have; what else a vote has is ignored."""

    user: Identifier | None = None
    app: Identifier | None = None
    value: Literal["up", "down"] | None = None
    reason: Tag | None = None
    comment: Comment | None = None
    time: datetime | None = None
    source: FeedbackSource = "person"


class CorrectionChangeIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/messages/{id}/corrections."""

    content: Text
    user: Identifier
    app: Identifier | None = None
    time: datetime | None = None
    source: FeedbackSource = "person"


class ComparisonChangeIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST and DELETE /v1/comparisons about two answers by their message ids."""

    chosen: Identifier
    rejected: Identifier
    user: Identifier
    app: Identifier | None = None
    time: datetime | None = None
    source: FeedbackSource = "person"


class AnswerIn(Struct, frozen=True, forbid_unknown_fields=True):
    """One of the two answers of a comparison that brings them along."""

    content: Content
    id: Identifier | None = None
    reasoning: Content = ""
    tool_calls: Annotated[tuple[ToolCallIn, ...], Meta(max_length=MAX_TOOL_CALLS)] = ()
    model: Label | None = None


class PromptMessageIn(Struct, frozen=True, forbid_unknown_fields=True):
    """One message of the prompt of a comparison that brings it along."""

    role: Role
    content: Content
    id: Identifier | None = None
    reasoning: Content = ""
    tool_calls: Annotated[tuple[ToolCallIn, ...], Meta(max_length=MAX_TOOL_CALLS)] = ()
    tool_call_id: Label | None = None
    name: Label | None = None
    parts: Annotated[tuple[PartIn, ...], Meta(max_length=MAX_PARTS)] = ()
    model: Label | None = None
    time: datetime | None = None


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
    source: FeedbackSource = "person"
    tools: Annotated[tuple[ToolIn, ...], Meta(max_length=MAX_TOOLS)] = ()
