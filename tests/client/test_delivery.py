"""What the client does with every kind of answer: again, later, in halves, or never."""

import time
from email.utils import formatdate
from typing import Any

import pytest

from perennial.client import Client, outbox
from tests.client.stand_in import Answer, StandIn, answering, problem, stored

TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(outbox, "MOST_PAUSE_SECONDS", 0.05)


def send(server: StandIn, *ids: str) -> Client:
    client = Client(server.url, timeout_seconds=5)
    for id in ids:
        client.conversation(TALK, user="u", id=id)
    return client


@pytest.mark.parametrize(
    "first",
    [
        Answer(502, "<html>"),
        problem(503, "busy"),
        Answer(504),
        Answer(429, "slow down"),
        Answer(408),
        problem(500, "oh"),
        problem(401, "this API key is unknown or revoked"),
        problem(403, "the key lacks the scope ingest"),
        Answer(404, "nginx"),
        Answer(301),
        Answer(413, "<html>"),
        Answer(200, {"hello": "world"}),
        Answer(200, []),
    ],
    ids=[
        "502",
        "503",
        "504",
        "429",
        "408",
        "500",
        "key",
        "scope",
        "other-404",
        "moved",
        "other-413",
        "no-list",
        "short-list",
    ],
)
def test_it_comes_again_after_an_answer_that_is_not_about_the_item(first: Answer) -> None:
    with answering(lambda number, body: first if number == 0 else stored(body)) as server:
        with send(server, "c-1", "c-2") as client:
            assert client.flush(10)
            status = client.status()
    assert (status.delivered, status.rejected) == (2, 0)
    assert server.listed == [["c-1", "c-2"]] * 2


def test_it_waits_as_long_as_the_service_asks() -> None:
    came: list[float] = []

    def answer(number: int, body: Any) -> Answer:
        came.append(time.monotonic())
        later = ({"Retry_After": "1"}, {"Retry_After": formatdate(time.time() + 2, usegmt=True)})
        return problem(503, "busy", **later[number]) if number < 2 else stored(body)

    with answering(answer) as server, send(server, "c-1") as client:
        assert client.flush(10)
    assert came[1] - came[0] >= 1.0 and came[2] - came[1] >= 0.9


def test_pauses_grow_and_are_not_the_same_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_PAUSE_SECONDS", 0.4)
    monkeypatch.setattr(outbox, "FIRST_PAUSE_SECONDS", 0.05)
    came: list[float] = []

    def answer(number: int, body: Any) -> Answer:
        came.append(time.monotonic())
        return Answer(503) if number < 5 else stored(body)

    with answering(answer) as server, send(server, "c-1") as client:
        while client.status().delivered == 0:
            time.sleep(0.01)
    pauses = [later - earlier for earlier, later in zip(came, came[1:], strict=False)]
    assert all(least <= pause for least, pause in zip((0.025, 0.05, 0.1, 0.2, 0.2), pauses, strict=True))
    assert len({round(pause, 4) for pause in pauses}) == 5


def test_one_row_that_spoils_a_list_is_found_by_halves() -> None:
    def answer(number: int, body: Any) -> Answer:
        bad = any(row["id"] == "c-3" for row in body)
        return problem(413, "the body is larger than 10 bytes") if bad else stored(body)

    with answering(answer) as server, send(server, *(f"c-{number}" for number in range(8))) as client:
        assert client.flush(10)
        status = client.status()
    assert (status.delivered, status.rejected) == (7, 1)
    assert len(server.requests) == 7


def test_a_row_over_which_the_service_stumbles_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_FAILURES", 3)

    def answer(number: int, body: Any) -> Answer:
        return problem(500, "id 5f0c") if any(row["id"] == "c-1" for row in body) else stored(body)

    with answering(answer) as server, send(server, "c-0", "c-1", "c-2") as client:
        assert client.flush(10)
        status = client.status()
    assert (status.delivered, status.rejected) == (2, 1)


def test_conversations_travel_together_and_feedback_keeps_its_order() -> None:
    with answering(lambda number, body: Answer(503) if number == 0 else stored(body)) as server:
        with Client(server.url) as client:
            for number in range(3):
                client.conversation(TALK, user="u", id=f"c-{number}")
                client.vote(f"c-{number}:1", "up", user="u")
            client.vote("c-0:1", "down", user="u")
            client.conversation(TALK, user="u", id="c-3", votes=[{"message": 1, "value": "up"}])
            client.conversation(TALK, user="u", id="c-4")
            client.vote("c-3:1", "down", user="u")
            assert client.flush(10)
    said = [(path.rpartition("/")[2], body.get("value")) for method, path, body in server.requests if method == "PUT"]
    assert server.listed == [["c-0", "c-1", "c-2"]] * 2 + [["c-3", "c-4"]]
    assert sorted(said[:4]) == [("c-0%3A1", "down"), ("c-0%3A1", "up"), ("c-1%3A1", "up"), ("c-2%3A1", "up")]
    assert said.index(("c-0%3A1", "up")) < said.index(("c-0%3A1", "down")) and said[4:] == [("c-3%3A1", "down")]


def test_a_call_takes_no_time_while_the_server_hangs() -> None:
    def hang(number: int, body: Any) -> Answer:
        time.sleep(0.7)
        return stored(body)

    with answering(hang) as server:
        client = send(server, "c-0")
        time.sleep(0.1)
        started = time.monotonic()
        for number in range(200):
            client.conversation(TALK, user="u", id=f"c-{number}")
        took = time.monotonic() - started
        assert client.flush(20)
        client.close()
    assert took < 5  # each would have waited 0.7 s
