"""Conversations over HTTP: what is stored, what is refused, and that sending twice stores once."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.settings import Settings
from service.store.session import open_store
from tests.factories import conversation, ndjson, tree, web

HELLO = ("Hi", "Hello!")


def post(client: TestClient, given: Any) -> Any:
    return client.post("/v1/conversations", json=given)


@pytest.mark.parametrize(
    ("first", "second", "status", "result"),
    [
        (HELLO, HELLO, 200, "unchanged"),
        (HELLO, (*HELLO, "And you?", "Fine."), 200, "appended"),
        ((*HELLO, "And you?"), HELLO, 200, "unchanged"),
        (HELLO, ("Hi", "Hello?"), 409, None),
        (HELLO, ("Hi ", "Hello!"), 409, None),
        (HELLO, ("Ho", "Hello!", "And you?"), 409, None),
    ],
    ids=["same", "longer", "an earlier state, late", "other text", "one space", "longer but changed"],
)
def test_the_same_id_again(
    client: TestClient, first: tuple[str, ...], second: tuple[str, ...], status: int, result: str
) -> None:
    assert post(client, conversation(*first, id="c")).status_code == 201
    answer = post(client, conversation(*second, id="c"))
    assert (answer.status_code, answer.json().get("result")) == (status, result)


def test_votes_satisfaction_and_consent_are_updates_of_an_unchanged_conversation(client: TestClient) -> None:
    post(client, conversation(id="c", consent=False, satisfaction=2, votes=[{"message": 1, "value": "down"}]))
    again = conversation(
        id="c", consent=True, satisfaction=5, votes=[{"message": "c:1", "value": "up", "rater": "u-2"}]
    )
    assert post(client, again).json()["result"] == "unchanged"
    found = client.get("/v1/conversations/c").json()
    assert (found["consent"], found["satisfaction"], found["votes"]) == (True, 5, {"up": 1, "down": 1})


def test_missing_consent_stays_unknown_and_is_not_taken_back_by_silence(client: TestClient) -> None:
    post(client, conversation(id="c"))
    assert client.get("/v1/conversations/c").json()["consent"] is None
    post(client, conversation(id="c", consent=True))
    post(client, conversation(id="c"))
    assert client.get("/v1/conversations/c").json()["consent"] is True


def test_a_conflict_changes_nothing(client: TestClient) -> None:
    post(client, conversation("Hi", "Hello!", id="c", satisfaction=1))
    assert post(client, conversation("Hi", "Changed", id="c", satisfaction=5, consent=True)).status_code == 409
    found = client.get("/v1/conversations/c").json()
    assert (found["satisfaction"], found["consent"], found["revision"]) == (1, None, 1)


def test_an_appended_conversation_waits_for_curation_again(client: TestClient) -> None:
    post(client, conversation("Hi", "Hello!", id="c"))
    post(client, conversation("Hi", "Hello!", "More?", id="c"))
    found = client.get("/v1/conversations/c").json()
    assert (found["state"], found["revision"]) == ("received", 2)


def test_a_regeneration_is_a_sibling_and_may_be_sent_alone(client: TestClient) -> None:
    given = tree(id="c")
    answers = given["messages"]
    assert post(client, given | {"messages": answers[:2]}).status_code == 201
    assert post(client, given | {"messages": answers[2:]}).json()["result"] == "appended"
    assert post(client, given).json()["result"] == "unchanged"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"user": "somebody else"}, "belongs to another user"),
        ({"messages": [{"id": "x", "role": "user", "content": "Hi"}]}, "does not start with the stored messages"),
    ],
    ids=["other user", "unrelated list"],
)
def test_the_same_id_for_something_else_is_a_conflict(
    client: TestClient, change: dict[str, Any], sentence: str
) -> None:
    post(client, conversation(id="c"))
    answer = post(client, conversation(id="c") | change)
    assert answer.status_code == 409 and sentence in answer.json()["detail"]


def test_a_message_id_of_another_conversation_is_a_conflict(client: TestClient) -> None:
    message = {"id": "m", "role": "user", "content": "Hi"}
    assert post(client, conversation(messages=[message])).status_code == 201
    answer = post(client, conversation(messages=[message]))
    assert answer.status_code == 409 and "unique within the app" in answer.json()["detail"]


def test_one_bad_row_does_not_fail_its_list(client: TestClient) -> None:
    post(client, conversation("Hi", "Hello!", id="known"))
    rows = [
        conversation(id="new"),
        {"id": "bad", "user": "u", "messages": "none"},
        conversation("Hi", "Hello!", id="known"),
        conversation("Hi", "Other", id="known"),
        conversation(id="new"),
        7,
    ]
    answer = post(client, rows)
    assert answer.status_code == 200
    assert [(row["id"], row["status"]) for row in answer.json()] == [
        ("new", 201),
        ("bad", 422),
        ("known", 200),
        ("known", 409),
        ("new", 200),
        (None, 422),
    ]


def test_a_list_of_more_than_a_thousand_is_refused_whole(client: TestClient) -> None:
    answer = client.post("/v1/conversations", content=b"[" + b",".join([b"{}"] * 1001) + b"]")
    assert answer.status_code == 422 and "at most 1000" in answer.json()["detail"]


def test_a_stream_is_stored_line_by_line_and_bad_lines_are_named(client: TestClient) -> None:
    lines = [conversation(), {"id": 1}, conversation("Hi", "Hello!", id="c"), conversation("Hi", "Hello!", id="c")]
    body = ndjson(*lines) + b"\n{nonsense\n" + ndjson(conversation("Hi", "Changed", id="c")).rstrip()
    answer = client.post("/v1/conversations/import", content=body).json()
    counts = {name: answer[name] for name in ("created", "unchanged", "conflict", "invalid", "lines")}
    assert counts == {"created": 2, "unchanged": 1, "conflict": 1, "invalid": 2, "lines": 7}
    assert [(row["line"], row["status"]) for row in answer["problems"]] == [(2, 422), (6, 422), (7, 409)]


def test_a_stream_may_begin_with_a_byte_order_mark(client: TestClient) -> None:
    answer = client.post("/v1/conversations/import", content=b"\xef\xbb\xbf" + ndjson(conversation(), conversation()))
    assert (answer.json()["created"], answer.json()["invalid"]) == (2, 0)


def test_a_stream_larger_than_the_body_limit_is_taken(sqlite_settings: Settings) -> None:
    settings = replace(sqlite_settings, max_body_bytes=20_000)
    body = ndjson(*(conversation("Hi", "x" * 500) for _ in range(200)), conversation("Hi", "x" * 30_000))
    with web(settings) as client:
        answer = client.post("/v1/conversations/import", content=iter([body[:70_001], body[70_001:]])).json()
    assert (answer["created"], answer["invalid"]) == (200, 1)
    assert answer["problems"][0]["detail"] == "the line is longer than 20000 bytes"


def test_an_unknown_conversation_is_not_found(client: TestClient) -> None:
    answer = client.get("/v1/conversations/nobody")
    assert answer.status_code == 404 and answer.json()["detail"].startswith("the app 'default' never sent")


def test_apps_do_not_see_each_other(client: TestClient) -> None:
    post(client, conversation(id="c", app="shop"))
    unnamed = client.get("/v1/conversations/c")
    assert unnamed.status_code == 404 and unnamed.json()["detail"].endswith("; ask for it with ?app=shop: that app did")
    assert "shop" not in client.get("/v1/conversations/c", params={"app": "blog"}).json()["detail"]
    assert client.get("/v1/conversations/c", params={"app": "shop"}).json()["state"] == "received"
    assert post(client, conversation("Other", id="c", app="blog")).status_code == 201


def test_a_full_queue_answers_503_with_retry_after_and_loses_nothing(sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    with web(replace(sqlite_settings, max_queue=1)) as client, ThreadPoolExecutor(1) as pool:
        with store.begin():  # nothing can be committed meanwhile
            first = pool.submit(post, client, conversation(id="first"))
            while client.app.state.writer.waiting == 0:  # type: ignore[attr-defined]
                time.sleep(0.01)
            refused = post(client, conversation(id="second"))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert first.result(30).status_code == 201
        assert post(client, conversation(id="second")).status_code == 201
    store.close()
