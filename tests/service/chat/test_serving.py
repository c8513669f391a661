"""What a chat request may ask for, through the real OpenAI client and a real engine with the tiny model."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.gguf.convert import convert
from pipelines.gguf.protocol import End, Failure, Start, Text, Thought
from service.api_keys import create_key
from service.settings import Settings
from tests.conftest import make_settings
from tests.service.live import Live, running, saying
from tests.service.served import add_model, add_rows, crown

TINY = Path(__file__).resolve().parents[3] / "models" / "tiny"
HELLO: list[Any] = [{"role": "user", "content": "Hello there!"}]
CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Ulm", "Bonn"]}, "warm": {"type": "boolean"}},
    "required": ["city", "warm"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": CITY}}


@pytest.fixture(scope="module")
def live(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "perennial.db")
    with running(make_settings(home)) as service:
        path = service.settings.models / "tiny-origin" / "model.gguf"
        path.parent.mkdir(parents=True)
        convert(TINY, path)
        add_rows(service.store, service.settings, "tiny-origin", path, kind="origin", verdict=None)
        crown(service.store, "tiny-origin")
        service.wait_for_model("tiny-origin")
        yield service


@pytest.fixture
def client(live: Live) -> Iterator[openai.OpenAI]:
    with live.openai() as client:
        yield client


def ask(client: openai.OpenAI, **more: Any) -> Any:
    asked = {"model": "champion", "messages": HELLO, "max_tokens": 24, "seed": 5} | more
    return client.chat.completions.create(**asked)


@pytest.mark.parametrize(
    ("plain", "wish"),
    [
        ({"temperature": 2.0}, {"extra_body": {"top_k": 1}}),
        ({"temperature": 2.0}, {"extra_body": {"min_p": 1.0}}),
        ({"temperature": 2.0}, {"top_p": 0.01}),
        ({"temperature": 2.0}, {"frequency_penalty": 2.0}),
        ({"temperature": 2.0}, {"presence_penalty": 2.0}),
        ({"temperature": 2.0}, {"extra_body": {"repeat_penalty": 2.0}}),
        ({"temperature": 0.0}, {"temperature": 2.0}),
        ({"temperature": 2.0}, {"seed": 6}),
        ({"temperature": 0.0}, {"stop": ["good"]}),
    ],
    ids=["top_k", "min_p", "top_p", "frequency", "presence", "repeat", "temperature", "seed", "stop"],
)
def test_each_option_changes_what_is_said(client: openai.OpenAI, plain: dict[str, Any], wish: dict[str, Any]) -> None:
    first, again, changed = (
        ask(client, **options).choices[0].message.content for options in (plain, plain, plain | wish)
    )
    assert first == again != changed


def test_top_k_of_one_is_the_greedy_answer(client: openai.OpenAI) -> None:
    greedy = ask(client, temperature=0).choices[0].message.content
    assert ask(client, temperature=2, extra_body={"top_k": 1}).choices[0].message.content == greedy


@pytest.mark.parametrize("temperature", [0, 1])
def test_an_answer_keeps_to_a_json_schema_whole_and_streamed(client: openai.OpenAI, temperature: float) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY, "strict": True}}
    options: dict[str, Any] = {"response_format": form, "max_tokens": 200, "temperature": temperature}
    choice = ask(client, **options).choices[0]
    said = json.loads(choice.message.content)
    assert said.keys() == {"city", "warm"} and said["city"] in ("Ulm", "Bonn") and choice.finish_reason == "stop"
    chunks = list(ask(client, stream=True, **options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == choice.message.content


def test_json_object_begins_one(client: openai.OpenAI) -> None:
    said = ask(client, response_format={"type": "json_object"}, max_tokens=8).choices[0].message.content
    assert said.startswith("{")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}], ids=str)
def test_a_call_can_be_demanded_also_of_a_template_that_knows_no_tools(client: openai.OpenAI, choice: Any) -> None:
    for stream in (False, True):
        answer = ask(client, tools=[TOOL], tool_choice=choice, max_tokens=200, stream=stream)
        if stream:
            chunks = [chunk.choices[0] for chunk in answer]
            calls, finish = [call for one in chunks for call in one.delta.tool_calls or ()], chunks[-1].finish_reason
        else:
            calls, finish = answer.choices[0].message.tool_calls, answer.choices[0].finish_reason
        (call,) = calls
        assert call.function.name == "weather" and json.loads(call.function.arguments)["city"] in ("Ulm", "Bonn")
        assert finish == "tool_calls"


def test_logprobs_come_whole_and_streamed_and_only_where_asked(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"logprobs": True, "top_logprobs": 3, "temperature": 0, "max_tokens": 8}
    choice = ask(client, **options).choices[0]
    assert choice.logprobs is not None and ask(client, max_tokens=2).choices[0].logprobs is None
    tokens = choice.logprobs.content
    said = b"".join(bytes(one.bytes) for one in tokens).decode(errors="replace")
    assert said == choice.message.content and {len(one.top_logprobs) for one in tokens} == {3}
    assert all(one.top_logprobs[0].logprob == one.logprob <= 0 for one in tokens)  # it is greedy
    chunks = [chunk.choices[0] for chunk in ask(client, stream=True, **options)]
    streamed = [one for chunk in chunks if chunk.logprobs for one in chunk.logprobs.content]
    assert [one.model_dump() for one in streamed] == [one.model_dump() for one in tokens]


THINKING = (
    Start(model="origin", sha256="s", prompt_tokens=3),
    Thought(text="Look "),
    Thought(text="it up."),
    Text(text="Done."),
    End(reason="stop", completion_tokens=9),
)


def test_a_thought_is_told_apart_and_stored_apart(sqlite_settings: Settings) -> None:
    with running(sqlite_settings, engine=False) as service, saying(sqlite_settings, *THINKING):
        add_model(service.store, sqlite_settings, "origin", kind="origin")
        crown(service.store, "origin")
        with service.openai() as client:
            message = ask(client, store=True, user="hana").choices[0].message
            assert (message.content, message.reasoning_content) == ("Done.", "Look it up.")
            deltas = [chunk.choices[0].delta for chunk in ask(client, stream=True)]
            assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "Look it up."
            assert "".join(delta.content or "" for delta in deltas) == "Done."
            ask(client, messages=[*HELLO, {"role": "assistant", "content": "Done."}, *HELLO], store=True, user="hana")
        ((_, answer, question, _),) = service.messages("hana")
        assert json.loads(answer.text) == {"content": "Done.", "reasoning": "Look it up."}
        assert question.parent == answer.id


def test_a_full_queue_is_429_with_the_time_to_come_again(sqlite_settings: Settings) -> None:
    full = Failure(error="QueueFull", message="64 chats are waiting already; try again later")
    with running(sqlite_settings, engine=False) as service, saying(sqlite_settings, full, status=429):
        add_model(service.store, sqlite_settings, "origin", kind="origin")
        crown(service.store, "origin")
        with service.openai() as client, pytest.raises(openai.RateLimitError, match="64 chats are waiting") as refused:
            ask(client)
    assert refused.value.response.headers["retry-after"] == "1"


def respond(client: openai.OpenAI, **more: Any) -> Any:
    return client.responses.create(**{"model": "champion", "input": "Hello there!", "temperature": 0} | more)


def test_a_response_says_what_a_chat_completion_says(client: openai.OpenAI) -> None:
    chat, response = ask(client, temperature=0, max_tokens=100), respond(client, max_output_tokens=100)
    assert response.output_text == chat.choices[0].message.content and response.status == "completed"
    assert (response.model, response.usage.total_tokens) == ("tiny-origin", chat.usage.total_tokens)
    cut = respond(client, max_output_tokens=2)
    assert (cut.status, cut.incomplete_details.reason, cut.usage.output_tokens) == (
        "incomplete",
        "max_output_tokens",
        2,
    )
    history = [{"role": "user", "content": "Hello there!"}, *response.output, {"role": "user", "content": "And?"}]
    assert respond(client, input=history, instructions="Be brief.").usage.input_tokens > response.usage.input_tokens


def test_a_streamed_response_is_the_whole_one_in_events(client: openai.OpenAI) -> None:
    whole = respond(client, top_logprobs=2, include=["message.output_text.logprobs"])
    with client.responses.stream(model="champion", input="Hello there!", temperature=0, top_logprobs=2) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert (
        final.output_text
        == whole.output_text
        == "".join(event.delta for event in events if event.type == "response.output_text.delta")
    )
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    told = [item.content[0].logprobs for item in (final.output[0], whole.output[0])]
    assert told[0] == told[1] and len(told[0][0].top_logprobs) == 2


def test_a_response_calls_tools_and_keeps_to_a_schema(client: openai.OpenAI) -> None:
    tool = {"type": "function", "name": "weather", "parameters": CITY, "strict": True}
    for stream in (False, True):
        answer = respond(client, tools=[tool], tool_choice={"type": "function", "name": "weather"}, stream=stream)
        response = list(answer)[-1].response if stream else answer
        (call,) = response.output
        assert (call.type, call.name) == ("function_call", "weather") and json.loads(call.arguments)["city"]
    history = [
        {"role": "user", "content": "Warm?"},
        call,
        {"type": "function_call_output", "call_id": call.call_id, "output": "21"},
    ]
    assert respond(client, input=history).output_text
    form = {"format": {"type": "json_schema", "name": "city", "schema": CITY, "strict": True}}
    assert json.loads(respond(client, text=form).output_text).keys() == {"city", "warm"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"previous_response_id": "resp_1"}, "keeps no responses"),
        ({"input": [{"type": "item_reference", "id": "a"}]}, "does not act on items of the type 'item_reference'"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "only text is accepted"),
        ({"input": []}, "`input`"),
        ({"reasoning": {"effort": "low"}}, "does not act on `reasoning`"),
        ({"store": True}, "`store` needs `user`"),
    ],
    ids=["previous", "reference", "image", "empty", "reasoning", "store"],
)
def test_a_response_that_cannot_be_given_is_refused_in_a_sentence(
    client: openai.OpenAI, change: Any, said: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        respond(client, **change)


def test_a_response_tells_thoughts_apart_and_is_recorded_where_asked(sqlite_settings: Settings) -> None:
    with running(sqlite_settings, engine=False) as service, saying(sqlite_settings, *THINKING):
        add_model(service.store, sqlite_settings, "origin", kind="origin")
        crown(service.store, "origin")
        with service.openai() as client:
            response = respond(client, store=True, user="ida", metadata={"consent": "true"})
            kinds = [event.type for event in respond(client, stream=True)]
        assert [item.type for item in response.output] == ["reasoning", "message"]
        assert response.output[0].content[0].text == "Look it up." and response.output_text == "Done."
        assert kinds.count("response.reasoning_text.delta") == 2 and "response.reasoning_text.done" in kinds
        assert [one.role for one in service.messages("ida")[0]] == ["user", "assistant"]
        assert service.consents("ida") == [True]


def test_metrics_count_chats_and_tokens_and_tell_the_states(live: Live, client: openai.OpenAI) -> None:
    def read() -> dict[str, float]:
        with live.http() as http:
            answer = http.get("/metrics")
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
        families = text_string_to_metric_families(answer.text)
        return {f"{one.name}{sorted(one.labels.values())}": one.value for family in families for one in family.samples}

    before = read()
    usage = ask(client, temperature=0).usage
    after = read()
    assert (
        after["perennial_chats_total['stop', 'tiny-origin']"]
        == before.get("perennial_chats_total['stop', 'tiny-origin']", 0) + 1
    )
    said = "perennial_completion_tokens_total['tiny-origin']"
    assert after[said] - before.get(said, 0) == usage.completion_tokens
    assert after["perennial_first_token_seconds_count[]"] == before["perennial_first_token_seconds_count[]"] + 1
    assert after["perennial_engine_state['serving']"] == 1 and after["perennial_engine_state['down']"] == 0
    assert after["perennial_database_writable[]"] == 1 and after["perennial_rounds['running']"] == 0
    assert after["perennial_engine_chats_waiting[]"] == 0 and "perennial_worker_heartbeat_age_seconds[]" not in after


def test_metrics_of_every_app_are_for_who_may_read_them(sqlite_settings: Settings) -> None:
    with running(sqlite_settings, engine=False) as service, service.http() as http:
        chat, app, read = (
            create_key(service.store, name, of, [scope])
            for name, of, scope in (("c", None, "chat"), ("a", "app", "read"), ("r", None, "read"))
        )
        codes = [http.get("/metrics", headers={"X-API-Key": key}).status_code for key in (chat, app, read, "pk_x")]
        assert codes == [403, 403, 200, 401]
