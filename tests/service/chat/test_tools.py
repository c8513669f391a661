"""Tools on our own chat route: calls come back in OpenAI's shape, whole and streamed, and are stored with their results."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from pipelines.gguf.protocol import Calls, End, Event, Start, Text
from pipelines.gguf.question import Question
from pipelines.records import ToolCall
from pipelines.tool_calls import CallReader, call_format
from service.settings import Settings
from tests.service.live import Live, running, saying
from tests.service.served import add_model, crown

CALL = ToolCall(id="abcdefghi", name="weather", arguments='{"city": "Ulm"}')
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}, "strict": True}}]
ASKED = [{"role": "user", "content": "Is it warm in Ulm?"}]
SPOKEN = (
    Start(model="origin", sha256="s", prompt_tokens=3),
    Text(text="Let me look."),
    Calls(calls=(CALL,)),
    End(reason="stop", completion_tokens=9),
)


@pytest.fixture
def live(sqlite_settings: Settings) -> Iterator[Live]:
    with running(sqlite_settings, engine=False) as service, saying(sqlite_settings, *SPOKEN):
        add_model(service.store, sqlite_settings, "origin", kind="origin")
        crown(service.store, "origin")
        yield service


def ask(client: openai.OpenAI, messages: list[Any], **more: Any) -> Any:
    return client.chat.completions.create(
        model="champion",
        messages=messages,
        tools=TOOLS,
        store=True,
        user="hana",
        **more,  # type: ignore[call-overload]
    )


def test_a_call_comes_back_whole_and_its_result_goes_on_in_the_stored_conversation(live: Live) -> None:
    with live.openai() as client:
        choice = ask(client, ASKED).choices[0]
        (call,) = choice.message.tool_calls
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me look.")
        assert (call.id, call.function.name, call.function.arguments) == (CALL.id, CALL.name, CALL.arguments)
        result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
        ask(client, [*ASKED, choice.message.model_dump(exclude_none=True), result])

    ((question, called, answered, last),) = live.messages("hana")
    assert [one.role for one in (question, called, answered, last)] == ["user", "assistant", "tool", "assistant"]
    assert json.loads(called.text)["tool_calls"] == [CALL.model_dump()]
    assert json.loads(answered.text) == {"content": "21 degrees", "tool_call_id": CALL.id}
    assert called.parent == question.id and answered.parent == called.id and last.parent == answered.id


def test_a_stream_ends_with_the_call_in_one_piece(live: Live) -> None:
    with live.openai() as client:
        choices = [chunk.choices[0] for chunk in ask(client, ASKED, stream=True)]
    assert "".join(choice.delta.content or "" for choice in choices) == "Let me look."
    (call,) = [call for choice in choices for call in choice.delta.tool_calls or ()]
    assert (call.index, call.id, call.function.arguments) == (0, CALL.id, CALL.arguments)
    assert choices[-1].finish_reason == "tool_calls"


def test_the_engine_parts_text_from_calls_and_keeps_what_is_none() -> None:
    def events(*texts: str) -> list[Event]:
        form = call_format('<tool_call>{"name": ')
        assert form is not None
        question = Question(prompt="", marks=(), form=None, thoughts=None, calls=CallReader(form, []))
        spoken = [*(Text(text=text) for text in texts), End(reason="stop", completion_tokens=1)]
        return [one for event in spoken for one in question.part(event)]

    text, calls, end = events("Look. ", "<tool_", 'call>{"name": "weather", "arguments": {"city": "Ulm"}}</tool_call>')
    assert text == Text(text="Look. ") and isinstance(end, End) and isinstance(calls, Calls)
    assert [(call.name, call.arguments) for call in calls.calls] == [("weather", CALL.arguments)]
    assert events("<tool_call>{", "so")[:-1] == [Text(text="<tool_call>{so")]
