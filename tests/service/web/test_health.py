"""GET /healthz tells the truth."""

from datetime import timedelta

from sqlalchemy import text, update
from starlette.testclient import TestClient

from service.store import health
from service.store.session import Store
from service.store.tables import Conversation, WorkerSeen, now
from tests.factories import conversation


def test_it_is_degraded_without_a_worker_and_ok_with_one(client: TestClient, store: Store) -> None:
    first = client.get("/healthz")
    assert first.status_code == 200 and first.json()["status"] == "degraded"
    assert first.json()["problems"] == ["no worker was ever seen; start one with `perennial worker`"]
    health.beat(store, "host:1")
    assert client.get("/healthz").json()["status"] == "ok"


def test_a_silent_worker_and_late_curation_are_told(client: TestClient, store: Store) -> None:
    client.post("/v1/conversations", json=conversation())
    with store.begin() as session:
        session.add(WorkerSeen(owner="host:1", at=now() - timedelta(minutes=2)))
        session.execute(update(Conversation).values(received_at=now() - timedelta(minutes=10)))
    found = client.get("/healthz").json()
    assert found["status"] == "degraded" and found["curation"]["waiting"] == 1
    assert [problem.split()[0:2] for problem in found["problems"]] == [["1", "conversations"], ["no", "worker"]]


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
