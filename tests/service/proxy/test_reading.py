"""Whatever an upstream says is read or refused: nothing of it is a fault of ours."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import DataError
from service.proxy.exchange import Exchange, Who
from service.proxy.reading import stream_events
from service.proxy.record import understand

_WORDS = st.sampled_from(
    [
        "id",
        "model",
        "choices",
        "message",
        "delta",
        "role",
        "content",
        "reasoning",
        "reasoning_content",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "index",
        "finish_reason",
        "error",
        "user",
        "assistant",
        "stop",
        "output",
        "input",
        "type",
        "reasoning",
        "function_call",
        "function_call_output",
        "call_id",
        "text",
        "summary",
        "status",
        "completed",
        "response",
        "output_index",
        "item",
        "response.completed",
        "response.output_text.delta",
        "output_text",
        "messages",
        "tools",
        "metadata",
        "instructions",
    ]
)
_LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | _WORDS | st.text(max_size=5)
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=4), max_leaves=20
)


def _some(**fields: Any) -> Any:
    """An object with some of these, each as it should be, or anything else."""
    return st.fixed_dictionaries({}, optional={name: inner | _VALUES for name, inner in fields.items()})


_CALL = _some(index=st.integers(0, 1), id=_WORDS, type=_WORDS, function=_some(name=_WORDS, arguments=_WORDS))
_SAID = _some(role=_WORDS, content=_WORDS, reasoning=_WORDS, refusal=_WORDS, tool_calls=st.lists(_CALL, max_size=2))
_CHOICES = st.lists(_some(index=st.integers(0, 1), delta=_SAID, message=_SAID, finish_reason=_WORDS), max_size=2)
_PARTS = st.lists(_some(type=_WORDS, text=_WORDS), max_size=2)
_ITEM = _some(
    type=_WORDS,
    role=_WORDS,
    content=_PARTS,
    summary=_PARTS,
    name=_WORDS,
    arguments=_WORDS,
    call_id=_WORDS,
    output=_WORDS,
)
_RESPONSE = _some(id=_WORDS, status=_WORDS, model=_WORDS, output=st.lists(_ITEM, max_size=3))
_BODIES = _some(
    id=_WORDS, model=_WORDS, choices=_CHOICES, error=_VALUES, type=_WORDS, output_index=st.integers(0, 1), item=_ITEM, delta=_WORDS,
    response=_RESPONSE, status=_WORDS, output=st.lists(_ITEM, max_size=3),
)  # fmt: skip
_REQUESTS = _some(
    messages=st.lists(_SAID, max_size=3), input=st.lists(_ITEM, max_size=3), tools=st.lists(_CALL, max_size=2), user=_WORDS,
    metadata=_VALUES, instructions=_WORDS, previous_response_id=_WORDS,
)  # fmt: skip


@given(
    request=_REQUESTS,
    answers=st.lists(_BODIES, min_size=1, max_size=4),
    is_stream=st.booleans(),
    kind=st.sampled_from(["chat", "responses"]),
)
@settings(max_examples=100)
def test_any_json_is_understood_or_refused(
    request: dict[str, Any], answers: list[dict[str, Any]], is_stream: bool, kind: Any
) -> None:
    if is_stream:
        answer = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in answers)
    else:
        answer = json.dumps(answers[0]).encode()
    asked = {"messages": [{"role": "user", "content": "Hi"}], "input": "Hi"} | request
    exchange = Exchange(
        "1", kind, Who("default", "u"), 1.7e9, json.dumps(asked).encode(), "", answer, "", is_stream, "whole"
    )
    with suppress(DataError):
        understand(exchange)


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_events_are_found_whatever_ends_their_lines(ends: bytes) -> None:
    lines = [
        b": hi",
        b'data: {"a":',
        b"data: 1}",
        b"",
        b"event: x",
        b'data:{"b": 2}',
        b"",
        b"data: [DONE]",
        b"",
        b'data: {"cut',
    ]
    assert list(stream_events(ends.join(lines))) == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        (
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}, {"index": 0, "id": "b", "function": {"name": "g", "arguments": "{}"}}],
            [("a", "f"), ("b", "g")],
        ),
        ([{"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}, {"id": "b", "function": {"name": "g"}}], [("a", "f"), ("b", "g")]),
        ([{"index": 1, "id": "a", "function": {"name": "f"}}, {"index": 1, "function": {"arguments": "{}"}}], [("a", "f")]),
    ],
    ids=["one index for two", "no index", "pieces"],
)  # fmt: skip
def test_tool_calls_of_a_stream(deltas: list[dict[str, Any]], calls: list[tuple[str, str]]) -> None:
    chunks = [{"choices": [{"delta": {"tool_calls": [delta]}}]} for delta in deltas]
    answer = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks)
    asked = json.dumps({"messages": [{"role": "user", "content": "Hi"}]}).encode()
    said = understand(Exchange("1", "chat", Who("default", "u"), 1.7e9, asked, "", answer, "", True, "whole"))
    assert said is not None and said.answers[0].body is not None
    assert [(call.id, call.name) for call in said.answers[0].body.tool_calls] == calls
    assert all(msgspec.json.decode(call.arguments) is not None for call in said.answers[0].body.tool_calls)
