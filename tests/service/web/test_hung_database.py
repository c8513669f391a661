"""PostgreSQL that takes connections and says nothing any more, as a stopped server or a firewall does: 503, never a hang."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from service.settings import Settings
from service.store import limits
from service.store.session import open_store
from tests.factories import conversation
from tests.service.live import Live, running


class Wire:
    """A way to a server that can be told to pass nothing on."""

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path
        self._passing = threading.Event()
        self._passing.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def hang(self) -> None:
        self._passing.clear()

    def recover(self) -> None:
        self._passing.set()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._accepting.join(10)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._path)
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        with closing(near), closing(far), suppress(OSError):  # either side may have left
            while True:
                for one in select.select([near, far], [], [])[0]:
                    piece = one.recv(65536)
                    self._passing.wait()
                    if not piece:
                        return
                    (far if one is near else near).sendall(piece)


@contextmanager
def wired(settings: Settings) -> Iterator[tuple[Wire, Settings]]:
    server = conninfo_to_dict(settings.database_url)
    wire = Wire(f"{server['host']}/.s.PGSQL.{server.get('port', 5432)}")
    url = f"postgresql://{server['user']}@127.0.0.1:{wire.port}/{server['dbname']}?sslmode=disable"
    try:
        yield wire, replace(settings, database_url=url)
    finally:
        wire.recover()
        wire.close()


@pytest.fixture
def hung(postgresql_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Live, Wire]]:
    """A service that worked, and whose database has just fallen silent."""
    for name in ("CONNECT_SECONDS", "POOL_SECONDS", "SILENT_SECONDS"):
        monkeypatch.setattr(limits, name, 1)
    monkeypatch.setattr("service.store.session.POOL_SECONDS", 1)
    with wired(postgresql_settings) as (wire, settings), running(settings, engine=False) as live:
        with live.http() as client:
            assert client.post("/v1/conversations", json=conversation()).status_code == 201
        wire.hang()
        yield live, wire
        wire.recover()


def test_every_request_is_told_to_come_again_and_then_answered(hung: tuple[Live, Wire]) -> None:
    live, wire = hung
    asks = [
        ("GET", "/v1/rounds"),
        ("GET", "/v1/models"),
        ("GET", "/"),
        ("POST", "/v1/conversations"),
        ("PUT", "/v1/votes/m"),
    ]
    bodies = {"POST": conversation(), "PUT": {"value": "up", "user": "u"}}

    def ask(request: tuple[str, str]) -> tuple[int, str | None, float]:
        started = time.monotonic()
        with live.http() as client:
            answer = client.request(*request, json=bodies.get(request[0]))
        return answer.status_code, answer.headers.get("retry-after"), time.monotonic() - started

    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(ask, asks * 6))
    assert {(status, retry) for status, retry, _ in answers} == {(503, "1")}
    assert max(seconds for *_, seconds in answers) < 8
    wire.recover()
    deadline = time.monotonic() + 20
    while ask(("POST", "/v1/conversations"))[0] not in (200, 201):
        assert time.monotonic() < deadline


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_whether_it_is_well_is_said_within_two_seconds(hung: tuple[Live, Wire], path: str) -> None:
    live, _ = hung
    time.sleep(1.1)  # what it found out before the database fell silent counts for a second
    took = []
    for _ in range(3):
        with live.http() as client:
            started = time.monotonic()
            answer = client.get(path)
        took.append(time.monotonic() - started)
        assert answer.status_code == 503, answer.text
    assert min(took) < 2 and max(took) < 8  # the machine may be busy with other tests; the database would hang for ever


def test_the_server_itself_ends_what_takes_too_long(
    postgresql_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STATEMENT_SECONDS", 1)
    monkeypatch.setattr(limits, "LOCK_SECONDS", 1)
    limited, patient = open_store(postgresql_settings, limited=True), open_store(postgresql_settings)
    with closing(limited), closing(patient):
        with pytest.raises(OperationalError, match="statement timeout"), limited.read() as session:
            session.execute(text("SELECT pg_sleep(3)"))
        with patient.begin() as holding:
            patient.lock(holding, "ingest")
            with pytest.raises(OperationalError, match="timeout"), limited.begin() as waiting:
                limited.lock(waiting, "ingest")
        with patient.read() as session:
            session.execute(text("SELECT pg_sleep(1.2)"))
