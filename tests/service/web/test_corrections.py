"""Corrections over HTTP: what is stored, what is refused, and that sending twice stores once."""

from typing import Any

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from service.api_keys import create_key
from service.settings import Settings
from service.store.session import Store
from service.store.tables import Correction, Message
from tests.factories import conversation, web

CHAT: dict[str, Any] = {
    "messages": [
        {"id": "q", "role": "user", "content": "What is the capital of Velmora?"},
        {"id": "a", "role": "assistant", "content": "It is Osk."},
    ]
}


def correct(
    client: TestClient, content: str = "It is Tarsin.", user: str = "u-1", message: str = "a", **more: Any
) -> Any:
    return client.post(f"/v1/messages/{message}/corrections", json={"content": content, "user": user} | more)


@pytest.fixture
def chat(client: TestClient) -> TestClient:
    assert client.post("/v1/conversations", json=conversation(id="c", **CHAT)).status_code == 201
    return client


def texts(client: TestClient) -> list[Correction]:
    with client.app.state.store.read() as session:  # type: ignore[attr-defined]
        return list(session.exec(select(Correction).order_by(Correction.at)))


def test_a_correction_is_stored_beside_its_answer_and_its_conversation_waits_for_curation(chat: TestClient) -> None:
    answer = correct(chat)
    assert (answer.status_code, answer.json()["changed"]) == (201, True)
    (stored,) = texts(chat)
    with chat.app.state.store.read() as session:  # type: ignore[attr-defined]
        original, text = (session.get_one(Message, id) for id in (stored.corrected_message_id, stored.message_id))
    assert stored.id == answer.json()["id"] and text.parent_id == original.parent_id and text.role == "assistant"
    assert b"Tarsin" not in (text.sealed or b"")
    found = chat.get("/v1/conversations/c").json()
    assert (found["state"], found["revision"]) == ("received", 2)


def test_the_same_text_again_changes_nothing_and_another_text_is_kept_beside_it(chat: TestClient) -> None:
    answers = [correct(chat, text) for text in ("One.", "One.", "Two.", "One.")]
    assert [answer.status_code for answer in answers] == [201, 200, 201, 201]
    assert answers[0].json()["id"] == answers[1].json()["id"] and len(texts(chat)) == 3
    assert correct(chat, "One.", user="somebody else").status_code == 201


def test_a_correction_can_be_taken_back_and_given_again(chat: TestClient) -> None:
    correct(chat)
    path = "/v1/messages/a/corrections"
    assert [chat.delete(path, params={"user": u}).json()["changed"] for u in ("stranger", "u-1", "u-1")] == [
        False,
        True,
        False,
    ]
    assert correct(chat).status_code == 201


def test_a_conversation_sent_again_or_grown_does_not_mind_its_corrections(chat: TestClient) -> None:
    correct(chat)
    again = conversation(id="c", **CHAT)
    assert chat.post("/v1/conversations", json=again).json()["result"] == "unchanged"
    grown = again | {"messages": [*CHAT["messages"], {"id": "q2", "role": "user", "content": "And of Dorne?"}]}
    assert chat.post("/v1/conversations", json=grown).json()["result"] == "appended"
    assert chat.post("/v1/conversations", json=grown).json()["result"] == "unchanged"
    with chat.app.state.store.read() as session:  # type: ignore[attr-defined]
        assert sorted(session.exec(select(Message.position))) == [0, 1, 2, 3]


def test_what_follows_a_correction_is_refused_as_it_may_be_taken_back(chat: TestClient) -> None:
    id = correct(chat).json()["id"]
    more = {"messages": [{"id": "q2", "role": "user", "content": "And?", "parent": id}]}
    answer = chat.post("/v1/conversations", json=conversation(id="c", **more))
    assert answer.status_code == 422 and "is not a message of this conversation" in answer.json()["detail"]


def test_a_correction_sent_among_the_messages_of_a_conversation_is_to_be_left_out(chat: TestClient) -> None:
    id = correct(chat).json()["id"]
    again = {"id": id, "role": "assistant", "content": "Tarsin, of course."}
    answer = chat.post("/v1/conversations", json=conversation(id="c", messages=[*CHAT["messages"], again]))
    assert answer.status_code == 409 and f"message {id!r} is a correction" in answer.json()["detail"]
    assert "leave it out of the messages" in answer.json()["detail"]


def test_a_correction_may_be_voted_on_by_its_id(chat: TestClient) -> None:
    id = correct(chat).json()["id"]
    assert chat.put(f"/v1/votes/{id}", json={"value": "up", "user": "u-2"}).json()["changed"]
    assert correct(chat, message=id).status_code == 422


@pytest.mark.parametrize(
    ("message", "body", "status", "sentence"),
    [
        ("nobody", {"content": "x", "user": "u"}, 404, "never sent a message with the id 'nobody'"),
        ("q", {"content": "x", "user": "u"}, 422, "is a user message; correct an assistant's"),
        ("a", {"content": "", "user": "u"}, 422, "content: expected `str` of length >= 1"),
        (
            "a",
            {"content": "x" * 200_001, "user": "u"},
            422,
            "content: expected `str` of length <= 200000, and this has 200001 characters: shorten it",
        ),
        ("a", {"content": " \n\t", "user": "u"}, 422, "content: there is no visible character in it"),
        ("a", {"content": "\u200b\ufeff", "user": "u"}, 422, "content: there is no visible character in it"),
        ("a", {"content": "x\0", "user": "u"}, 422, "NUL"),
        ("a", {"content": "x"}, 422, "missing required field `user`"),
        ("a", {"contents": "x", "user": "u"}, 422, "did you mean 'content'?"),
        ("a", {"content": "x", "user": "u", "app": "other"}, 404, "the app 'other' never sent"),
        (
            "x" * 257,
            {"content": "x", "user": "u"},
            422,
            f"1 to 256 characters and no NUL; this one has 257: '{'x' * 40}...'",
        ),
    ],
)
def test_a_correction_that_makes_no_sense_is_refused(
    chat: TestClient, message: str, body: object, status: int, sentence: str
) -> None:
    answer = chat.post(f"/v1/messages/{message}/corrections", json=body)
    assert answer.status_code == status and sentence in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json" and texts(chat) == []


def test_no_json_is_400(chat: TestClient) -> None:
    assert chat.post("/v1/messages/a/corrections", content=b"{").status_code == 400
    assert chat.post("/v1/comparisons", content=b"{]").status_code == 400


def test_a_key_needs_the_scope_and_its_own_app(settings: Settings, store: Store) -> None:
    reader, shop = create_key(store, "reader", None, "read"), create_key(store, "shop", "shop", "ingest")
    body = {"content": "x", "user": "u"}
    with web(settings) as client:
        for key, given, status in ((reader, body, 403), (shop, body, 404), (shop, body | {"app": "default"}, 403)):
            answer = client.post("/v1/messages/a/corrections", json=given, headers={"X-API-Key": key})
            assert answer.status_code == status
