"""Chats that passed are on disk, sealed, until the database has them: once each, whatever happens in between."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import psycopg
import pytest
from sqlmodel import func, select

from bench.ports import free_port
from service.erasure import forget
from service.ingest import Writer
from service.ingest.losses import Losses, read_losses
from service.ingest.spool import Spool, waiting
from service.proxy.exchange import Exchange, Who
from service.proxy.storing import Storing
from service.settings import Settings
from service.store.session import Store, open_store
from service.store.tables import Conversation, Message, now
from service.vault import Vault, open_vault
from tests.service.live import running
from tests.service.proxy.conftest import Front
from tests.service.proxy.scripted import completion, scripted, whole

CHAT = "/v1/chat/completions"


def exchange(number: int, *said: str, user: str = "anna", id: str | None = None, at: float | None = None) -> Exchange:
    """The last of `said` is the answer."""
    roles = ("user", "assistant")
    chat = [{"role": roles[turn % 2], "content": text} for turn, text in enumerate(said[:-1])]
    return Exchange(
        id=f"{number:032x}",
        kind="chat",
        who=Who("default", user, True),
        at=time.time() if at is None else at,
        request=json.dumps({"model": "m", "messages": chat}).encode(),
        request_encoding="",
        answer=json.dumps(completion(said[-1], id or f"chatcmpl-{number}")).encode(),
        answer_encoding="",
        is_stream=False,
        end="whole",
    )


class Way:
    """The spool and what stores from it, without their process."""

    def __init__(self, settings: Settings, store: Store, vault: Vault, writer: Writer) -> None:
        self.spool = Spool(settings.spool, vault, settings.spool_bytes)
        self.losses = Losses(settings.home)
        self._storing = Storing(settings, store, vault, writer, self.spool, self.losses)
        self._store = store

    def put(self, *exchanges: Exchange) -> None:
        named = [(f"{int(one.id, 16):020d}-{one.id}", msgspec.msgpack.encode(one)) for one in exchanges]
        assert self.spool.put(named) == len(exchanges)

    def store(self) -> None:
        self._storing.store_all()
        self.losses.keep()

    def counts(self) -> tuple[int, int]:
        """Conversations and messages."""
        with self._store.read() as session:
            found = [session.exec(select(func.count()).select_from(table)).one() for table in (Conversation, Message)]
        return found[0], found[1]


@pytest.fixture
def way(settings: Settings, store: Store, vault: Vault) -> Iterator[Way]:
    with Writer(store, vault) as writer:
        yield Way(settings, store, vault, writer)


def test_what_is_stored_twice_is_stored_once(way: Way) -> None:
    chats = [
        exchange(1, "one", "It is one."),
        exchange(2, "one", "It is one.", "two", "It is two."),
        exchange(3, "else", "Another.", id="chatcmpl-1"),  # the upstream counts from the start again
        exchange(4, "one", "It is one.", user="ben", id="chatcmpl-1"),
    ]
    for _ in range(2):  # the second time as after a crash between the commit and the removal
        way.put(*chats)
        way.store()
        assert way.spool.names() == [] and way.counts() == (3, 8)
    way.put(exchange(5, "one", "It is one.", "two", "It is two.", "three", "It is three."))
    way.store()
    assert way.counts() == (3, 10)


def test_a_chat_from_before_its_person_was_forgotten_does_not_come_back(
    way: Way, settings: Settings, store: Store, vault: Vault
) -> None:
    way.put(exchange(1, "Hi", "Hello!"))
    way.store()
    late = exchange(2, "Late", "Yes.", at=(now() - timedelta(seconds=5)).timestamp())
    forget(store, vault, "default", "anna")
    before = way.counts()
    way.put(late)
    way.store()
    assert way.counts() == before and way.spool.names() == []
    assert read_losses(settings.home)["forgotten"].count == 1


def test_what_cannot_be_opened_or_read_stands_in_nobodys_way(way: Way, settings: Settings) -> None:
    way.put(
        exchange(1, "a", "b"), msgspec.structs.replace(exchange(2, "c", "d"), answer=b"no JSON"), exchange(3, "e", "f")
    )
    (damaged, *_) = sorted(settings.spool.glob("*.chat"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    way.store()
    assert way.counts() == (1, 2) and way.spool.names() == []
    losses = read_losses(settings.home)
    assert (losses["damaged"].count, losses["unreadable"].count) == (1, 1)
    aside = damaged.with_suffix(".damaged")
    way.spool.drop_set_aside(time.time() - 60)
    assert aside.is_file()
    way.spool.drop_set_aside(time.time() + 60)
    assert not aside.exists()


def test_the_spool_is_sealed_private_and_bounded(sqlite_settings: Settings, tmp_path: Path) -> None:
    store = open_store(sqlite_settings)
    folder = tmp_path / "spool"
    spool = Spool(folder, open_vault(sqlite_settings, store), most_bytes=1_000)
    assert spool.put([("1", b"plain words" * 20), ("2", b"more" * 100), ("3", b"x" * 900)]) == 2
    store.close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and b"plain words" not in path.read_bytes()
    assert spool.read("1") == b"plain words" * 20 and waiting(folder).count == 2
    spool.remove(["1", "2"])
    with spool.only_drain() as ours, spool.only_drain() as others:
        assert ours and not others


@contextmanager
def away(url: str) -> Iterator[None]:
    """A PostgreSQL database that takes no connections until the block ends."""
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    elsewhere = url.replace(f"/{name}?", "/postgres?")
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            yield
        finally:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())


def test_chats_pass_while_the_database_is_away_and_are_stored_when_it_is_back(postgresql_settings: Settings) -> None:
    chat: list[dict[str, Any]] = []

    def ask(front: Front, number: int) -> None:
        chat.append({"role": "user", "content": f"q{number}"})
        front.upstream.says(whole(completion(f"a{number}", f"chatcmpl-away-{number}")))
        answer = front.http.post(CHAT, json={"model": "m", "messages": chat, "user": "anna"})
        assert answer.json()["choices"][0]["message"]["content"] == f"a{number}"
        chat.append({"role": "assistant", "content": f"a{number}"})

    with scripted() as upstream:
        settings = replace(postgresql_settings, upstream=upstream.url)
        with running(settings, engine=False, is_front=True) as live, live.http() as http:
            front = Front(live, upstream, http)
            ask(front, 1)
            front.recorded("anna", 1, 2)
            with away(settings.database_url):
                ask(front, 2)
                ask(front, 3)
                front.wait_for(lambda: waiting(settings.spool).count == 2)
            (messages,) = front.recorded("anna", 1, 6)
    assert [m.text for m in messages] == [turn["content"] for turn in chat] and waiting(settings.spool).count == 0


def test_a_proxy_that_is_killed_leaves_its_chats_on_disk_and_no_process(sqlite_settings: Settings) -> None:
    with scripted() as upstream:
        settings = replace(sqlite_settings, upstream=upstream.url)
        upstream.says(whole(completion("Hello!", "chatcmpl-killed")))
        port = free_port()
        words = [sys.executable, "-m", "service.cli", "proxy", "--upstream", upstream.url, "--port", str(port)]
        with (
            closing(sqlite3.connect(settings.home / "perennial.db")) as locker,
            _started(words, settings.home) as proxy,
        ):
            url = f"http://127.0.0.1:{port}"
            _wait(lambda: httpx.get(f"{url}/readyz", trust_env=False).status_code == 200)
            locker.execute("BEGIN IMMEDIATE")  # the database is busy from here on
            asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "user": "anna"}
            assert httpx.post(f"{url}{CHAT}", json=asked, trust_env=False).status_code == 200
            _wait(lambda: waiting(settings.spool).count == 1)
            children = psutil.Process(proxy.pid).children(recursive=True)
            proxy.kill()
            proxy.wait()
            locker.rollback()
            assert children and psutil.wait_procs(children, timeout=40)[1] == []
        with running(settings, engine=False) as live, live.http() as http:
            (messages,) = Front(live, upstream, http).recorded("anna")
    assert [m.text for m in messages] == ["Hi", "Hello!"] and waiting(settings.spool).count == 0


@contextmanager
def _started(words: list[str], home: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
    process = subprocess.Popen(words, env=environment | {"PERENNIAL_HOME": str(home)}, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if is_so():
                return
        time.sleep(0.05)
    raise AssertionError("it did not happen")
