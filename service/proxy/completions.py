"""Chat completions as they passed, whole or as a stream (OpenAI, Ollama, llama-server, vLLM)."""

from typing import Any

from service.proxy.reading import (
    Given,
    Reading,
    asker,
    is_something,
    number_of,
    objects,
    stream_events,
    text_of,
    tools_of,
)
from service.proxy.reading import parse_object as parse

_KEPT = (
    "role",
    "content",
    "reasoning",
    "reasoning_content",
    "tool_calls",
    "tool_call_id",
    "name",
    "function_call",
    "refusal",
)
_WHOLE = frozenset({"stop", "tool_calls", "function_call", "eos", "end_turn"})
_CALL_KEYS = ("id", "type", "function")


def read_completion(request: Given, answer: bytes, is_stream: bool, is_whole: bool) -> Reading:
    """What a chat completion said. `is_whole`: it came to its end.

    Raises:
        DataError: it is no chat completion.
    """
    whole = _gather(answer) if is_stream else parse(answer)
    answers = [
        _answer(choice, is_whole and not is_stream, "error" in whole) for choice in objects(whole.get("choices"))
    ]
    return Reading(
        turns=[_turn(one) for one in objects(request.get("messages"))],
        answers=[one for one in answers if is_something(one)],
        answer_id=text_of(whole.get("id")) or None,
        model=text_of(whole.get("model")) or text_of(request.get("model")) or None,
        tools=tools_of(request),
        user=asker(request),
        metadata=request["metadata"] if isinstance(request.get("metadata"), dict) else {},
    )


def _turn(message: Given) -> Given:
    turn = {key: message[key] for key in _KEPT if message.get(key) is not None}
    if turn.get("role") == "function":  # of before there were tools
        turn["role"] = "tool"
    if isinstance(turn.get("reasoning_content"), str):
        turn["reasoning"] = turn.pop("reasoning_content")
    turn.setdefault("content", "")
    return turn


def _answer(choice: Given, may_be_silent: bool, is_error: bool) -> Given:
    """A choice as a turn. `may_be_silent`: it is whole even where it names no reason to have ended, as a stream is not."""
    message = choice.get("message")
    turn = _turn(message if isinstance(message, dict) else {}) | {"role": "assistant"}
    for key in ("reasoning", "content"):
        if not isinstance(turn.get(key, ""), str):
            turn.pop(key)
    if not turn.get("content"):
        turn["content"] = text_of(turn.pop("refusal", ""))
    calls = objects(turn.pop("tool_calls", None))
    if calls:
        turn["tool_calls"] = [{key: call[key] for key in _CALL_KEYS if key in call} for call in calls]
    reason = choice.get("finish_reason")
    is_complete = text_of(reason) in _WHOLE or (reason is None and may_be_silent)
    turn["state"] = "error" if is_error else "complete" if is_complete else "unfinished"
    return turn


def _gather(stream: bytes) -> Given:
    """The completion that a stream's chunks make together."""
    whole: Given = {}
    choices: dict[int, Given] = {}
    for chunk in stream_events(stream):
        for key in ("id", "model", "error"):
            if chunk.get(key):
                whole.setdefault(key, chunk[key])
        for part in objects(chunk.get("choices")):
            choice = choices.setdefault(number_of(part.get("index")), {"message": {}})
            if isinstance(part.get("delta"), dict):
                _add_delta(choice["message"], part["delta"])
            choice["finish_reason"] = part.get("finish_reason") or choice.get("finish_reason")
    return whole | {"choices": [choices[index] for index in sorted(choices)]}


def _add_delta(message: Given, delta: Given) -> None:
    for key in ("content", "reasoning", "reasoning_content", "refusal"):
        if text_of(delta.get(key)):
            message[key] = message.get(key, "") + delta[key]
    for call in objects(delta.get("tool_calls")):
        _add_call(message.setdefault("tool_calls", []), call)
    if isinstance(delta.get("function_call"), dict):
        _add_function(message.setdefault("function_call", {}), delta["function_call"])


def _add_call(calls: list[Given], delta: Given) -> None:
    """Go on with the call of this index; one with an id of its own is another (Ollama gives several the same index)."""
    index: Any = delta.get("index", len(calls))
    found = next((call for call in reversed(calls) if call["index"] == index), None)
    if found is None or (delta.get("id") and found.get("id") and delta["id"] != found["id"]):
        found = {"index": index, "type": "function", "function": {}}
        calls.append(found)
    if text_of(delta.get("id")):
        found["id"] = delta["id"]
    if isinstance(delta.get("function"), dict):
        _add_function(found["function"], delta["function"])


def _add_function(function: Given, delta: Given) -> None:
    for key in ("name", "arguments"):
        if text_of(delta.get(key)):
            function[key] = function.get(key, "") + delta[key]
        elif isinstance(delta.get(key), dict):
            function[key] = delta[key]
