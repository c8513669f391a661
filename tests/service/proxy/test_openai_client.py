"""The real OpenAI client through the proxy: chat, streams, tools and Responses, before a scripted upstream and our own engine."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import make_settings
from tests.service.live import Live, running
from tests.service.proxy.conftest import Front
from tests.service.proxy.scripted import Scripted, chunked, completion, event, whole
from tests.service.served import add_model, crown

HELLO: list[Any] = [{"role": "user", "content": "Hello there!"}]


@pytest.fixture
def client(front: Front) -> Iterator[openai.OpenAI]:
    with client_of(front.live) as client:
        yield client


def client_of(live: Live) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{live.url}/v1", api_key="sk-upstream", max_retries=0, http_client=httpx.Client(trust_env=False)
    )


def test_tools_are_called_and_answered(front: Front, client: openai.OpenAI) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}}
    first = completion("", "chatcmpl-t1", finish_reason="tool_calls")
    first["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
    tools: Any = [
        {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    ]
    front.upstream.says(whole(first))
    said = client.chat.completions.create(model="m", messages=HELLO, tools=tools, user="tina")
    assert said.choices[0].message.tool_calls and said.choices[0].message.tool_calls[0].id == "call_1"
    assert front.upstream.head()["authorization"] == "Bearer sk-upstream"
    history = [*HELLO, said.choices[0].message, {"role": "tool", "tool_call_id": "call_1", "content": "21"}]
    front.upstream.says(whole(completion("21 degrees.", "chatcmpl-t2")))
    client.chat.completions.create(model="m", messages=history, tools=tools, user="tina")
    (messages,) = front.recorded("tina", 1, 4)
    assert [m.role for m in messages] == ["user", "assistant", "tool", "assistant"]


def test_a_stream_is_read_as_it_comes(front: Front, client: openai.OpenAI) -> None:
    deltas = [{"role": "assistant"}, {"content": "Hel"}, {"content": "lo!"}]
    chunks = [
        event({"id": "chatcmpl-st", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})
        for choice in [
            *({"index": 0, "delta": delta, "finish_reason": None} for delta in deltas),
            {"index": 0, "delta": {}, "finish_reason": "stop"},
        ]
    ]
    front.upstream.says(*chunked(*chunks, b"data: [DONE]\n\n"))
    stream = client.chat.completions.create(model="m", messages=HELLO, stream=True, user="stan")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hello!"
    assert [m.text for m in front.recorded("stan")[0]] == ["Hello there!", "Hello!"]


def response(id: str, text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    output = [{"type": "message", "id": f"msg_{id}", "role": "assistant", "status": "completed", "content": content}]
    return {
        "id": id, "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": output,
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    }  # fmt: skip


def test_responses_whole_and_streamed_make_one_conversation(front: Front, client: openai.OpenAI) -> None:
    front.upstream.says(whole(response("resp_o1", "Hello!")))
    first = client.responses.create(model="m", input="Hi", user="olaf")
    assert (first.id, first.output_text) == ("resp_o1", "Hello!")
    done = {"type": "response.completed", "sequence_number": 1, "response": response("resp_o2", "Quite.")}
    front.upstream.says(*chunked(b"event: response.completed\n" + event(done)))
    stream = client.responses.create(model="m", input="Sure?", previous_response_id=first.id, user="olaf", stream=True)
    assert [one.type for one in stream] == ["response.completed"]
    assert [m.text for m in front.recorded("olaf", 1, 4)[0]] == ["Hi", "Hello!", "Sure?", "Quite."]


def test_an_error_of_the_upstream_is_the_clients_own(front: Front, client: openai.OpenAI) -> None:
    front.upstream.says(
        whole({"error": {"message": "no such model", "code": "model_not_found"}}, status="404 Not Found")
    )
    with pytest.raises(openai.NotFoundError, match="no such model"):
        client.chat.completions.create(model="m", messages=HELLO, user="erna")
    front.upstream.says()
    with pytest.raises(openai.InternalServerError, match="ended before it answered"):
        client.chat.completions.create(model="m", messages=HELLO, user="erna")


@pytest.fixture(scope="module")
def before_engine(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """The proxy in front of a Perennial whose engine serves a small random model; both of one home."""
    home = tmp_path_factory.mktemp("engine")
    shutil.copy(sqlite_template, home / "perennial.db")
    settings = make_settings(home)
    with running(settings) as service:
        add_model(service.store, settings, "origin", kind="origin", verdict=None)
        crown(service.store, "origin")
        service.wait_for_model("origin")
        with (
            running(replace(settings, upstream=f"{service.url}/v1"), engine=False, is_front=True) as live,
            live.http() as http,
        ):
            yield Front(live, Scripted(), http)


def test_our_own_engine_is_an_upstream_like_any_other(before_engine: Front) -> None:
    chat = list(HELLO)
    with client_of(before_engine.live) as client:
        assert client.models.list().data[0].id == "champion"
        whole_reply = client.chat.completions.create(model="champion", messages=chat, max_tokens=5, user="anna", seed=1)
        chat += [
            {"role": "assistant", "content": whole_reply.choices[0].message.content},
            {"role": "user", "content": "And?"},
        ]
        stream = client.chat.completions.create(
            model="champion", messages=chat, max_tokens=7, user="anna", stream=True, seed=2
        )
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    voted = before_engine.http.put(f"/v1/votes/{chunks[0].id}", json={"value": "up", "user": "anna"})
    (messages,) = before_engine.recorded("anna", 1, 4)
    assert voted.status_code == 200 and [m.text for m in messages] == [*(turn["content"] for turn in chat), text]
    assert [m.state for m in messages if m.role == "assistant"] == ["unfinished", "unfinished"]  # both at their limit
