"""Turns as chat templates read them, and which of a chat's turns and thoughts they are shown."""

import json
from collections.abc import Sequence
from typing import Any

from pipelines.recipe.chat import Reasoning
from pipelines.records import ToolCall, Turn


def as_messages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Turns as the dicts that chat templates read (pipelines.chat.Chat)."""
    return [_message(turn) for turn in turns]


def with_reasoning(turns: Sequence[Turn], rule: Reasoning) -> list[Turn]:
    """The turns with the reasoning that the rule shows to the answer which ends them."""
    if rule == "keep":
        return list(turns)
    asked = [place for place, turn in enumerate(turns[:-1]) if turn.role == "user"]
    first = len(turns) if rule == "drop" else asked[-1] if asked else 0
    return [turn.model_copy(update={"reasoning": ""}) if place < first else turn for place, turn in enumerate(turns)]


def as_prompt(turns: Sequence[Turn], rule: Reasoning = "last") -> list[dict[str, Any]]:
    """`as_messages` of turns that ask for an answer, with the reasoning that the rule shows to it."""
    return as_messages(with_reasoning([*turns, Turn(role="assistant", content="")], rule)[:-1])


def starts_of(turns: Sequence[Turn]) -> list[int]:
    """Where a chat may begin when it is too long: behind its system prompt, then at every later question."""
    behind = next((place for place, turn in enumerate(turns) if turn.role != "system"), len(turns))
    return [behind, *(place for place, turn in enumerate(turns) if turn.role == "user" and place > behind)]


def from_start(turns: Sequence[Turn], start: int) -> list[Turn]:
    """The system prompt and the turns from `start` on, with the tools that the chat began with."""
    behind = starts_of(turns)[0]
    kept = [*turns[:behind], *turns[start:]]
    tools = next((turn.tools for turn in turns if turn.tools), "")
    return [kept[0].model_copy(update={"tools": tools}), *kept[1:]] if tools else kept


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    extras = {
        "reasoning_content": turn.reasoning,
        "tool_calls": [_call(call) for call in turn.tool_calls],
        "tool_call_id": turn.tool_call_id,
        "name": turn.name,
        "tools": [{"type": "function", "function": tool} for tool in json.loads(turn.tools)] if turn.tools else None,
    }
    return message | {name: value for name, value in extras.items() if value}


def _call(call: ToolCall) -> dict[str, Any]:
    """A call with its arguments as the object that they are; what is none stays the text that the model wrote."""
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        arguments = call.arguments
    return {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": arguments}}
