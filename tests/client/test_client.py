"""The client against a running service: every shape arrives, and what is refused is said to whom it concerns."""

import asyncio
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from sqlmodel import col, func, select

from perennial.client import AsyncClient, Client, Closed, Rejected, Rejection, Unavailable
from service.settings import Settings
from service.store.session import migrate
from service.store.tables import Comparison, Conversation, Correction, SQLModel, Vote
from tests.client.stand_in import Answer, answering, stored
from tests.conftest import make_settings
from tests.service.live import Live, running
from tests.service.process import free_port

PROJECT = Path(__file__).resolve().parents[2]
TALK = [{"role": "user", "content": "Good morning!"}, {"role": "assistant", "content": "Good morning to you, too!"}]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    settings: Settings = make_settings(tmp_path_factory.mktemp("home"))
    migrate(settings)
    with running(settings, engine=False) as started:
        yield started


def count(live: Live, table: type[SQLModel]) -> int:
    with live.store.read() as session:
        return session.exec(select(func.count()).select_from(table)).one()


def test_everything_that_people_say_arrives(live: Live) -> None:
    tables = (Conversation, Vote, Correction, Comparison)
    before = {table: count(live, table) for table in tables}
    with Client(live.url) as client:
        chat = client.conversation(TALK, user="ana", consent=True, satisfaction=5)
        client.vote(chat.messages[-1], "up", user="ana")
        client.vote(chat.messages[-1], -1, user="bob")
        client.correction(chat.messages[-1], "Good day!", user="ana")
        client.comparison("Good day!", {"content": "Yo."}, prompt=TALK[:1], user="ana", consent=True)
        assert client.flush(20)
        status = client.status()
    assert (status.delivered, status.rejected, status.dropped, status.waiting) == (5, 0, 0, 0)
    assert [count(live, table) - before[table] for table in tables] == [2, 2, 1, 1]
    with live.http() as http:
        found = http.get(f"/v1/conversations/{chat.id}").json()
    assert found["consent"] is True and found["votes"] == {"up": 1, "down": 1}
    assert found["messages"][0]["corrections"] == 1


def test_what_was_said_is_taken_back(live: Live) -> None:
    with Client(live.url, raise_errors=True) as client:
        chat = client.conversation([{"id": "t/1?ä", **TALK[0]}, {"id": "t/2#ö", **TALK[1]}], user="a&b=c")
        assert chat.messages == ("t/1?ä", "t/2#ö")
        client.vote("t/2#ö", True, user="a&b=c")
        client.correction("t/2#ö", "Good day!", user="a&b=c")
        client.vote("t/2#ö", None, user="a&b=c")
        client.correction("t/2#ö", None, user="a&b=c")
    with live.http() as http:
        found = http.get(f"/v1/conversations/{chat.id}").json()
    assert found["votes"] == {"up": 0, "down": 0}
    assert [one["state"] for one in found["messages"] if one["state"]] == ["retracted"]


def test_a_completion_of_the_openai_package_goes_as_it_is(live: Live) -> None:
    message = {"role": "assistant", "content": "Tilu."}
    completion = ChatCompletion.model_validate(
        {
            "id": "chatcmpl-17",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        }
    )
    with Client(live.url, raise_errors=True) as client:
        whole = client.conversation([TALK[0], completion], user="ana")
        client.conversation([TALK[0], completion.choices[0].message], user="ana")
        client.vote("chatcmpl-17", "down", user="ana")
    assert whole.messages == (f"{whole.id}:0", "chatcmpl-17")
    with live.http() as http:
        assert http.get(f"/v1/conversations/{whole.id}").json()["votes"] == {"up": 0, "down": 1}


def test_a_chat_with_tools_goes_as_the_openai_package_has_it(live: Live) -> None:
    asks = ChatCompletionMessage.model_validate(
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "annotations": [],
            "tool_calls": [
                {"id": "t-1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Osk"}'}}
            ],
        }
    )
    answers = {"role": "tool", "tool_call_id": "t-1", "content": "rain"}
    last = ChatCompletionMessage(role="assistant", content="It rains in Osk.")
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    with Client(live.url, raise_errors=True) as client:
        chat = client.conversation([TALK[0], asks, answers, last], user="ana", consent=True, tools=tools)
        client.vote(chat.messages[3], "up", user="ana", reason="tone", comment="thanks", source="person")
    [stored] = [one for one in live.messages("ana") if any(turn.text == "It rains in Osk." for turn in one)]
    assert [turn.role for turn in stored] == ["user", "assistant", "tool", "assistant"]


def test_what_waited_is_dated_when_it_was_said() -> None:
    said: list[Any] = []

    def answer(number: int, body: Any) -> Answer:
        said.append(body)
        time.sleep(0.3)
        return stored(body)

    with answering(answer) as server, Client(server.url) as client:
        before = datetime.now(UTC)
        client.vote("m-1", "up", user="ana")
        client.vote("m-1", "down", user="ana")
        after = datetime.now(UTC)
        assert client.flush(10)
    assert all(before <= datetime.fromisoformat(body["time"]) <= after for body in said) and len(said) == 2


def test_the_same_under_asyncio(live: Live) -> None:
    async def talk() -> str:
        async with AsyncClient(live.url) as client:
            chats = [await client.conversation(TALK, user=f"u-{number}") for number in range(50)]
            await client.vote(chats[0].messages[-1], "up", user="ana")
            await client.correction(chats[0].messages[-1], "Good day!", user="ana")
            await client.comparison("Good day!", "Yo.", prompt=TALK[:1], user="ana")
            assert await client.flush(20)
            assert client.status().delivered == 53
        async with AsyncClient(live.url, raise_errors=True) as client:
            with pytest.raises(Rejected):
                await client.vote(chats[0].messages[0], "up", user="ana")  # a user's message
            return chats[0].id

    id = asyncio.run(talk())
    with live.http() as http:
        assert http.get(f"/v1/conversations/{id}").json()["votes"] == {"up": 1, "down": 0}


def test_what_is_refused_is_kept_with_the_sentence_and_holds_nobody_up(
    live: Live, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Rejection] = []
    with (
        caplog.at_level(logging.WARNING, "perennial.client"),
        Client(live.url, spool=tmp_path / "spool", on_reject=told.append) as client,
    ):
        client.conversation([{"role": "marsian", "content": "Zanzibarquartz"}], user="ana", id="bad")
        good = client.conversation(TALK, user="ana")
        client.vote(good.messages[0], "up", user="ana")
        client.conversation([{"role": "user", "content": object()}], user="ana")
        assert client.flush(20)
        assert (client.status().delivered, client.status().rejected) == (1, 3)
    assert {(one.kind, one.status) for one in told} == {("conversation", 422), ("vote", 422), ("conversation", None)}
    kept = [json.loads(line) for line in (tmp_path / "spool" / "rejected.ndjson").read_text().splitlines()]
    assert Counter(one["kind"] for one in kept) == {"conversation": 2, "vote": 1}
    assert any("marsian" in one["detail"] for one in kept)
    assert "Zanzibarquartz" not in caplog.text and "marsian" not in caplog.text


def test_whoever_wants_errors_gets_them(live: Live) -> None:
    client = Client(live.url, raise_errors=True)
    with pytest.raises(Rejected, match="marsian") as refused:
        client.conversation([{"role": "marsian", "content": "Hi"}], user="ana")
    assert refused.value.status == 422
    with pytest.raises(Rejected, match="JSON"):
        client.conversation([{"role": "user", "content": object()}], user="ana")
    client.close()
    with pytest.raises(Closed):
        client.conversation(TALK, user="ana")
    away = Client(f"http://127.0.0.1:{free_port()}", raise_errors=True, timeout_seconds=0.2)
    with pytest.raises(Unavailable, match="does not answer"):
        away.conversation(TALK, user="ana")


def test_nothing_is_raised_into_the_app(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def model_dump(self, **options: object) -> dict[str, str]:
            raise ZeroDivisionError

    def complain(rejection: Rejection) -> None:
        raise KeyError(rejection.id)

    client = Client(f"http://127.0.0.1:{free_port()}", queue_items=2, exit_seconds=0.1, on_reject=complain)
    assert not client.conversation([Broken()], user="ana").accepted
    assert [client.conversation(TALK, user="ana").accepted for _ in range(4)] == [True, True, False, False]
    assert not client.close()
    assert not client.vote("m-1", "up", user="ana").accepted
    assert client.status().dropped == 3
    assert "2 were not delivered and are lost" in caplog.text


@pytest.mark.parametrize(
    ("url", "options"),
    [("ftp://x", {}), ("localhost:8600", {}), ("http://[bad", {}), ("http://x", {"key": "a\nb"})],
    ids=["scheme", "none", "brackets", "key"],
)
def test_an_address_that_can_never_work_is_an_error_at_once(url: str, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="web address|key"):
        Client(url, key=options.get("key"))


def test_messages_of_a_conversation_are_stored_once_however_often_it_is_sent(live: Live) -> None:
    with Client(live.url, raise_errors=True) as client:
        for _ in range(3):
            client.conversation(TALK, user="ana", id="again")
    with live.store.read() as session:
        rows = session.exec(select(Conversation.id).where(col(Conversation.client_hmac).is_not(None))).all()
    assert len(rows) == len(set(rows))
    with live.http() as http:
        assert len(http.get("/v1/conversations/again").json()["messages"]) == 1


def test_the_readmes_example_does_what_it_says(live: Live, tmp_path: Path) -> None:
    [example] = re.findall(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    said: dict[str, Any] = {}
    exec(example.replace("http://127.0.0.1:8600", live.url).replace("var/spool", str(tmp_path / "spool")), said)
    status = said["perennial"].status()
    assert (status.delivered, status.rejected, status.waiting) == (3, 0, 0)
    with live.http() as http:
        found = http.get(f"/v1/conversations/{said['chat'].id}").json()
    assert found["consent"] is True and found["votes"]["up"] == 1 and found["messages"][0]["corrections"] == 1
