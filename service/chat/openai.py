"""The OpenAI wire format of a chat: requests, parsed at the edge (replies.py has what is answered).

    {"model": "champion", "messages": [{"role": "user", "content": "hi"}], "stream": true, "store": true,
     "user": "u-17", "metadata": {"conversation_id": "c-9", "consent": "true"}}

What this server does not act on is refused by name instead of being ignored.
"""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import InputError
from pipelines.records import ToolCall, Turn
from service.chat.tools import MAX_CALLS, MAX_TOOLS, Called, NamedTool, Tool, tools_text

MAX_MESSAGES = 400
MAX_CHARACTERS = 200_000
MAX_PARTS = 100
_MAX_VALUES = 50_000


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


class SchemaFormat(BaseModel):
    """A JSON Schema with a name; an answer is always held to it strictly."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: Annotated[str, Field(min_length=1, max_length=64)]
    description: Annotated[str, Field(max_length=MAX_CHARACTERS)] | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """What form an answer has: any text, any JSON object, or JSON of a schema."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaFormat | None = None

    @property
    def schema_text(self) -> str | None:
        """The schema that an answer keeps to, as JSON; None for any text."""
        if self.type == "text":
            return None
        schema = self.json_schema.schema_ if self.json_schema else None
        return json.dumps(schema or {"type": "object"}, ensure_ascii=False)


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

    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    top_k: int | None = Field(None, ge=0, lt=2**31)
    min_p: float | None = Field(None, ge=0, le=1)
    repeat_penalty: float | None = Field(None, gt=0, le=2)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None

    n: Literal[1] | None = None
    modalities: list[Literal["text"]] | None = None
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

    @property
    def must_call(self) -> str | None:
        """The tool that has to be called, "" for any of them, None for none."""
        if isinstance(self.tool_choice, NamedTool):
            return self.tool_choice.function.name
        return "" if self.tool_choice == "required" else None

    @property
    def alternatives(self) -> int | None:
        """How many of the likeliest tokens are told beside each of the answer's; None where nothing is."""
        return (self.top_logprobs or 0) if self.logprobs else None

    def turns(self) -> list[Turn]:
        """The messages as templates read them."""
        first, *rest = self.messages
        return [first.turn(tools_text(self.callable_tools)), *(message.turn() for message in rest)]


def parse_request(body: bytes) -> ChatRequest:
    """The request in a JSON body.

    Raises:
        InputError: one sentence that names the first field that cannot be acted on.
    """
    return read_request(load_json(body))


def load_json(body: bytes) -> Any:
    """The JSON of a body, if it is one that can be looked at. Raises InputError."""
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
    return raw


def read_request(raw: Any) -> ChatRequest:
    """The request in a JSON value. Raises InputError as `parse_request`."""
    try:
        request = ChatRequest.model_validate(raw)
    except ValidationError as error:
        raise InputError(sentence(raw, error)) from error
    if request.messages[-1].role not in ("user", "tool"):
        raise InputError("the last of `messages` must have the role 'user' or 'tool': it is what the model answers")
    if problem := _contradiction(request):
        raise InputError(problem)
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


def _contradiction(request: ChatRequest) -> str | None:
    """What two fields say that does not go together."""
    names = [tool.function.name for tool in request.tools or ()]
    if request.must_call is not None and not names:
        return "`tool_choice` demands a call, and there are no `tools`"
    if request.must_call and request.must_call not in names:
        return f"`tool_choice` names {request.must_call!r}, which none of the `tools` is called"
    if request.top_logprobs and not request.logprobs:
        return "`top_logprobs` needs `logprobs`: true"
    form = request.response_format
    if form and form.type == "json_schema" and not (form.json_schema and form.json_schema.schema_):
        return "`response_format.json_schema.schema` is missing: the JSON Schema that the answer is to keep to"
    return None


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


def sentence(raw: object, error: ValidationError) -> str:
    """What is wrong with the first field that is, in a sentence."""
    problem = _nearest(error)
    place = ".".join(str(step) for step in problem["loc"] if not _is_branch(step)) or "the request"
    if problem["type"] == "extra_forbidden":
        return f"this server does not act on `{place}`; leave it out"
    if place == "n":
        return "`n` must be 1: one reply for each request"
    if place == "tool_choice":
        return "`tool_choice` must be 'auto', 'none', 'required' or {'type': 'function', 'function': {'name': ...}}"
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
