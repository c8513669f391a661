"""Chats of every shape that a template may treat in its own way; what its authors' renderer makes of them is the measure."""

from typing import Any, NamedTuple

_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_SYSTEM = {"role": "system", "content": "You answer in one sentence."}
_ASK = {"role": "user", "content": "How warm is it in Seoul? 서울은 몇 도야?"}
_CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "id": "call00001", "function": {"name": "get_weather", "arguments": {"city": "Seoul"}}}],
}  # fmt: skip
_RESULT = {"role": "tool", "content": '{"celsius": 21}', "tool_call_id": "call00001", "name": "get_weather"}
_ANSWER = {"role": "assistant", "content": "21 degrees."}
_THOUGHT = {"role": "assistant", "content": "21 degrees.", "reasoning_content": "The tool said 21."}
_MORE = {"role": "user", "content": 'And <b>tomorrow</b>?\n\n  - "in °F"'}


class Shape(NamedTuple):
    """A chat to render: its name, messages, tools, whether an answer is asked for, and the template's switches."""

    name: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    generate: bool = True
    switches: dict[str, Any] = {}


SHAPES = (
    Shape("a question", [_ASK]),
    Shape("an answer", [_ASK, _ANSWER], generate=False),
    Shape("a system prompt", [_SYSTEM, _ASK]),
    Shape("several turns", [_SYSTEM, _ASK, _ANSWER, _MORE]),
    Shape("several answers", [_ASK, _ANSWER, _MORE, _ANSWER], generate=False),
    Shape("tools", [_SYSTEM, _ASK], [_TOOL]),
    Shape("a call of a tool", [_ASK, _CALL, _RESULT], [_TOOL]),
    Shape("an answer after a tool", [_ASK, _CALL, _RESULT, _ANSWER, _MORE], [_TOOL]),
    Shape("reasoning", [_ASK, _THOUGHT], generate=False),
    Shape("reasoning in an earlier turn", [_ASK, _THOUGHT, _MORE]),
    Shape("thinking on", [_SYSTEM, _ASK], switches={"enable_thinking": True}),
    Shape("thinking off", [_SYSTEM, _ASK], switches={"enable_thinking": False}),
)
QUESTIONS = ("Say hello.", "What is 2 + 3?", "Name a colour.", "안녕이라고 말해 줘.")
