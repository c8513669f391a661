"""The running server: nothing that was sent is on disk in plain. (Kills lose nothing: tests/test_storm.py.)"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from service.store.session import open_store
from service.vault import open_vault
from tests.factories import conversation

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


@contextmanager
def serving(settings: Settings) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real server process over the settings' database, its log beside it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    known = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
    own = {"PERENNIAL_HOME": str(settings.home), "PERENNIAL_DATABASE_URL": settings.database_url}
    program = (
        "import asyncio; from service.settings import load_settings; from service.web.server import run_server; "
        f"asyncio.run(run_server(load_settings(), '127.0.0.1', {port}))"
    )
    with (settings.home / "server.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-c", program], env=known | own, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process)
        yield url, process
    finally:
        process.kill()
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/healthz", trust_env=False, timeout=10).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the server did not start")


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
        votes=[{"message": 1, "value": "up", "rater": "rater-planted"}],
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
