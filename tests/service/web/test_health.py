"""GET /healthz tells the truth."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from service.api_keys import create_key
from service.ingest import Writer
from service.settings import Settings
from service.store import health
from service.store.session import Store, migrate
from service.store.tables import WorkerSeen, WriteProbe, now
from service.vault import Vault
from service.web.schemas import Health
from service.web.vitals import Look
from tests.disks import fill, small_disk
from tests.factories import conversation, web, whole_healthz
from tests.service.rated import add_person, add_rated
from tests.service.served import add_model, crown


@pytest.fixture
def client(with_settings: Callable[..., Settings]) -> Iterator[TestClient]:
    """A client of a service that knows how names are found and has room on its disk."""
    with web(with_settings(allow_degraded_names=True, min_free_bytes=1)) as opened:
        yield opened


def test_it_is_degraded_without_a_worker_and_ok_with_one(client: TestClient, store: Store) -> None:
    first = whole_healthz(client)
    assert first.status_code == 200 and first.json()["status"] == "degraded"
    assert first.json()["problems"] == ["no worker was ever seen, so nothing is curated and no round runs"]
    health.beat(store, "host:1")
    second = whole_healthz(client).json()
    assert second["status"] == "ok" and second["problems"] == []


def test_a_silent_worker_is_told_with_its_cure(client: TestClient, store: Store) -> None:
    client.post("/v1/conversations", json=conversation())
    with store.begin() as session:
        session.add(WorkerSeen(owner="host:1", at=now() - timedelta(minutes=2)))
    found = whole_healthz(client).json()
    assert found["status"] == "degraded" and found["curation"]["waiting"] == 1
    [problem] = found["problems"]
    assert problem.startswith("no worker was seen for 12")  # 120 s, and some on a busy machine
    [told] = [one for one in found["obstacles"] if one["degrades"]]
    assert told["name"] == "worker_gone" and "perennial worker" in told["cure"]


def test_what_only_lacks_data_is_listed_and_leaves_it_ok(client: TestClient, store: Store, vault: Vault) -> None:
    health.beat(store, "host:1")
    add_rated(store, vault, add_person(store, vault), "q", "Unrated.", satisfaction=None)
    found = whole_healthz(client).json()
    assert found["status"] == "ok" and {"unrated", "no_champion"} <= {one["name"] for one in found["obstacles"]}


def test_nobody_can_miss_that_names_are_not_settled(settings: Settings, store: Store) -> None:
    health.beat(store, "host:1")
    with web(settings) as client:
        found = whole_healthz(client).json()
    assert found["status"] == "degraded" and found["obstacles"][0]["name"] == "names_unset"


def test_the_list_is_documented(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["components"]["schemas"]
    assert set(described["ObstacleOut"]["required"]) == {"name", "sentence", "cure", "degrades"}
    assert described["Health"]["properties"]["obstacles"]["items"] == {"$ref": "#/components/schemas/ObstacleOut"}


def test_a_database_that_takes_no_writes_is_down(client: TestClient, store: Store) -> None:
    with store.begin() as session:
        session.execute(text('ALTER TABLE "write_probe" RENAME TO hidden'))
    found, ready = client.get("/healthz"), client.get("/readyz")
    assert (found.status_code, found.json()["database"]) == (503, "unavailable")
    assert (ready.status_code, ready.json()["ready"], ready.headers["retry-after"]) == (503, False, "1")
    with store.begin() as session:
        session.execute(text('ALTER TABLE hidden RENAME TO "write_probe"'))


def test_without_the_keys_of_its_people_it_is_down(client: TestClient, settings: Settings) -> None:
    keys = settings.keys / "people.db"
    keys.rename(settings.keys / "elsewhere.db")
    wait_for(client, 503)
    (settings.keys / "elsewhere.db").rename(keys)
    wait_for(client, 200)


def test_it_is_ready_while_it_stores(client: TestClient) -> None:
    wait_for(client, 200)
    assert client.get("/readyz").json() == {"ready": True, "why": None}


def test_every_probe_changes_a_row_and_takes_no_room(settings: Settings, store: Store, vault: Vault) -> None:
    numbers, sizes = [], []
    with Writer(store, vault) as writer:
        for _ in range(300):
            writer.probe().result(30)
            with store.read() as session:
                numbers.append(session.get_one(WriteProbe, 1).number)
            sizes.append(size_of(settings))
    assert numbers == list(range(1, 301)) and sizes[-1] == sizes[10]


def size_of(settings: Settings) -> int:
    """Bytes of SQLite's file; PostgreSQL clears away by itself, so there nothing is said."""
    path = settings.home / "perennial.db"
    return path.stat().st_size if path.is_file() else 0


def test_a_disk_that_is_full_is_down_and_then_up_again(sqlite_settings: Settings) -> None:
    with small_disk(sqlite_settings.home / "disk", 8 << 20) as home:
        settings = replace(
            sqlite_settings, home=home, database_url=f"sqlite:///{home}/perennial.db", allow_degraded_names=True
        )
        migrate(settings)
        with web(settings) as client:
            wait_for(client, 200)
            everything = fill(home)
            wait_for(client, 503)
            assert client.post("/v1/conversations", json=conversation()).status_code == 503
            everything.unlink()
            wait_for(client, 200)
            assert client.post("/v1/conversations", json=conversation()).status_code == 201


def wait_for(client: TestClient, status: int) -> None:
    """Until both say so: what they say is a second old at most."""
    deadline = time.monotonic() + 10
    while {client.get("/healthz").status_code, client.get("/readyz").status_code} != {status}:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_it_answers_while_the_database_hangs(client: TestClient, store: Store) -> None:
    with store.begin() as session:
        store.lock(session, "ingest")  # SQLite has its write lock, PostgreSQL that of the writer
        started = time.monotonic()
        answers = [client.get("/healthz"), client.get("/readyz")]
        assert time.monotonic() - started < 2 * 8 and {one.status_code for one in answers} == {503}


def test_many_who_ask_cost_one_look() -> None:
    called: list[int] = []
    hangs = threading.Event()

    def call() -> int:
        called.append(1)
        hangs.wait(10)
        return len(called)

    async def ask() -> list[int | None]:
        look = Look(call, patience_seconds=0.05)
        early = await asyncio.gather(*(look() for _ in range(50)))
        hangs.set()
        return [*early, await look()]

    assert asyncio.run(ask()) == [None] * 50 + [1]


def test_a_stranger_is_told_only_whether_it_works(settings: Settings, store: Store) -> None:
    add_model(store, settings, "secret-model")
    crown(store, "secret-model")
    keys = {scopes: create_key(store, scopes, app, [scopes]) for scopes, app in (("read", None), ("ingest", "shop"))}
    with web(settings) as client:
        told = whole_healthz(client).json()
        assert told == {**Health(status="degraded", database="writable").model_dump()}
        for key in ("nonsense", keys["ingest"]):
            assert whole_healthz(client, headers={"X-API-Key": key}).json() == told
        whole = whole_healthz(client, headers={"Authorization": f"Bearer {keys['read']}"})
        assert "secret-model" in whole.text and whole.json()["problems"]
    with web(settings, client=("192.0.2.7", 5)) as client:
        wait_for(client, 200)
        assert client.get("/healthz").json() == told


def test_a_beat_is_written_at_most_every_few_seconds(store: Store) -> None:
    health.beat(store, "host:1")
    with store.read() as session:
        first = health.last_beat(session)
    health.beat(store, "host:1")
    with store.read() as session:
        assert health.last_beat(session) == first
