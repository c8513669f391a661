"""The running server: nothing that was sent is on disk in plain. (Kills lose nothing: tests/test_storm.py.)"""

from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from service.store.session import open_store
from service.vault import open_vault
from tests.factories import conversation
from tests.service.process import serving

JSON = {"Content-Type": "application/json"}
PLANTED = (
    "Zanzibarquartz",
    "planted@example.org",
    "c-planted",
    "u-planted",
    "m-planted",
    "meta-planted",
    "rater-planted",
)


@pytest.mark.parametrize("stop", ["killed", "terminated"])
def test_no_plain_text_reaches_the_disk_or_the_log(sqlite_settings: Settings, stop: str) -> None:
    with serving(sqlite_settings) as (url, process):
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            _plant(client)
        if stop == "terminated":
            process.terminate()
            process.wait(30)
    files = [path for path in sqlite_settings.home.rglob("*") if path.is_file()]
    assert {"perennial.db", "server.log", "master.key"} <= {path.name for path in files}
    found = [(path.name, word) for path in files for word in PLANTED if word.encode() in path.read_bytes()]
    assert found == []


def _plant(client: httpx.Client) -> None:
    given = conversation(
        f"I am {PLANTED[0]}, {PLANTED[1]}",
        "Hello!",
        id="c-planted",
        user="u-planted",
        metadata={"note": "meta-planted"},
        hints={"topic": "meta-planted"},
        model="meta-planted",
        votes=[{"message": 1, "value": "up", "user": "rater-planted"}],
    )
    given["messages"][0]["id"] = "m-planted"
    assert client.post("/v1/conversations", json=given).status_code == 201
    assert (
        client.post(
            "/v1/conversations", json=given | {"messages": given["messages"][:1], "Zanzibarquartz": 1}
        ).status_code
        == 422
    )
    assert (
        client.post("/v1/conversations", content=b'{"id": "c-planted", Zanzibarquartz', headers=JSON).status_code == 400
    )
    assert client.put("/v1/votes/m-planted", json={"value": "up", "user": "u-planted"}).status_code == 422
    assert client.get("/v1/conversations/c-planted").json()["state"] == "received"
    assert client.get("/v1/conversations/c-planted-not").status_code == 404


def test_the_keys_are_the_only_secret_beside_the_database_and_their_owners_alone(sqlite_settings: Settings) -> None:
    store = open_store(sqlite_settings)
    open_vault(sqlite_settings, store)
    store.close()
    names = {path.name for path in Path(sqlite_settings.home).rglob("*") if path.is_file()}
    assert names == {"perennial.db", "master.key", "people.db"}
    assert {oct(path.stat().st_mode)[-3:] for path in sqlite_settings.keys.iterdir()} == {"600"}
