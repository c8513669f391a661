"""Comparisons over HTTP: of stored answers, of answers to come, and with their prompt in the body."""

from typing import Any

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from service.store.tables import Comparison, ComparisonEvent, Conversation
from tests.factories import conversation

CHAT: dict[str, Any] = {
    "messages": [
        {"id": "q", "role": "user", "content": "What is the capital of Velmora?"},
        {"id": "a", "role": "assistant", "content": "It is Tarsin.", "parent": "q"},
        {"id": "b", "role": "assistant", "content": "It is Osk.", "parent": "q"},
        {"id": "q2", "role": "user", "content": "And of Dorne?", "parent": "a"},
        {"id": "d", "role": "assistant", "content": "Perun.", "parent": "q2"},
    ]
}
WHOLE: dict[str, Any] = {
    "id": "p-1",
    "user": "u-1",
    "consent": True,
    "prompt": [{"role": "user", "content": "Hi"}],
    "chosen": {"content": "Good day!"},
    "rejected": {"content": "Yo."},
}


def compare(client: TestClient, chosen: str, rejected: str, user: str = "u-1", method: str = "POST") -> Any:
    return client.request(method, "/v1/comparisons", json={"chosen": chosen, "rejected": rejected, "user": user})


def values(client: TestClient, table: Any = Comparison) -> list[int]:
    with client.app.state.store.read() as session:  # type: ignore[attr-defined]
        return [abs(row.value) for row in session.exec(select(table).order_by(table.id))]


def store(client: TestClient) -> None:
    assert client.post("/v1/conversations", json=conversation(id="c", **CHAT)).status_code == 201


def test_a_pair_is_compared_once_per_user_and_the_latest_counts(client: TestClient) -> None:
    store(client)
    answers = [compare(client, *pair) for pair in (("a", "b"), ("a", "b"), ("b", "a"))]
    assert [answer.status_code for answer in answers] == [201, 200, 201]
    assert answers[2].json() == {"chosen": "b", "rejected": "a", "changed": True, "pending": [], "notes": []}
    assert compare(client, "a", "b", user="u-2").status_code == 201
    assert values(client) == [1, 1] and values(client, ComparisonEvent) == [1, 1, 1]


def test_a_comparison_may_come_before_its_messages_and_be_taken_back(client: TestClient) -> None:
    early = compare(client, "a", "b")
    assert (early.status_code, early.json()["pending"]) == (201, ["a", "b"])
    store(client)
    again = compare(client, "a", "b")
    assert (again.status_code, again.json()["pending"]) == (200, [])
    assert [compare(client, "b", "a", method="DELETE").json()["changed"] for _ in range(2)] == [True, False]
    assert values(client) == [0] and len(values(client, ComparisonEvent)) == 2


def test_a_comparison_that_names_an_unknown_answer_says_which_is_missing(client: TestClient) -> None:
    store(client)
    assert compare(client, "a", "typo").json() == {
        "chosen": "a",
        "rejected": "typo",
        "changed": True,
        "pending": ["typo"],
        "notes": [],
    }


@pytest.mark.parametrize(
    ("chosen", "rejected", "sentence"),
    [
        ("a", "a", "the same message"),
        ("a", "q", "one of these is a user message"),
        ("a", "d", "answers to different messages"),
        ("q", "unknown", "one of these is a user message"),
        ("x" * 257, "a", "chosen: expected `str` of length <= 256"),
    ],
)
def test_what_is_known_not_to_be_comparable_is_refused(
    client: TestClient, chosen: str, rejected: str, sentence: str
) -> None:
    store(client)
    answer = compare(client, chosen, rejected)
    assert answer.status_code == 422 and sentence in answer.json()["detail"] and values(client) == []


def test_a_comparison_under_the_id_of_another_conversation_is_refused_and_stores_nothing(client: TestClient) -> None:
    store(client)
    answer = client.post("/v1/comparisons", json=WHOLE | {"id": "c"})
    assert answer.status_code == 409 and "'c' is stored and does not begin with this prompt" in answer.json()["detail"]
    assert values(client) == [] and client.get("/v1/conversations/c").json()["revision"] == 1


def test_a_comparison_may_name_a_stored_conversation_that_begins_with_its_prompt(client: TestClient) -> None:
    assert client.post("/v1/conversations", json=conversation("Hi", "Hello!", id="p-1")).status_code == 201
    assert client.post("/v1/comparisons", json=WHOLE).status_code == 201


def test_a_comparison_brings_its_own_prompt_once(client: TestClient) -> None:
    answers = [client.post("/v1/comparisons", json=WHOLE) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert client.get("/v1/conversations/p-1").json()["consent"] is True
    assert values(client) == [1] and values(client, ComparisonEvent) == [1]


def test_preferring_the_other_answer_changes_the_comparison_and_not_the_conversation(client: TestClient) -> None:
    client.post("/v1/comparisons", json=WHOLE)
    flipped = WHOLE | {"chosen": WHOLE["rejected"], "rejected": WHOLE["chosen"]}
    answer = client.post("/v1/comparisons", json=flipped)
    assert (answer.status_code, answer.json()["changed"]) == (201, True)
    assert client.get("/v1/conversations/p-1").json()["revision"] == 1
    assert client.request("DELETE", "/v1/comparisons", json=WHOLE).json()["changed"] and values(client) == [0]


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"rejected": {"content": "Good day!"}}, 422, "the same answer"),
        ({"prompt": []}, 422, "prompt: expected `array` of length >= 1, and this has 0 entries: fill it in"),
        (
            {"prompt": [{"role": "user", "content": "x" * 200_001}]},
            422,
            "prompt[0].content: expected `str` of length <= 200000, and this has 200001",
        ),
        ({"prompt": [{"role": "assistant", "content": "Hi"}]}, 422, "its last message is of the role 'assistant'"),
        ({"prompt": [{"role": "user", "content": "Hi", "parent": "x"}]}, 422, "unknown field 'parent' in prompt[0]"),
        ({"chosen": {"text": "x"}}, 422, "chosen"),
        ({"chosen": {"content": " \u200b"}}, 422, "chosen: there is no visible character in it"),
        ({"rejected": {"content": "\n"}}, 422, "rejected: there is no visible character in it"),
        ({"prompt": [{"role": "user", "content": ""}]}, 422, "prompt: there is no visible character in it"),
        ({"user": "another"}, 409, "belongs to another user"),
        ({"prompt": [{"role": "user", "content": "Other"}]}, 409, "is stored with another text"),
    ],
)
def test_a_whole_comparison_that_makes_no_sense_is_refused(
    client: TestClient, change: dict[str, Any], status: int, sentence: str
) -> None:
    client.post("/v1/comparisons", json=WHOLE)
    answer = client.post("/v1/comparisons", json=WHOLE | change)
    assert answer.status_code == status and sentence in answer.json()["detail"]
    assert len(values(client, ComparisonEvent)) == 1


def test_a_row_may_carry_corrections_and_comparisons_and_say_so_twice(client: TestClient) -> None:
    row = conversation(
        id="c",
        **CHAT,
        corrections=[{"message": 2, "content": "Tarsin."}, {"message": "b", "content": "Tarsin!"}],
        comparisons=[{"chosen": "a", "rejected": 2, "user": "u-2"}],
    )
    assert [client.post("/v1/conversations", json=row).json()["result"] for _ in range(2)] == ["created", "unchanged"]
    assert values(client) == [1] and client.get("/v1/conversations/c").json()["revision"] == 2
    with client.app.state.store.read() as session:  # type: ignore[attr-defined]
        assert len(session.exec(select(Conversation)).all()) == 1


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("corrections", {"message": 0, "content": "x"}, "corrections[0].message: 'q' is a user message"),
        (
            "corrections",
            {"message": 1, "content": " \u200b"},
            "corrections[0].content: there is no visible character in it",
        ),
        ("corrections", {"message": 9, "content": "x"}, "corrections[0].message: there is no message at position 9"),
        ("corrections", {"message": "z", "content": "x"}, "'z' is not a message of this conversation"),
        (
            "corrections",
            {"message": 1, "contents": "x"},
            "unknown field 'contents' in corrections[0]; did you mean 'content'?",
        ),
        ("comparisons", {"chosen": 1, "rejected": 4}, "are not two answers to one message"),
        ("comparisons", {"chosen": 1, "rejected": 1}, "are not two answers to one message"),
    ],
)
def test_feedback_in_a_row_that_makes_no_sense_refuses_the_row(
    client: TestClient, field: str, value: Any, sentence: str
) -> None:
    answer = client.post("/v1/conversations", json=conversation(id="c", **CHAT, **{field: [value]}))
    assert answer.status_code == 422 and sentence in answer.json()["detail"]
