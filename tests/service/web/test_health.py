"""GET /healthz tells the truth."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from service.settings import Settings
from service.store import health
from service.store.session import Store
from service.store.tables import WorkerSeen, now
from service.vault import Vault
from tests.factories import conversation, web
from tests.service.rated import add_person, add_rated


@pytest.fixture
def client(with_settings: Callable[..., Settings]) -> Iterator[TestClient]:
    """A client of a service that knows how names are found and has room on its disk."""
    with web(with_settings(allow_degraded_names=True, min_free_bytes=1)) as opened:
        yield opened


def test_it_is_degraded_without_a_worker_and_ok_with_one(client: TestClient, store: Store) -> None:
    first = client.get("/healthz")
    assert first.status_code == 200 and first.json()["status"] == "degraded"
    assert first.json()["problems"] == ["no worker was ever seen, so nothing is curated and no round runs"]
    health.beat(store, "host:1")
    second = client.get("/healthz").json()
    assert second["status"] == "ok" and second["problems"] == []


def test_a_silent_worker_is_told_with_its_cure(client: TestClient, store: Store) -> None:
    client.post("/v1/conversations", json=conversation())
    with store.begin() as session:
        session.add(WorkerSeen(owner="host:1", at=now() - timedelta(minutes=2)))
    found = client.get("/healthz").json()
    assert found["status"] == "degraded" and found["curation"]["waiting"] == 1
    assert found["problems"] == ["no worker was seen for 120 s"]
    [told] = [one for one in found["obstacles"] if one["degrades"]]
    assert told["name"] == "worker_gone" and "perennial worker" in told["cure"]


def test_what_only_lacks_data_is_listed_and_leaves_it_ok(client: TestClient, store: Store, vault: Vault) -> None:
    health.beat(store, "host:1")
    add_rated(store, vault, add_person(store, vault), "q", "Unrated.", satisfaction=None)
    found = client.get("/healthz").json()
    assert found["status"] == "ok" and {"unrated", "no_champion"} <= {one["name"] for one in found["obstacles"]}


def test_nobody_can_miss_that_names_are_not_settled(settings: Settings, store: Store) -> None:
    health.beat(store, "host:1")
    with web(settings) as client:
        found = client.get("/healthz").json()
    assert found["status"] == "degraded" and found["obstacles"][0]["name"] == "names_unset"


def test_the_list_is_documented(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["components"]["schemas"]
    assert set(described["ObstacleOut"]["required"]) == {"name", "sentence", "cure", "degrades"}
    assert described["Health"]["properties"]["obstacles"]["items"] == {"$ref": "#/components/schemas/ObstacleOut"}


def test_a_database_that_takes_no_writes_is_down(client: TestClient, store: Store) -> None:
    with store.begin() as session:
        session.execute(text('ALTER TABLE "key_check" RENAME TO hidden'))
    found = client.get("/healthz")
    assert (found.status_code, found.json()["database"]) == (503, "unavailable")
    with store.begin() as session:
        session.execute(text('ALTER TABLE hidden RENAME TO "key_check"'))


def test_a_beat_is_written_at_most_every_few_seconds(store: Store) -> None:
    health.beat(store, "host:1")
    with store.read() as session:
        first = health.last_beat(session)
    health.beat(store, "host:1")
    with store.read() as session:
        assert health.last_beat(session) == first
