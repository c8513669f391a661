"""Tools in OpenAI's chat format: their definitions, the calls of an answer, and the results that a client sends back.

{"tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]}
{"role": "assistant", "content": null, "tool_calls": [{"id": "t", "type": "function",
 "function": {"name": "weather", "arguments": "{\"city\": \"Ulm\"}"}}]}
{"role": "tool", "tool_call_id": "t", "content": "21 degrees"}
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipelines.records import ToolCall
from service.ingest.wire import ToolCallIn, ToolIn

MAX_TOOLS = 128
MAX_CALLS = 64
_LONGEST = 100_000
_NAME = Annotated[str, Field(min_length=1, max_length=256)]


class Function(BaseModel):
    """What a tool is called, and what it takes."""

    model_config = ConfigDict(extra="forbid")

    name: _NAME
    description: Annotated[str, Field(max_length=_LONGEST)] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(BaseModel):
    """The definition of a tool; functions are the only kind."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    function: Function


class ToolName(BaseModel):
    """The name of a function."""

    model_config = ConfigDict(extra="forbid")

    name: _NAME


class NamedTool(BaseModel):
    """The tool that an answer has to call."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    function: ToolName


class CalledFunction(BaseModel):
    """A call's tool with its arguments, a JSON text."""

    model_config = ConfigDict(extra="forbid")

    name: _NAME
    arguments: Annotated[str, Field(max_length=_LONGEST)]


class Called(BaseModel):
    """A call that an earlier answer made."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(max_length=256)] = ""
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None

    @property
    def call(self) -> ToolCall:
        """The call as pipelines know it."""
        return ToolCall(id=self.id, name=self.function.name, arguments=self.function.arguments)


def definitions(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """The tools as they stand on a chat's first turn."""
    return [tool.function.model_dump(exclude_none=True, exclude={"strict"}) for tool in tools]


def stored_tools(tools: Sequence[Tool]) -> tuple[ToolIn, ...]:
    """The tools as ingest keeps them."""
    return tuple(
        ToolIn(one.function.name, one.function.description or "", one.function.parameters or {}) for one in tools
    )


def stored_calls(calls: Sequence[ToolCall]) -> tuple[ToolCallIn, ...]:
    """Calls as ingest keeps them."""
    return tuple(ToolCallIn(call.name, call.arguments, call.id) for call in calls)


def as_openai(calls: Sequence[ToolCall], *, indexed: bool = False) -> list[dict[str, Any]]:
    """Calls in a reply; with their `index` in a stream's chunk."""
    return [
        {
            **({"index": place} if indexed else {}),
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for place, call in enumerate(calls)
    ]


def tools_text(tools: Sequence[Tool]) -> str:
    """The definitions as the JSON of a turn; "" for none."""
    return json.dumps(definitions(tools), ensure_ascii=False) if tools else ""
