"""What a person may ask: everything that is stored about them, and that it goes. What was done stands in the audit."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.testclient import TestClient

from pipelines.errors import InputError, NotFound
from service.api_keys import KeyRing, create_key, list_keys, rotate_key
from service.settings import Settings
from service.store import audit
from service.store.session import Store
from tests.factories import web

TALK = {
    "id": "c-ana",
    "user": "ana",
    "consent": True,
    "satisfaction": 4,
    "metadata": {"screen": "zanzibar-meta"},
    "messages": [
        {"id": "m-q", "role": "user", "content": "My mail is ana@example.org, zanzibarquartz"},
        {"id": "m-a", "role": "assistant", "content": "Noted."},
    ],
}
OTHER = {
    "id": "c-bob",
    "user": "bob",
    "messages": [
        {"id": "b-q", "role": "user", "content": "bobtext"},
        {"id": "b-a", "role": "assistant", "content": "Yo."},
    ],
}


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with web(settings) as client:
        yield client


def fill(api: TestClient) -> None:
    """Ana chats, votes on both conversations, corrects and compares; Bob corrects in hers."""
    assert [api.post("/v1/conversations", json=one).status_code for one in (TALK, OTHER)] == [201, 201]
    for message, value in (("m-a", "down"), ("m-a", "up"), ("b-a", "down")):
        body = {"value": value, "user": "ana", "reason": "tone", "comment": "zanzibarcomment"}
        assert api.put(f"/v1/votes/{message}", json=body).status_code == 200
    for message, user, content in (("b-a", "ana", "anas better text"), ("m-a", "bob", "bobs better text")):
        body = {"content": content, "user": user}
        assert api.post(f"/v1/messages/{message}/corrections", json=body).status_code == 201
    api.post("/v1/comparisons", json={"chosen": "m-a", "rejected": "m-later", "user": "ana"}).raise_for_status()


def test_a_person_gets_everything_that_is_stored_about_them_and_nothing_of_others(api: TestClient) -> None:
    fill(api)
    found = api.post("/v1/users/export", json={"user": "ana"}).json()
    [chat] = found["conversations"]
    assert (chat["id"], chat["consent"], chat["satisfaction"]) == ("c-ana", True, 4)
    assert chat["metadata"] == {"screen": "zanzibar-meta"}
    said = [(one["role"], one.get("raw", {}).get("content"), one.get("by_somebody_else")) for one in chat["messages"]]
    assert said == [
        ("user", TALK["messages"][0]["content"], None),  # type: ignore[index]
        ("assistant", "Noted.", None),
        ("assistant", None, True),
    ]
    votes = {vote["message"]["conversation"] == chat["stored_as"]: vote for vote in found["votes"]}
    assert votes[True]["value"] == "up" and [one["value"] for one in votes[True]["history"]] == ["down", "up"]
    assert votes[False]["comment"] == "zanzibarcomment" and votes[False]["reason"] == "tone"
    [correction] = found["corrections"]
    assert correction["raw"]["content"] == "anas better text" and not correction["own_conversation"]
    assert len(found["comparisons"]) == 1 and found["comparisons"][0]["preferred"] in (0, 1)
    assert "bobs better text" not in json.dumps(found) and "bobtext" not in json.dumps(found)
    assert api.get("/v1/users/ana").json()["conversations"] == found["conversations"]


def test_a_forgotten_person_is_gone_and_both_acts_stand_in_the_audit_without_their_name(api: TestClient) -> None:
    fill(api)
    api.post("/v1/users/export", json={"user": "ana"}).raise_for_status()
    gone = api.delete("/v1/users/ana")
    assert gone.status_code == 200 and gone.json()["conversations"] == 1 and gone.json()["receipt"]
    assert api.post("/v1/users/export", json={"user": "ana"}).status_code == 404
    assert api.post("/v1/users/forget", json={"user": "ana"}).status_code == 404
    listed = api.get("/v1/audit").json()["data"]
    assert [one["action"] for one in listed] == ["person_forgotten", "person_exported"]
    assert "ana" not in json.dumps(listed) and "c-ana" not in json.dumps(listed)
    assert api.get("/v1/audit", params={"action": "person_exported"}).json()["data"] == listed[1:]
    assert api.get("/v1/audit", params={"limit": 1}).json()["next_before"] == listed[0]["id"]
    assert api.get("/v1/audit", params={"before": listed[0]["id"]}).json()["data"] == listed[1:]


@pytest.mark.parametrize(
    ("scopes", "app", "status"),
    [("people", None, 200), ("people", "shop", 200), ("ingest,read", "shop", 403), ("admin", None, 200)],
)
def test_who_may_ask_for_a_persons_data(
    api: TestClient, store: Store, scopes: str, app: str | None, status: int
) -> None:
    key = create_key(store, "k", app, [scopes])
    admin = create_key(store, "a", None, ["admin"])
    api.app.state.keys._read_at = float("-inf")  # type: ignore[attr-defined]
    api.headers["X-API-Key"] = admin
    api.post("/v1/conversations", json=TALK | {"app": "shop"}).raise_for_status()
    body = {"user": "ana", "app": "shop"}
    assert api.post("/v1/users/export", json=body, headers={"X-API-Key": key}).status_code == status
    assert api.get("/v1/audit", headers={"X-API-Key": key}).status_code == (200 if scopes == "admin" else 403)
    other = {"user": "ana", "app": "another"}
    expected = 403 if app else 404
    if status == 200:
        assert api.post("/v1/users/export", json=other, headers={"X-API-Key": key}).status_code == expected


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_audit_is_only_added_to(store: Store, change: str) -> None:
    if store.is_sqlite and change.startswith("TRUNCATE"):
        change = "DELETE FROM audit WHERE id = 1"
    with store.begin() as session:
        audit.record(session, "cli:root", "key_created", "k-1", {"scopes": ["read"]})
    with pytest.raises((DBAPIError, SQLAlchemyError), match="only added to"):
        with store.begin() as session:
            session.execute(text(change))
    with store.read() as session:
        assert [row.actor for row in audit.entries(session)] == ["cli:root"]


def test_a_rotated_key_works_for_a_while_beside_the_new_one(store: Store) -> None:
    old = create_key(store, "shop", "shop", ["ingest", "read"])
    new = rotate_key(store, "shop", timedelta(hours=1))
    ring = KeyRing(store)
    ring.refresh()
    callers = [ring.find(key) for key in (old, new)]
    assert None not in callers and len({(one.app, one.scopes, one.label) for one in callers if one}) == 1
    newest = rotate_key(store, "shop", timedelta(0))
    ring = KeyRing(store)
    ring.refresh()
    assert [ring.find(key) is not None for key in (old, new, newest)] == [True, False, True]
    assert [info.expires_at is not None for info in list_keys(store)] == [True, True, False]
    with pytest.raises(NotFound):
        rotate_key(store, "nobody", timedelta(hours=1))
    with pytest.raises(InputError, match="overlap"):
        rotate_key(store, "shop", timedelta(days=365))
    create_key(store, "shop", "shop", ["read"])
    with pytest.raises(InputError, match="2 active keys"):
        rotate_key(store, "shop", timedelta(hours=1))


def test_the_page_of_the_audit_is_for_administrators(api: TestClient, store: Store) -> None:
    assert "Nothing is noted yet" in api.get("/audit").text
    for _ in range(101):
        with store.begin() as session:
            audit.record(session, "cli:<root>", "round.cancel", "7", {"why": "<b>"})
    page = api.get("/audit")
    assert page.status_code == 200 and page.text.count("round.cancel") == 100
    assert "<b>" not in page.text and "cli:&lt;root&gt;" in page.text
    [before] = re.findall(r"/audit\?before=(\d+)", page.text)
    assert api.get(f"/audit?before={before}").text.count("round.cancel") == 1
    assert 'href="/audit"' in api.get("/settings").text
