"""Votes over HTTP."""

import pytest
from starlette.testclient import TestClient

from tests.factories import conversation

CHAT = {
    "messages": [{"id": "q", "role": "user", "content": "Hi"}, {"id": "a", "role": "assistant", "content": "Hello!"}]
}


def votes(client: TestClient) -> dict[str, int]:
    found: dict[str, int] = client.get("/v1/conversations/c").json()["votes"]
    return found


def test_a_vote_may_come_before_its_message(client: TestClient) -> None:
    assert client.put("/v1/votes/a", json={"value": "up", "user": "u"}).json()["changed"]
    client.post("/v1/conversations", json=conversation(id="c", **CHAT))
    assert votes(client) == {"up": 1, "down": 0}


def test_a_vote_before_what_turns_out_to_be_a_question_counts_for_nothing(client: TestClient) -> None:
    client.put("/v1/votes/q", json={"value": "up", "user": "u"})
    client.post("/v1/conversations", json=conversation(id="c", **CHAT))
    assert votes(client) == {"up": 0, "down": 0}


def test_a_vote_can_be_changed_repeated_and_retracted(client: TestClient) -> None:
    client.post("/v1/conversations", json=conversation(id="c", **CHAT))
    changes = [
        client.put("/v1/votes/a", json={"value": v, "user": "u"}).json()["changed"] for v in ("up", "up", "down")
    ]
    assert changes == [True, False, True] and votes(client) == {"up": 0, "down": 1}
    retracted = [client.delete("/v1/votes/a", params={"user": "u"}).json()["changed"] for _ in range(2)]
    assert retracted == [True, False] and votes(client) == {"up": 0, "down": 0}
    client.put("/v1/votes/a", json={"value": "up", "user": "u"})
    assert client.request("DELETE", "/v1/votes/a", json={"user": "u"}).json()["changed"]
    assert "say whose vote" in client.delete("/v1/votes/a").json()["detail"]


def test_each_rater_has_one_vote(client: TestClient) -> None:
    client.post("/v1/conversations", json=conversation(id="c", **CHAT))
    for user in ("u", "v", "w"):
        client.put("/v1/votes/a", json={"value": "up", "user": user})
    assert votes(client) == {"up": 3, "down": 0}


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("q", {"value": "up", "user": "u"}, 422, "vote on an assistant's"),
        ("a", {"value": "sideways", "user": "u"}, 422, "value: 'sideways' is no thumb"),
        ("a", {"value": "up"}, 422, "missing required field `user`"),
        ("a", {"value": "up", "user": "u", "valu": 1}, 422, "unknown field 'valu'; did you mean 'value'?"),
        ("x" * 257, {"value": "up", "user": "u"}, 422, "1 to 256 characters"),
    ],
)
def test_a_vote_that_makes_no_sense_is_refused(
    client: TestClient, path: str, body: object, status: int, sentence: str
) -> None:
    client.post("/v1/conversations", json=conversation(id="c", **CHAT))
    answer = client.put(f"/v1/votes/{path}", json=body)
    assert answer.status_code == status and sentence in answer.json()["detail"]
    assert votes(client) == {"up": 0, "down": 0}


def test_every_change_of_a_vote_leaves_an_event(client: TestClient) -> None:
    from sqlmodel import select

    from service.store.tables import VoteEvent

    for value in ("up", "up", "down"):
        client.put("/v1/votes/a", json={"value": value, "user": "u"})
    client.delete("/v1/votes/a", params={"user": "u"})
    with client.app.state.store.read() as session:  # type: ignore[attr-defined]
        events = session.exec(select(VoteEvent.value).order_by(VoteEvent.at)).all()  # type: ignore[arg-type]
    assert events == [1, -1, 0]
