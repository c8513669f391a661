"""A chat, a pair or a labelled answer as a row of another program's format.

    trl       {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}], "part": "train"}
    openai    the same, with "weight": 0 or 1 on each answer
    sharegpt  {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}], "part": "train"}

Only `openai` can say of one answer that it must not be learnt. For the others a chat ends before its first bad answer.
Reasoning is `reasoning_content` beside the content, and `<think>` before it in `sharegpt`, as chat templates write it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from pipelines.records import Part, ToolCall, Turn

Shape = Literal["trl", "openai", "sharegpt"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
Row = dict[str, Any]


@dataclass(frozen=True)
class SharedChat:
    """A chat to learn from."""

    part: Part
    turns: tuple[Turn, ...]

    @property
    def answers(self) -> int:
        """How many of its answers are to be learnt."""
        return sum(turn.trained for turn in self.turns)


@dataclass(frozen=True)
class SharedPair:
    """Two answers to one prompt, the first preferred."""

    part: Part
    prompt: tuple[Turn, ...]
    chosen: Turn
    rejected: Turn


@dataclass(frozen=True)
class LabelledAnswer:
    """An answer that was voted on and has no counterpart."""

    part: Part
    prompt: tuple[Turn, ...]
    answer: Turn
    good: bool


Shared = SharedChat | SharedPair | LabelledAnswer


def shape_row(shared: Shared, shape: Shape) -> Row:
    """The row in this shape, its part kept in a field. Only `openai` takes chats in which an answer must not be learnt
    (`until_bad` cuts them), and it takes no labelled answers."""
    return {**_MAKERS[type(shared), shape](shared), "part": shared.part}


def until_bad(chat: SharedChat) -> SharedChat | None:
    """The chat up to the last answer before its first one that must not be learnt; None if no good answer is left.

    A turn that calls tools without being learnt ends it too: whoever trains on all answers would learn it.
    """
    bad = (at for at, turn in enumerate(chat.turns) if turn.role == "assistant" and not turn.trained)
    turns = list(chat.turns[: next(bad, len(chat.turns))])
    while turns and not turns[-1].trained:
        turns.pop()
    return replace(chat, turns=tuple(turns)) if turns else None


# ---- messages in OpenAI's dialect, which TRL reads too --------------------------------------------------------


def _message(turn: Turn, *, objects: bool, weight: bool = False) -> Row:
    """One message; `objects`: tool arguments as JSON values, as chat templates take them, not as text."""
    row: Row = {"role": turn.role, "content": turn.content}
    if turn.reasoning:
        row["reasoning_content"] = turn.reasoning
    if turn.tool_calls:
        row["tool_calls"] = [_call(call, objects) for call in turn.tool_calls]
    row |= {name: value for name in ("tool_call_id", "name") if (value := getattr(turn, name))}
    if weight and turn.role == "assistant":
        row["weight"] = int(turn.trained)
    return row


def _call(call: ToolCall, objects: bool) -> Row:
    arguments = _value(call.arguments) if objects else call.arguments
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _value(text: str) -> Any:
    """Arguments as a value; what is no JSON, which models do write, stays the text that it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _messages(turns: Sequence[Turn]) -> list[Row]:
    return [_message(turn, objects=True) for turn in turns]


def _plain(turns: Sequence[Turn]) -> list[Row]:
    return [_message(turn, objects=False) for turn in turns]


def _tools(turns: Sequence[Turn]) -> list[Row]:
    """The definitions of the tools that the model could call, in OpenAI's shape; they stand on a chat's first turn."""
    found = json.loads(turns[0].tools) if turns and turns[0].tools else []
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in found]


def _trl_tools(turns: Sequence[Turn]) -> Row:
    """A text: as lists of objects, columns of many chats would fill up with each other's parameters."""
    tools = _tools(turns)
    return {"tools": json.dumps(tools, ensure_ascii=False)} if tools else {}


def _trl_chat(chat: SharedChat) -> Row:
    return {"messages": _messages(chat.turns), **_trl_tools(chat.turns)}


def _trl_pair(pair: SharedPair) -> Row:
    sides = {"chosen": _messages([pair.chosen]), "rejected": _messages([pair.rejected])}
    return {"prompt": _messages(pair.prompt), **sides, **_trl_tools(pair.prompt)}


def _trl_labelled(one: LabelledAnswer) -> Row:
    answer = {"completion": _messages([one.answer]), "label": one.good}
    return {"prompt": _messages(one.prompt), **answer, **_trl_tools(one.prompt)}


def _openai_tools(turns: Sequence[Turn]) -> Row:
    tools = _tools(turns)
    return {"tools": tools} if tools else {}


def _openai_chat(chat: SharedChat) -> Row:
    return {
        "messages": [_message(turn, objects=False, weight=True) for turn in chat.turns],
        **_openai_tools(chat.turns),
    }


def _openai_pair(pair: SharedPair) -> Row:
    return {
        "input": {"messages": _plain(pair.prompt), **_openai_tools(pair.prompt)},
        "preferred_output": _plain([pair.chosen]),
        "non_preferred_output": _plain([pair.rejected]),
    }


# ---- ShareGPT -------------------------------------------------------------------------------------------------

_FROM: Mapping[str, str] = {"user": "human", "assistant": "gpt", "tool": "observation", "system": "system"}


def _entries(turns: Sequence[Turn]) -> list[Row]:
    return [_entry(turn) for turn in turns if turn.role != "system"]


def _entry(turn: Turn) -> Row:
    """One message. The format has no place for words beside calls, so they are thought before it calls."""
    calls = [{"name": call.name, "arguments": _value(call.arguments)} for call in turn.tool_calls]
    if not calls:
        return {"from": _FROM[turn.role], "value": _thought(turn.reasoning) + turn.content}
    value = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
    return {"from": "function_call", "value": _thought("\n".join(filter(None, (turn.reasoning, turn.content)))) + value}


def _thought(reasoning: str) -> str:
    return f"<think>\n{reasoning}\n</think>\n\n" if reasoning else ""


def _sharegpt_head(turns: Sequence[Turn]) -> Row:
    """The instructions and tools, which stand beside the turns in this format."""
    system = "\n\n".join(turn.content for turn in turns if turn.role == "system")
    tools = [tool["function"] for tool in _tools(turns)]
    bare = json.dumps(tools, ensure_ascii=False) if tools else ""
    return {name: text for name, text in (("system", system), ("tools", bare)) if text}


def _sharegpt_chat(chat: SharedChat) -> Row:
    return {"conversations": _entries(chat.turns), **_sharegpt_head(chat.turns)}


def _sharegpt_pair(pair: SharedPair) -> Row:
    sides = {"chosen": _entry(pair.chosen), "rejected": _entry(pair.rejected)}
    return {"conversations": _entries(pair.prompt), **sides, **_sharegpt_head(pair.prompt)}


def _sharegpt_labelled(one: LabelledAnswer) -> Row:
    entries = _entries([*one.prompt, one.answer])
    return {"conversations": entries, "kto_tag": one.good, **_sharegpt_head(one.prompt)}


_MAKERS: Mapping[tuple[type, Shape], Callable[[Any], Row]] = {
    (SharedChat, "trl"): _trl_chat,
    (SharedChat, "openai"): _openai_chat,
    (SharedChat, "sharegpt"): _sharegpt_chat,
    (SharedPair, "trl"): _trl_pair,
    (SharedPair, "openai"): _openai_pair,
    (SharedPair, "sharegpt"): _sharegpt_pair,
    (LabelledAnswer, "trl"): _trl_labelled,
    (LabelledAnswer, "sharegpt"): _sharegpt_labelled,
}
