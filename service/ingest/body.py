"""What a message says beyond its text, as it is sealed: reasoning, tool calls, dropped parts.

A message of text alone is sealed as that text. Of others this is sealed, marked by the column `structured`:

    {"content": "", "reasoning": "Look it up.", "tool_calls": [{"name": "weather", "arguments": "{}", "id": "t-1"}]}
"""

from typing import Any, cast

import msgspec

from pipelines.errors import ArtifactError
from pipelines.records import MessageExtras, ToolCall
from service.ingest.wire import MessageIn, PartIn, PartKind, PromptMessageIn, ToolCallIn
from service.vault import PersonKey


class Body(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a message says; `weight` 0 where its sender wants nothing learned from it.

    `tools`, on a clean conversation's first message, is a JSON list of those that the model could call; `masked` are words
    of clean reasoning and calls that stand for others.
    """

    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCallIn, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    parts: tuple[PartIn, ...] = ()
    weight: int = 1
    tools: str = ""
    masked: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it is text and nothing else."""
        return not (
            self.reasoning
            or self.tool_calls
            or self.tool_call_id is not None
            or self.name is not None
            or self.parts
            or self.weight != 1
            or self.tools
        )

    @property
    def size(self) -> int:
        """Its characters."""
        calls = sum(len(call.arguments) + len(call.name) for call in self.tool_calls)
        return len(self.content) + len(self.reasoning) + calls


_decoder = msgspec.json.Decoder(Body)


def body_of(message: MessageIn | PromptMessageIn, weight: int = 1) -> Body | None:
    """The body of a message that is more than its text; None for one that is not."""
    if (
        not (message.reasoning or message.tool_calls or message.tool_call_id or message.name or message.parts)
        and weight
    ):
        return None
    return Body(
        message.content,
        message.reasoning,
        message.tool_calls,
        message.tool_call_id,
        message.name,
        message.parts,
        weight,
    )


def extras_of(body: Body) -> dict[str, Any]:
    """What a body holds beside its text, as the fields of pipelines.records.MessageExtras."""
    if body.is_plain:
        return {}
    calls = (ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in body.tool_calls)
    return {
        "reasoning": body.reasoning,
        "tool_calls": tuple(calls),
        "tool_call_id": body.tool_call_id,
        "name": body.name,
        "parts": tuple(f"{part.type}:{part.digest}" for part in body.parts),
        "weight": body.weight,
        "tools": body.tools,
    }


def body_with(content: str, extras: MessageExtras, masked: tuple[str, ...] = ()) -> Body:
    """The body of a record that holds more than its text, or no more."""
    parts = (part.partition(":") for part in extras.parts)
    return Body(
        content,
        extras.reasoning,
        tuple(ToolCallIn(call.name, call.arguments, call.id) for call in extras.tool_calls),
        extras.tool_call_id,
        extras.name,
        tuple(PartIn(cast(PartKind, kind), digest) for kind, _, digest in parts),
        extras.weight,
        extras.tools,
        masked,
    )


def encode(body: Body) -> tuple[bytes, bool]:
    """What is sealed of a body, and whether it is structured."""
    return (body.content.encode(), False) if body.is_plain else (msgspec.json.encode(body), True)


def decode(plain: bytes, structured: bool) -> Body:
    """The body in what was sealed.

    Raises:
        ArtifactError: it holds something else.
    """
    try:
        return _decoder.decode(plain) if structured else Body(plain.decode())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"the text of a message cannot be read ({type(error).__name__})") from None


def message_digest(key: PersonKey, parent: str, role: str, content: str, body: Body | None) -> str:
    """A keyed digest of what must not change of a message once it is stored.

    Reasoning has a part of its own behind a slash, because most clients leave it out of the history that they send again.
    """
    if body is None:
        return key.digest(parent, role, content)
    rest = msgspec.structs.replace(body, reasoning="")
    digest = key.digest(parent, role, content, *(() if rest.is_plain else (encode(rest)[0].decode(),)))
    return f"{digest}/{key.digest('reasoning', body.reasoning)}" if body.reasoning else digest


def is_same(stored: str, sent: str) -> bool:
    """Whether a message sent again is the stored one, by their digests: with the same reasoning, or without any."""
    return stored == sent or without_reasoning(stored) == sent


def without_reasoning(digest: str) -> str:
    """The part of a digest that a message has in common with itself as most clients send it again."""
    return digest.partition("/")[0]


def with_keyed_parts(body: Body, key: PersonKey) -> Body:
    """The body with the hashes of its dropped parts keyed, so that nobody can try which picture it was."""
    if not body.parts:
        return body
    keyed = tuple(PartIn(part.type, key.digest("part", part.digest)) for part in body.parts)
    return msgspec.structs.replace(body, parts=keyed)
