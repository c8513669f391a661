"""OpenAI's Responses: a request as a chat request, and a reply as items, whole or as events.

    {"input": [{"role": "user", "content": "Weather in Ulm?"}, {"type": "function_call", "call_id": "t1", ...},
               {"type": "function_call_output", "call_id": "t1", "output": "21"}]}
    {"output": [{"type": "reasoning", ...}, {"type": "message", ...}, {"type": "function_call", ...}]}

Nothing is kept for a later request: the whole conversation is sent each time.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import InputError
from pipelines.gguf.protocol import Chance, End, Start
from pipelines.records import ToolCall
from service.chat.openai import MAX_CHARACTERS, MAX_MESSAGES, ChatRequest, load_json, read_request, sentence
from service.chat.replies import token_of
from service.chat.tools import MAX_TOOLS

_LOGPROBS = "message.output_text.logprobs"


class FlatTool(BaseModel):
    """A function, without the envelope that chat completions put around it."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedFunction(BaseModel):
    """The tool that has to be called."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    name: str


class TextFormat(BaseModel):
    """The form of an answer; what chat completions call `response_format`."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class TextOptions(BaseModel):
    """How an answer's text is to be."""

    model_config = ConfigDict(extra="forbid")

    format: TextFormat | None = None


class ResponseRequest(BaseModel):
    """A request for a response. Fields of which only the neutral value is accepted stand at the end."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=200)
    input: (
        Annotated[str, Field(max_length=MAX_CHARACTERS)]
        | Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_MESSAGES)]
    )
    instructions: Annotated[str, Field(max_length=MAX_CHARACTERS)] | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    stream: bool | None = None
    store: bool | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    tools: Annotated[list[FlatTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedFunction | None = None
    text: TextOptions | None = None
    include: list[Literal["message.output_text.logprobs"]] | None = None

    parallel_tool_calls: bool | None = None
    truncation: Literal["disabled"] | None = None
    background: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


def parse_response_request(body: bytes) -> tuple[ResponseRequest, ChatRequest]:
    """The request in a JSON body, and the chat that it stands for.

    Raises:
        InputError: one sentence that names the first field that cannot be acted on.
    """
    raw = load_json(body)
    if isinstance(raw, dict) and raw.get("previous_response_id") is not None:
        raise InputError(
            "this server keeps no responses: send the whole conversation in `input`, not `previous_response_id`"
        )
    try:
        request = ResponseRequest.model_validate(raw)
    except ValidationError as error:
        raise InputError(sentence(raw, error)) from error
    return request, read_request(_as_chat(request))


def _as_chat(request: ResponseRequest) -> dict[str, Any]:
    """The chat completion request that says the same."""
    form = request.text.format if request.text else None
    chosen = request.tool_choice
    chat = {
        "model": request.model,
        "messages": list(_messages(request)),
        "max_completion_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "logprobs": True if request.top_logprobs or _LOGPROBS in (request.include or ()) else None,
        "top_logprobs": request.top_logprobs,
        "store": request.store,
        "user": request.user,
        "metadata": request.metadata,
        "tools": [_enveloped(tool) for tool in request.tools or ()] or None,
        "tool_choice": {"type": "function", "function": {"name": chosen.name}}
        if isinstance(chosen, NamedFunction)
        else chosen,
        "response_format": _response_format(form) if form else None,
    }
    return {key: value for key, value in chat.items() if value is not None}


def _enveloped(tool: FlatTool) -> dict[str, Any]:
    return {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}


def _response_format(form: TextFormat) -> dict[str, Any]:
    if form.type != "json_schema":
        return {"type": form.type}
    told = {"name": form.name or "answer", "schema": form.schema_, "strict": form.strict}
    return {"type": form.type, "json_schema": told}


def _messages(request: ResponseRequest) -> Iterator[dict[str, Any]]:
    """The items of the input as messages; what the assistant thinks, says and calls in a row is one."""
    if request.instructions:
        yield {"role": "system", "content": request.instructions}
    if isinstance(request.input, str):
        yield {"role": "user", "content": request.input}
        return
    said: dict[str, Any] | None = None
    for place, item in enumerate(request.input):
        kind = item.get("type", "message")
        if kind in ("reasoning", "function_call") or (kind == "message" and item.get("role") == "assistant"):
            said = said or {"role": "assistant", "content": ""}
            _add(said, kind, item)
            continue
        if said is not None:
            yield said
            said = None
        if kind == "message":
            yield {"role": item.get("role"), "content": _text(item.get("content"), place)}
        elif kind == "function_call_output":
            yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": _text(item.get("output"), place)}
        else:
            raise InputError(f"`input.{place}`: this server does not act on items of the type {str(kind)[:80]!r}")
    if said is not None:
        yield said


def _add(said: dict[str, Any], kind: str, item: dict[str, Any]) -> None:
    if kind == "message":
        said["content"] += _text(item.get("content"), "")
    elif kind == "reasoning":
        said["reasoning_content"] = said.get("reasoning_content", "") + _text(item.get("content") or "", "")
    else:
        call = {"name": item.get("name"), "arguments": item.get("arguments")}
        said.setdefault("tool_calls", []).append(
            {"id": item.get("call_id") or "", "type": "function", "function": call}
        )


def _text(content: Any, place: object) -> str:
    """The text of an item's content: a text, or parts of which only texts are accepted."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise InputError(f"`input.{place}`: only text is accepted in the content of an item")
    return "".join(part["text"] for part in parts)


@dataclass
class ResponseWriter:
    """One response in the making: its items as they grow, and the events that tell of it. The response's id is its message's."""

    id: str
    created: int
    request: ResponseRequest
    start: Start
    with_logprobs: bool
    _items: list[dict[str, Any]] = field(default_factory=list)
    _number: int = -1

    def begin(self) -> Iterator[bytes]:
        """The first events."""
        for kind in ("created", "in_progress"):
            yield self._event(f"response.{kind}", response=self._response("in_progress"))

    def think(self, text: str) -> Iterator[bytes]:
        """The events of a piece of thought."""
        yield from self._open("reasoning", {"summary": [], "content": [{"type": "reasoning_text", "text": ""}]})
        self._items[-1]["content"][0]["text"] += text
        yield self._about("response.reasoning_text.delta", content_index=0, delta=text)

    def say(self, text: str, tokens: tuple[Chance, ...]) -> Iterator[bytes]:
        """The events of a piece of text."""
        part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        is_new = not self._is_open("message")
        yield from self._open("message", {"role": "assistant", "content": [part]})
        if is_new:
            yield self._about("response.content_part.added", content_index=0, part=dict(part))
        told = [token_of(one) for one in tokens] if self.with_logprobs else []
        self._items[-1]["content"][0]["text"] += text
        self._items[-1]["content"][0]["logprobs"] += told
        yield self._about("response.output_text.delta", content_index=0, delta=text, logprobs=told)

    def end(self, end: End, calls: tuple[ToolCall, ...]) -> Iterator[bytes]:
        """The last events, with the whole response in the very last one."""
        yield from self._close()
        for place, call in enumerate(calls):
            more = {"call_id": call.id, "name": call.name, "arguments": ""}
            yield from self._open("function_call", more, f"fc_{self.id}_{place}")
            yield self._about("response.function_call_arguments.delta", delta=call.arguments)
            self._items[-1]["arguments"] = call.arguments
            yield self._about("response.function_call_arguments.done", name=call.name, arguments=call.arguments)
            yield from self._close()
        status = "incomplete" if end.reason == "length" else "completed"
        yield self._event(f"response.{status}", response=self._response(status, end))

    def fail(self, code: str, message: str) -> bytes:
        """The event of an answer that broke off."""
        return self._event("error", code=code, message=message, param=None)

    def whole(self, end: End) -> dict[str, Any]:
        """The response, once it has ended."""
        return self._response("incomplete" if end.reason == "length" else "completed", end)

    def _is_open(self, kind: str) -> bool:
        return bool(self._items) and self._items[-1]["type"] == kind and self._items[-1]["status"] == "in_progress"

    def _open(self, kind: str, more: dict[str, Any], item_id: str | None = None) -> Iterator[bytes]:
        """Begin an item of this kind, where none is being written; the one before is whole."""
        if self._is_open(kind):
            return
        yield from self._close()
        known = {"reasoning": f"rs_{self.id}", "message": self.id}
        item = {"id": item_id or known[kind], "type": kind, "status": "in_progress", **more}
        self._items.append(item)
        empty = {**item, "content": []} if "content" in item else item
        yield self._event("response.output_item.added", output_index=len(self._items) - 1, item=empty)

    def _close(self) -> Iterator[bytes]:
        if not self._items or self._items[-1]["status"] != "in_progress":
            return
        item = self._items[-1]
        item["status"] = "completed"
        if item["type"] == "reasoning":
            yield self._about("response.reasoning_text.done", content_index=0, text=item["content"][0]["text"])
        elif item["type"] == "message":
            part = item["content"][0]
            told = {"text": part["text"], "logprobs": part["logprobs"]}
            yield self._about("response.output_text.done", content_index=0, **told)
            yield self._about("response.content_part.done", content_index=0, part=part)
        yield self._event("response.output_item.done", output_index=len(self._items) - 1, item=item)

    def _about(self, kind: str, **more: Any) -> bytes:
        """An event about the item that is being written."""
        return self._event(kind, item_id=self._items[-1]["id"], output_index=len(self._items) - 1, **more)

    def _event(self, kind: str, **more: Any) -> bytes:
        self._number += 1
        data = json.dumps({"type": kind, "sequence_number": self._number, **more}, ensure_ascii=False)
        return f"event: {kind}\ndata: {data}\n\n".encode()

    def _response(self, status: str, end: End | None = None) -> dict[str, Any]:
        request = self.request
        chosen, form = request.tool_choice, request.text.format if request.text else None
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "model": self.start.model,
            "output": self._items,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "tool_choice": chosen.model_dump() if isinstance(chosen, NamedFunction) else chosen or "auto",
            "tools": [tool.model_dump() for tool in request.tools or ()],
            "text": {"format": form.model_dump(by_alias=True, exclude_none=True) if form else {"type": "text"}},
            "metadata": request.metadata or {},
            "usage": self._usage(end) if end else None,
        }

    def _usage(self, end: End) -> dict[str, Any]:
        asked, said = self.start.prompt_tokens, end.completion_tokens
        return {
            "input_tokens": asked,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": said,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": asked + said,
        }
