"""Keys and scopes; what a server without keys answers to stands in test_open_mode.py."""

import time
from hashlib import sha256
from typing import Any

import pytest
from starlette.testclient import TestClient

from pipelines.errors import InputError, NotFound, Refused
from service.api_keys import check_listen, create_key, has_keys, list_keys, parse_scopes, revoke_key
from service.store.people import app_ids
from service.store.session import Store
from service.store.tables import ApiKey
from tests.factories import conversation


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("scopes", "method", "path", "status"),
    [
        ("ingest", "POST", "/v1/conversations", 201),
        ("read", "POST", "/v1/conversations", 403),
        ("read", "GET", "/v1/conversations/c", 404),
        ("ingest", "GET", "/v1/conversations/c", 403),
        ("admin", "GET", "/v1/conversations/c", 404),
        (None, "GET", "/v1/conversations/c", 401),
        ("wrong", "GET", "/v1/conversations/c", 401),
    ],
)
def test_a_key_may_do_what_its_scopes_say(
    store: Store, client: TestClient, scopes: str | None, method: str, path: str, status: int
) -> None:
    key = create_key(store, "test", None, "chat" if scopes in (None, "wrong") else scopes)
    client.app.state.keys._read_at = float("-inf")  # type: ignore[attr-defined]
    headers = {} if scopes is None else with_key("pk_unknown" if scopes == "wrong" else key)
    answer = client.request(method, path, headers=headers, json=conversation() if method == "POST" else None)
    assert answer.status_code == status


def test_a_key_speaks_for_its_app_only(store: Store, client: TestClient) -> None:
    headers = {"X-API-Key": create_key(store, "shop", "shop", "ingest,read")}
    client.app.state.keys._read_at = float("-inf")  # type: ignore[attr-defined]
    assert client.post("/v1/conversations", json=conversation(id="c"), headers=headers).status_code == 201
    assert client.get("/v1/conversations/c", headers=headers).json()["state"] == "received"
    refused = client.post("/v1/conversations", json=conversation(app="blog"), headers=headers)
    assert refused.status_code == 403 and "belongs to the app 'shop'" in refused.json()["detail"]
    rows = client.post("/v1/conversations", json=[conversation(app="blog"), conversation()], headers=headers).json()
    assert [row["status"] for row in rows] == [403, 201]


ROUTES = [
    ("GET", "/v1/rounds"),
    ("GET", "/v1/rounds/1"),
    ("POST", "/v1/rounds"),
    ("POST", "/v1/rounds/1/cancel"),
    ("POST", "/v1/models/tiny/promote"),
    ("POST", "/v1/models/rollback"),
    ("POST", "/v1/models/tiny/deploy"),
    ("GET", "/v1/targets"),
    ("GET", "/v1/watch"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("scopes", ["read rounds models", "admin"])
def test_a_key_of_one_app_does_nothing_that_concerns_every_app(
    store: Store, client: TestClient, method: str, path: str, scopes: str
) -> None:
    with store.begin() as session:  # as an earlier version made them
        app_id = app_ids(session, ["shop"])["shop"]
        session.add(ApiKey(app_id=app_id, label="shop", scopes=scopes, hash=sha256(b"pk_shop").hexdigest()))
    client.app.state.keys._read_at = float("-inf")  # type: ignore[attr-defined]
    answer = client.request(
        method, path, headers=with_key("pk_shop"), json={"recipe": "tiny"} if method == "POST" else None
    )
    assert answer.status_code == 403 and "belongs to the app 'shop'" in answer.json()["detail"]


@pytest.mark.parametrize("scope", ["rounds", "models", "admin"])
def test_a_key_of_one_app_is_not_made_with_a_scope_that_concerns_every_app(store: Store, scope: str) -> None:
    with pytest.raises(InputError, match=f"a key of one app cannot have the scope '{scope}'"):
        create_key(store, "shop", "shop", ["read", scope])
    assert not has_keys(store)


def test_a_revoked_key_stops_working_and_does_not_open_the_server(store: Store, client: TestClient) -> None:
    key = create_key(store, "one", None, ["admin"])
    client.app.state.keys._read_at = float("-inf")  # type: ignore[attr-defined]
    assert client.get("/v1/conversations/c", headers=with_key(key)).status_code == 404
    assert revoke_key(store, "one") == 1
    time.sleep(2.1)
    assert client.get("/v1/conversations/c", headers=with_key(key)).status_code == 401
    assert client.get("/v1/conversations/c").status_code == 401
    with pytest.raises(NotFound):
        revoke_key(store, "one")


def test_a_key_is_shown_once_and_stored_as_a_hash(store: Store) -> None:
    key = create_key(store, "web", "shop", "read ingest")
    info = list_keys(store)[0]
    assert (info.label, info.app, info.scopes, info.revoked_at) == ("web", "shop", ("ingest", "read"), None)
    assert len(key) > 40 and key not in repr(list_keys(store)) and has_keys(store)


@pytest.mark.parametrize(
    ("host", "keys", "allowed"),
    [
        ("127.0.0.1", False, True),
        ("localhost", False, True),
        ("::1", False, True),
        ("127.8.9.1", False, True),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("192.168.1.5", False, False),
        ("example.org", False, False),
        ("0.0.0.0", True, True),
    ],
)
def test_listening_beyond_this_machine_needs_a_key(host: str, keys: bool, allowed: bool) -> None:
    if allowed:
        check_listen(host, keys)
    else:
        with pytest.raises(Refused, match="without an API key"):
            check_listen(host, keys)


@pytest.mark.parametrize("scopes", ["", "read,write", ["ingest", "root"]])
def test_unknown_scopes_are_refused(scopes: Any) -> None:
    with pytest.raises(InputError, match="scopes are ingest, read"):
        parse_scopes(scopes)
