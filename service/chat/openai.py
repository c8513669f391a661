"""The OpenAI wire format of a chat: requests parsed at the edge, replies and errors in its shape.

    {"model": "champion", "messages": [{"role": "user", "content": "hi"}], "stream": true, "store": true,
     "user": "u-17", "metadata": {"conversation_id": "c-9", "consent": "true"}}

What this server does not act on is refused by name instead of being ignored.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import InputError
from pipelines.records import ToolCall, Turn
from service.chat.tools import MAX_CALLS, MAX_TOOLS, Called, Tool, as_openai, tools_text

MAX_MESSAGES = 400
MAX_CHARACTERS = 200_000
MAX_PARTS = 100
_MAX_VALUES = 50_000
FinishReason = Literal["stop", "length", "tool_calls"]


class TextPart(BaseModel):
    """A part of a message's content; only text is accepted."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: Annotated[str, Field(max_length=MAX_CHARACTERS)]


class ChatMessage(BaseModel):
    """`developer` is OpenAI's newer word for `system`. Empty keys that clients echo back are accepted."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: (
        Annotated[str, Field(max_length=MAX_CHARACTERS)] | Annotated[list[TextPart], Field(max_length=MAX_PARTS)] | None
    ) = None
    name: str | None = None
    tool_call_id: Annotated[str, Field(max_length=256)] | None = None
    reasoning_content: Annotated[str, Field(max_length=MAX_CHARACTERS)] | None = None
    refusal: None = None
    annotations: list[Any] | None = Field(None, max_length=0)
    audio: None = None
    function_call: None = None
    tool_calls: list[Called] | None = Field(None, max_length=MAX_CALLS)

    @property
    def text(self) -> str:
        """The content as one text; "" for none."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content or ())

    @property
    def plain_role(self) -> Literal["system", "user", "assistant", "tool"]:
        """The role as templates know it: a developer is a system."""
        return "system" if self.role == "developer" else self.role

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tools that it calls."""
        return tuple(called.call for called in self.tool_calls or ())

    def turn(self, tools: str = "") -> Turn:
        """The message as templates read it; the first one brings the tools."""
        return Turn(
            role=self.plain_role,
            content=self.text,
            reasoning=self.reasoning_content or "",
            tool_calls=self.calls,
            tool_call_id=self.tool_call_id,
            name=self.name if self.role == "tool" else None,
            tools=tools,
        )


class StreamOptions(BaseModel):
    """What a client asks of a stream."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False
    include_obfuscation: bool = False


class TextFormat(BaseModel):
    """The only response format that is accepted: text."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]


class ChatRequest(BaseModel):
    """A chat completion request. Fields of which only the neutral value is accepted stand at the end."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=200)
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    store: bool | None = None
    user: str | None = Field(None, min_length=1, max_length=200)
    metadata: dict[str, str] | None = Field(None, max_length=16)

    n: Literal[1] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logprobs: Literal[False] | None = None
    response_format: TextFormat | None = None
    modalities: list[Literal["text"]] | None = None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none"] | None = None
    parallel_tool_calls: bool | None = None
    service_tier: Literal["auto", "default"] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @property
    def token_limit(self) -> int | None:
        """How many tokens the answer may have, None if the client does not say."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> list[str]:
        """The texts that end an answer."""
        return [self.stop] if isinstance(self.stop, str) else [text for text in self.stop or [] if text]

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def callable_tools(self) -> list[Tool]:
        """The tools that the model may call."""
        return [] if self.tool_choice == "none" else self.tools or []

    def turns(self) -> list[Turn]:
        """The messages as templates read them."""
        first, *rest = self.messages
        return [first.turn(tools_text(self.callable_tools)), *(message.turn() for message in rest)]


def parse_request(body: bytes) -> ChatRequest:
    """The request in a JSON body.

    Raises:
        InputError: one sentence that names the first field that cannot be acted on.
    """
    try:
        raw = json.loads(body)
        json.dumps(raw, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InputError("the request holds half a surrogate pair, which is no Unicode text") from error
    except ValueError as error:
        raise InputError(f"the request body is not JSON: {error}") from error
    except RecursionError as error:
        raise InputError("the request body is nested too deeply") from error
    if sum(1 for _ in islice(_values(raw), _MAX_VALUES + 1)) > _MAX_VALUES:
        raise InputError(f"the request body has more than {_MAX_VALUES:,} values; send fewer messages, or larger ones")
    try:
        request = ChatRequest.model_validate(raw)
    except ValidationError as error:
        raise InputError(_sentence(raw, error)) from error
    if request.messages[-1].role not in ("user", "tool"):
        raise InputError("the last of `messages` must have the role 'user' or 'tool': it is what the model answers")
    for place, message in enumerate(request.messages):
        if problem := _mismatch(message):
            raise InputError(f"`messages.{place}`: {problem}")
    if any("\0" in text for message in request.messages for text in _texts(message.turn())):
        raise InputError("a message holds the character NUL, which cannot be stored")
    if any(
        "\0" in text for text in (request.user or "", *(request.metadata or {}), *(request.metadata or {}).values())
    ):
        raise InputError("`user` or `metadata` holds the character NUL, which cannot be stored")
    return request


def _mismatch(message: ChatMessage) -> str | None:
    """What a message says that does not go with its role."""
    if message.role == "tool" and not message.tool_call_id:
        return "a message of the role 'tool' needs `tool_call_id`: the id of the call that it answers"
    if message.role != "assistant" and message.tool_calls:
        return "only a message of the role 'assistant' has `tool_calls`"
    if message.content is None and not message.tool_calls:
        return "`content` is missing; only an answer with `tool_calls` may leave it out"
    return None


def _texts(turn: Turn) -> Iterator[str]:
    yield from (turn.content, turn.reasoning, turn.tool_call_id or "", turn.name or "")
    for call in turn.tool_calls:
        yield from (call.id, call.name, call.arguments)


def _values(raw: object) -> Iterator[object]:
    """Every value in it, one after the other: pydantic notes what is wrong with each, which takes seconds for millions."""
    waiting = [iter((raw,))]
    while waiting:
        for value in waiting.pop():
            yield value
            if isinstance(value, dict | list):
                waiting.append(iter(value.values() if isinstance(value, dict) else value))


def _sentence(raw: object, error: ValidationError) -> str:
    problem = _nearest(error)
    place = ".".join(str(step) for step in problem["loc"] if not _is_branch(step)) or "the request"
    if problem["type"] == "extra_forbidden":
        return f"this server does not act on `{place}`; leave it out"
    if place == "n":
        return "`n` must be 1: one reply for each request"
    if place == "tool_choice":
        return "`tool_choice` must be 'auto' or 'none': no model here can be made to call a tool"
    if place in {"logprobs", "frequency_penalty", "presence_penalty"}:
        return f"this server does not act on `{place}`; leave it out"
    return f"`{place}`: {problem['msg'].lower()}" if isinstance(raw, dict) else "the request must be a JSON object"


def _nearest(error: ValidationError) -> Any:
    """The first problem; of a field that takes a text or a list, the one of the kind that was sent."""
    first, *others = error.errors()
    field = first["loc"][:-1]
    if first["type"] == "string_type" and isinstance(first["input"], list):
        return next((other for other in others if other["loc"][: len(field)] == field), first)
    return first


def _is_branch(step: int | str) -> bool:
    """Whether a step of an error's place names pydantic's union branch instead of a key."""
    return isinstance(step, str) and ("[" in step or step in {"str", "constrained-str", "TextPart"})


# ---- replies ----------------------------------------------------------------------------------------------


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """OpenAI's count of tokens."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def completion(
    reply_id: str,
    created: int,
    model: str,
    text: str,
    finish: str,
    usage: dict[str, int],
    calls: Sequence[ToolCall] = (),
) -> dict[str, Any]:
    """A whole reply."""
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
    if calls:
        message["tool_calls"] = as_openai(calls)
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    head = {"id": reply_id, "object": "chat.completion", "created": created, "model": model}
    return {**head, "choices": [choice], "usage": usage}


def chunk(
    reply_id: str,
    created: int,
    model: str,
    delta: dict[str, Any] | None,
    finish: str | None = None,
    usage: dict[str, int] | None = None,
) -> bytes:
    """One server-sent event of a streamed reply; `delta` None is the last chunk, which holds the usage only."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
    head = {"id": reply_id, "object": "chat.completion.chunk", "created": created, "model": model}
    return event({**head, "choices": choices, **({"usage": usage} if usage else {})})


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def error_body(message: str, kind: str, code: str, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object: its clients read `message`, `type` and `code`."""
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}
