"""Chat through the real OpenAI client, a real server and a real engine: answers, records, votes, swaps, deaths."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import httpx
import openai
import pytest
from sqlmodel import select
from structlog.testing import capture_logs

from pipelines.gguf.protocol import End, Start, Text
from pipelines.records import Record
from service.api_keys import create_key
from service.engine.client import engine_status
from service.settings import Settings
from service.store.session import open_store
from service.store.tables import Vote
from tests.conftest import make_settings
from tests.service.live import Live, Turn, running, saying
from tests.service.served import add_model, crown

HELLO = [{"role": "user", "content": "Hello there!"}]


@pytest.fixture(scope="module")
def live(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(sqlite_template, home / "perennial.db")
    with running(make_settings(home)) as service:
        add_model(service.store, service.settings, "origin", "slow", kind="origin", verdict=None)
        add_model(service.store, service.settings, "second", "second", verdict="fail")
        with service.openai() as early, pytest.raises(openai.InternalServerError, match="no champion yet"):
            early.chat.completions.create(model="champion", messages=HELLO)  # type: ignore[arg-type]
        crown(service.store, "origin")
        service.wait_for_model("origin")
        yield service


@pytest.fixture
def client(live: Live) -> Iterator[openai.OpenAI]:
    with live.openai() as client:
        yield client


def test_the_models_are_listed_with_the_champion_first_under_its_lasting_name(
    live: Live, client: openai.OpenAI
) -> None:
    listed = client.models.list().data
    assert [model.id for model in listed][0] == "champion" and {model.id for model in listed[1:]} == {
        "origin",
        "second",
    }
    known = {model.id: model.model_extra or {} for model in listed}
    assert known["champion"]["alias_of"] == "origin" and known["origin"]["alias_of"] is None
    assert known["origin"]["champion"] is True and known["second"]["verdict"] == "fail"
    one = client.models.retrieve("champion")
    assert one.id == "champion" and one.model_extra == known["champion"]
    with pytest.raises(openai.NotFoundError, match="no model is called 'gpt-5'"):
        client.models.retrieve("gpt-5")


def test_a_whole_reply_has_text_usage_and_a_reason(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="champion", messages=HELLO, max_tokens=5, temperature=0)
    assert reply.model == "origin" and reply.id.startswith("chatcmpl-") and reply.choices[0].message.content
    assert reply.choices[0].finish_reason == "length" and reply.usage is not None
    assert reply.usage.completion_tokens == 5 and reply.usage.total_tokens == reply.usage.prompt_tokens + 5


def test_a_streamed_reply_is_the_whole_one_in_pieces(client: openai.OpenAI) -> None:
    asked = {"model": "origin", "messages": HELLO, "max_completion_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**asked)  # type: ignore[call-overload]
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))  # type: ignore[call-overload]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].usage == whole.usage and len({c.id for c in chunks}) == 1


def test_seed_and_stop_are_obeyed(client: openai.OpenAI) -> None:
    def text(**more: object) -> str:
        reply = client.chat.completions.create(model="champion", messages=HELLO, max_tokens=16, **more)  # type: ignore[call-overload]
        return str(reply.choices[0].message.content)

    assert text(seed=3, temperature=1) == text(seed=3, temperature=1) != text(seed=4, temperature=1)
    full = text(temperature=0)
    mark = full[4:7]
    assert text(temperature=0, stop=[mark]) == full[: full.index(mark)]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"model": "second"}, 404, "does not answer here; ask for 'champion' or its id 'origin'"),
        ({"n": 2}, 400, "`n` must be 1"),
        ({"n": 1}, 200, ""),
        ({"temperature": 3}, 400, "`temperature`"),
        ({"temperature": 2}, 200, ""),
        ({"tools": [{"type": "function"}]}, 400, "`tools.0.function`: field required"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "takes no `tools`; leave them out"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none"}, 200, ""),
        ({"tool_choice": "required"}, 400, "`tool_choice` demands a call, and there are no `tools`"),
        ({"tool_choice": "never"}, 400, "`tool_choice` must be 'auto', 'none', 'required' or"),
        (
            {
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "tool_choice": {"type": "function", "function": {"name": "g"}},
            },
            400,
            "names 'g', which none of the `tools`",
        ),
        ({"top_logprobs": 3}, 400, "`top_logprobs` needs `logprobs`"),
        ({"logprobs": True, "top_logprobs": 21}, 400, "`top_logprobs`"),
        ({"frequency_penalty": 2.5}, 400, "`frequency_penalty`"),
        ({"top_k": -1}, 400, "`top_k`"),
        ({"response_format": {"type": "json_schema"}}, 400, "json_schema.schema` is missing"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "wish"}}}},
            400,
            "no answer can be held to this JSON schema",
        ),
        ({"response_format": {"type": "text"}}, 200, ""),
        ({"messages": [*HELLO, {"role": "tool", "content": "21"}]}, 400, "`messages.1`: a message of the role 'tool'"),
        ({"tools": []}, 200, ""),
        ({"logit_bias": {"5": 1}}, 400, "does not act on `logit_bias`"),
        ({"messages": []}, 400, "`messages`"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "Hi"}]}, 400, "must have the role 'user'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}, 200, ""),
        ({"messages": [{"role": "developer", "content": "Be brief."}, *HELLO]}, 200, ""),
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, 400, "tokens"),
        ({"messages": [{"role": "user", "content": None}]}, 400, "`messages.0`: `content` is missing"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            400,
            "`messages.0.content.0.text`: field required",
        ),
        ({"stop": ["a", "b", "c", "d", "e"]}, 400, "`stop`: list should have at most 4 items"),
        ({"stop": 5}, 400, "`stop`: input should be a valid string"),
        ({"temperature": float("nan")}, 400, "`temperature`"),
        ({"store": True}, 400, "`store` needs `user`"),
        ({"store": True, "user": "a\0b"}, 400, "the character NUL"),
        ({"store": True, "user": "u", "metadata": {"topic": "a\0b"}}, 400, "the character NUL"),
        ({"store": True, "user": "u", "metadata": {"consent": "maybe"}}, 400, "consent must be 'true' or 'false'"),
    ],
)
def test_each_request_is_answered_or_refused_in_openais_shape(
    live: Live, change: dict[str, object], status: int, said: str
) -> None:
    with live.http() as http:
        asked = {"model": "champion", "messages": HELLO, "max_tokens": 2, **change}
        answer = http.post(
            "/v1/chat/completions", content=json.dumps(asked), headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == status, answer.text
    if status != 200:
        problem = answer.json()
        assert said in problem["error"]["message"] and problem["error"]["type"] == "invalid_request_error"
        assert answer.headers["content-type"] == "application/problem+json" and problem["error"]["code"]
        assert (problem["status"], problem["detail"]) == (status, problem["error"]["message"])


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"model": "champion", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "champion", "messages": [{"role": "user", "content": "a\\u0000b"}]}',
    ],
)
def test_a_body_that_is_no_request_is_refused_with_a_sentence(live: Live, body: bytes) -> None:
    with live.http() as http:
        answer = http.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "invalid_request"


def test_a_key_without_the_scope_or_unknown_is_refused_in_openais_shape(sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    key = create_key(store, "reader", None, ["read"])
    store.close()
    with running(sqlite_settings, engine=False) as service:
        with (
            service.openai("pk_wrong") as nobody,
            pytest.raises(openai.AuthenticationError, match="unknown or revoked"),
        ):
            nobody.models.list()
        with service.openai(key) as reader:
            assert list(reader.models.list()) == []
            with pytest.raises(openai.PermissionDeniedError, match="needs the scope 'chat'"):
                reader.chat.completions.create(model="champion", messages=HELLO)  # type: ignore[arg-type]


def test_without_an_engine_chat_is_busy_and_says_so(sqlite_settings: Settings) -> None:
    with running(sqlite_settings, engine=False) as service, service.openai() as client:
        add_model(service.store, sqlite_settings, "origin", kind="origin")
        crown(service.store, "origin")
        with pytest.raises(
            openai.InternalServerError, match="nobody runs the engine, so .* Start it: `perennial engine`"
        ):
            client.chat.completions.create(model="champion", messages=HELLO)  # type: ignore[arg-type]


def test_what_the_model_says_can_be_sent_back_to_it(client: openai.OpenAI) -> None:
    """This one says every byte sooner or later; NUL is refused in what comes in."""
    said = client.chat.completions.create(
        model="champion",
        messages=HELLO,  # type: ignore[arg-type]
        max_tokens=400,
        seed=4,
    )
    history = [*HELLO, {"role": "assistant", "content": said.choices[0].message.content}, *HELLO]
    again = client.chat.completions.create(model="champion", messages=history, max_tokens=1)  # type: ignore[call-overload]
    assert again.choices[0].finish_reason == "length"


def test_control_tokens_in_a_message_are_not_obeyed(client: openai.OpenAI) -> None:
    def prompt_tokens(text: str) -> int:
        usage = client.chat.completions.create(
            model="champion", messages=[{"role": "user", "content": text}], max_tokens=1
        ).usage
        return usage.prompt_tokens if usage else 0

    assert prompt_tokens("a<|im_end|>b") > prompt_tokens("ab") + 3


def test_a_chat_is_stored_as_turns_of_one_conversation(live: Live, client: openai.OpenAI) -> None:
    chat: list[dict[str, str]] = [{"role": "system", "content": "Be kind."}]
    for turn in ("one", "two", "three"):
        chat.append({"role": "user", "content": turn})
        reply = client.chat.completions.create(
            model="champion",
            messages=chat,
            max_tokens=4,
            store=True,
            user="anna",
            metadata={"consent": "true"},  # type: ignore[arg-type]
        )
        chat.append({"role": "assistant", "content": reply.choices[0].message.content or ""})
    (messages,) = live.messages("anna")
    assert [(m.role, m.text) for m in messages] == [(t["role"], t["content"]) for t in chat]
    assert [m.parent for m in messages[1:]] == [m.id for m in messages[:-1]]
    assert {m.served_by for m in messages if m.role == "assistant"} == {"origin"}
    assert live.consents("anna") == [True]


def test_asking_again_makes_a_sibling_and_another_opening_another_conversation(
    live: Live, client: openai.OpenAI
) -> None:
    def ask(text: str, **more: object) -> None:
        client.chat.completions.create(
            model="champion",
            messages=[{"role": "user", "content": text}],
            max_tokens=4,
            store=True,
            user="ben",
            **more,  # type: ignore[call-overload]
        )

    ask("Tell me of the sea.")
    ask("Tell me of the sea.")
    ask("Tell me of the hills.")
    sea, hills = live.messages("ben")
    assert [m.role for m in sea] == ["user", "assistant", "assistant"] and len(hills) == 2
    assert sea[1].parent == sea[2].parent == sea[0].id
    assert live.consents("ben") == [None, None]
    ask("Tell me of the hills.", metadata={"conversation_id": "mine"})
    ask("And of the moon.", metadata={"conversation_id": "mine", "consent": "false"})
    assert len(live.messages("ben")) == 3 and live.consents("ben") == [None, None, False]


def test_a_conversation_of_another_person_is_not_touched(live: Live, client: openai.OpenAI) -> None:
    asked = {
        "model": "champion",
        "messages": HELLO,
        "max_tokens": 2,
        "store": True,
        "metadata": {"conversation_id": "c-eve"},
    }
    client.chat.completions.create(**asked, user="adam")  # type: ignore[call-overload]
    with pytest.raises(openai.ConflictError, match="belongs to another user"):
        client.chat.completions.create(**asked, user="eve")  # type: ignore[call-overload]


def test_any_name_of_a_conversation_comes_back_in_the_header_and_continues_it(live: Live) -> None:
    for text in ("one", "two"):
        asked = {"model": "champion", "messages": [{"role": "user", "content": text}], "max_tokens": 2, "store": True}
        with live.http() as http:
            metadata = {"conversation_id": "대화 1\r\nX-Evil: 1"}
            answer = http.post("/v1/chat/completions", json=asked | {"user": "gil", "metadata": metadata})
        assert answer.status_code == 200 and "x-evil" not in answer.headers
        assert unquote(answer.headers["x-perennial-conversation"]) == "대화 1\r\nX-Evil: 1"
    (messages,) = live.messages("gil")
    assert [m.text for m in messages if m.role == "user"] == ["one", "two"]


def test_a_vote_on_the_reply_works_while_it_is_still_being_written(live: Live, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="champion", messages=HELLO, max_tokens=60, stream=True, store=True, user="cleo", temperature=0
    )
    reply_id = next(iter(stream)).id
    with live.http() as http:
        assert http.put(f"/v1/votes/{reply_id}", json={"value": "up", "user": "cleo"}).status_code < 300
    for _ in stream:
        pass
    (messages,) = live.messages("cleo")
    with live.store.read() as session:
        votes = session.exec(select(Vote).where(Vote.message_hmac == messages[-1].hmac)).all()
    assert [vote.value for vote in votes] == [1] and messages[-1].state == "complete"


def test_a_client_that_leaves_leaves_an_incomplete_reply(live: Live) -> None:
    body = {"model": "champion", "messages": HELLO, "stream": True, "store": True, "user": "dora", "temperature": 0}
    with live.http() as http, http.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()
        for _ in range(8):
            next(lines)
    message = _last_message(live, "dora")
    assert message.role == "assistant" and message.state == "unfinished" and message.text
    # the engine has stopped as well: by itself it goes on to its context's end, taking turns with what is asked now
    with live.http() as http:
        http.post("/v1/chat/completions", json={**body, "stream": False, "store": False, "max_tokens": 60})
    status = engine_status(live.settings.home)
    assert status is not None and status.active == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_is_no_failure_of_ours(live: Live, stream: bool) -> None:
    body = {"model": "champion", "messages": HELLO, "stream": stream, "temperature": 0}
    with capture_logs() as lines:
        with live.http() as http, suppress(httpx.ReadTimeout):
            with http.stream("POST", "/v1/chat/completions", json=body, timeout=1) as answer:
                next(answer.iter_lines())
        deadline = time.monotonic() + 30
        while {"request", "reply_cut_off"} - {line["event"] for line in lines} and time.monotonic() < deadline:
            time.sleep(0.05)
    told = {line["event"]: line for line in lines}
    assert told["request"]["status"] == 499 and told["reply_cut_off"]["why"] == "ClientLeft"
    assert all(line["log_level"] in ("debug", "info") for line in lines), lines


def test_one_stream_lives_through_a_swap_and_the_next_chat_meets_the_new_champion(
    live: Live, client: openai.OpenAI
) -> None:
    stream = client.chat.completions.create(
        model="champion", messages=HELLO, max_tokens=800, stream=True, temperature=0
    )
    chunks = [next(iter(stream))]
    crown(live.store, "second", "origin")
    try:
        live.wait_for_model("second")
        during = client.chat.completions.create(model="champion", messages=HELLO, max_tokens=2)
        chunks += list(stream)
        assert {chunk.model for chunk in chunks} == {"origin"} and during.model == "second"
        assert chunks[-1].choices[0].finish_reason == "length" and len(chunks) > 300
    finally:
        crown(live.store, "origin", "second")
        live.wait_for_model("origin")


def test_the_name_champion_outlives_a_promotion_and_an_id_works_while_it_is_served(
    live: Live, client: openai.OpenAI
) -> None:
    def ask(model: str) -> str:
        return client.chat.completions.create(model=model, messages=HELLO, max_tokens=2).model  # type: ignore[arg-type]

    chosen = client.models.list().data[0].id
    assert ask(chosen) == ask("origin") == "origin"
    crown(live.store, "second", "origin")
    try:
        live.wait_for_model("second")
        assert ask(chosen) == ask("second") == "second"
        deadline = time.monotonic() + 30
        with pytest.raises(openai.NotFoundError, match="ask for 'champion' or its id 'second'"):
            while time.monotonic() < deadline:  # the supervisor tells a moment after the swap
                with suppress(openai.InternalServerError):
                    ask("origin")
    finally:
        crown(live.store, "origin", "second")
        live.wait_for_model("origin")


def test_a_champion_whose_file_is_gone_is_told_with_the_cure_instead_of_a_moments_patience(
    sqlite_settings: Settings,
) -> None:
    with running(sqlite_settings) as service:
        add_model(service.store, sqlite_settings, "lost").unlink()
        crown(service.store, "lost")
        with service.openai() as client, pytest.raises(openai.InternalServerError) as refused:
            client.chat.completions.create(model="champion", messages=HELLO)  # type: ignore[arg-type]
    assert refused.value.status_code == 503 and "models/lost/model.gguf" in refused.value.message
    assert "backup" in refused.value.message and "in a moment" not in refused.value.message


def test_kill_9_of_the_engine_breaks_only_the_stream_in_flight(live: Live, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="champion", messages=HELLO, max_tokens=1500, stream=True, store=True, user="fred", temperature=0
    )
    for _ in range(3):
        next(iter(stream))
    dead = live.kill_engine()
    with pytest.raises(openai.APIError, match="went away"):
        for _ in stream:
            pass
    with live.http() as http:
        conversation = {"id": "k-1", "user": "fred", "messages": [{"role": "user", "content": "still here?"}]}
        assert http.post("/v1/conversations", json=conversation).status_code == 201
    live.wait_for_model("origin", not_pid=dead)
    assert client.chat.completions.create(model="champion", messages=HELLO, max_tokens=2).choices
    message = _last_message(live, "fred")
    assert message.role == "assistant" and message.state == "unfinished"


@pytest.mark.parametrize(("events", "status"), [([End(reason="stop", completion_tokens=1)], 200), ([], 502)])
def test_a_reply_without_a_visible_character_leaves_the_conversation_as_it_was(
    sqlite_settings: Settings, events: list[Record], status: int
) -> None:
    start = Start(model="origin", sha256="s", prompt_tokens=3)
    with running(sqlite_settings, engine=False) as service, saying(sqlite_settings, start, Text(text="\n "), *events):
        add_model(service.store, sqlite_settings, "origin", kind="origin")
        crown(service.store, "origin")
        with service.http() as http:
            asked = {"model": "champion", "messages": HELLO, "store": True, "user": "hana"}
            answer = http.post("/v1/chat/completions", json=asked)
        assert answer.status_code == status, answer.text
        assert [[turn.role for turn in turns] for turns in service.messages("hana")] == [["user"]]


def test_many_chats_at_once_are_all_answered_and_stored(live: Live) -> None:
    failures: list[BaseException] = []

    def talk(number: int) -> None:
        try:
            with live.openai() as client:
                client.chat.completions.create(
                    model="champion",
                    messages=HELLO,
                    max_tokens=8,
                    store=True,
                    user=f"crowd-{number}",
                    stream=number % 2 == 0,  # type: ignore[call-overload]
                )
        except (openai.OpenAIError, httpx.HTTPError) as error:
            failures.append(error)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(1, 24, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and all(len(live.messages(f"crowd-{number}")[0]) == 2 for number in range(1, 24, 2))


def _last_message(live: Live, user: str) -> Turn:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        message = live.messages(user)[0][-1]
        if message.role == "assistant":
            return message
        time.sleep(0.1)
    return message
