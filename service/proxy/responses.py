"""OpenAI's Responses as they passed, whole or as a stream: items of input and output become turns.

    input   [{"role": "user", "content": "Weather in Ulm?"}, {"type": "function_call", "call_id": "t1", ...},
             {"type": "function_call_output", "call_id": "t1", "output": "21"}]
    output  [{"type": "reasoning", ...}, {"type": "message", "content": [{"type": "output_text", "text": "21 degrees."}]}]

What the assistant says, thinks and calls in a row is one turn.
"""

from typing import Any

import msgspec

from service.proxy.reading import (
    Given,
    Reading,
    asker,
    is_something,
    objects,
    parse_object,
    stream_events,
    text_of,
    tools_of,
)

_STATES = {"completed": "complete", "failed": "error"}
_LAST = ("response.completed", "response.incomplete", "response.failed")
_PENDING = ("queued", "in_progress")


def read_response(request: Given, answer: bytes, is_stream: bool, is_whole: bool) -> Reading:
    """What a response said. `is_whole`: it came to its end. One that only runs in the background said nothing yet.

    Raises:
        DataError: it is no response.
    """
    whole = _gather(answer) if is_stream else parse_object(answer)
    status = text_of(whole.get("status"))
    state = "unfinished" if not is_whole and status not in _STATES else _STATES.get(status, "unfinished")
    said = _turns(objects(whole.get("output")))
    answers = [one | {"state": state} for one in said[-1:] if one["role"] == "assistant" and is_something(one)]
    previous = text_of(request.get("previous_response_id")) or None
    asked = request.get("input")
    turns = [{"role": "user", "content": asked}] if isinstance(asked, str) else _turns(objects(asked))
    instructions = text_of(request.get("instructions"))
    if instructions and previous is None:
        turns.insert(0, {"role": "system", "content": instructions})
    return Reading(
        turns=turns,
        answers=[] if is_whole and status in _PENDING else answers,
        answer_id=text_of(whole.get("id")) or None,
        model=text_of(whole.get("model")) or text_of(request.get("model")) or None,
        tools=tools_of(request),
        user=asker(request),
        metadata=request["metadata"] if isinstance(request.get("metadata"), dict) else {},
        previous=previous,
        is_elsewhere=bool(request.get("conversation"))
        or bool(request.get("prompt"))
        or any(item.get("type") == "item_reference" for item in objects(asked)),
    )


def _turns(items: list[Given]) -> list[Given]:
    turns: list[Given] = []
    for item in items:
        kind = item.get("type", "message")
        if kind == "message" and item.get("role") != "assistant":
            turns.append({"role": item.get("role"), "content": item.get("content") or ""})
        elif kind in ("function_call_output", "custom_tool_call_output"):
            turns.append({"role": "tool", "tool_call_id": text_of(item.get("call_id")), "content": _output(item)})
        elif kind in ("message", "reasoning", "function_call", "custom_tool_call"):
            if not turns or turns[-1]["role"] != "assistant":
                turns.append({"role": "assistant", "content": ""})
            _add_item(turns[-1], kind, item)
    return turns


def _add_item(turn: Given, kind: str, item: Given) -> None:
    if kind == "message":
        turn["content"] += _texts(item.get("content"))
    elif kind == "reasoning":
        thought = _texts(item.get("content")) or "\n\n".join(
            text_of(part.get("text")) for part in objects(item.get("summary"))
        )
        if thought:
            turn["reasoning"] = f"{turn['reasoning']}\n\n{thought}" if turn.get("reasoning") else thought
    else:
        arguments = (
            item.get("arguments")
            if kind == "function_call"
            else msgspec.json.encode({"input": item.get("input")}).decode()
        )
        call = {"id": text_of(item.get("call_id")), "name": item.get("name"), "arguments": arguments or "{}"}
        turn.setdefault("tool_calls", []).append(call)


def _texts(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(text_of(part.get("text")) or text_of(part.get("refusal")) for part in objects(content))


def _output(item: Given) -> Any:
    output = item.get("output")
    return output if isinstance(output, str | list) else msgspec.json.encode(output).decode()


def _gather(stream: bytes) -> Given:
    """The response that a stream ends with, or what its events make together where it was cut off."""
    begun: Given = {}
    items: dict[int, Given] = {}
    for event in stream_events(stream):
        kind, response = text_of(event.get("type")), event.get("response")
        if isinstance(response, dict):
            if kind in _LAST:
                return response
            begun = response
        elif isinstance(index := event.get("output_index"), int):
            if isinstance(event.get("item"), dict):
                items[index] = event["item"]
            elif index in items and text_of(event.get("delta")):
                _add_delta(items[index], kind, event["delta"])
    return begun | {"status": "incomplete", "output": [items[index] for index in sorted(items)]}


def _add_delta(item: Given, kind: str, delta: str) -> None:
    if kind == "response.function_call_arguments.delta":
        item["arguments"] = text_of(item.get("arguments")) + delta
    elif kind in ("response.output_text.delta", "response.refusal.delta", "response.reasoning_text.delta"):
        item["content"] = [{"type": "text", "text": _texts(item.get("content")) + delta}]
    elif kind == "response.reasoning_summary_text.delta":
        item["summary"] = [{"text": "".join(text_of(one.get("text")) for one in objects(item.get("summary"))) + delta}]
