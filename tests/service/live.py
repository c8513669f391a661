"""A whole service for tests: real uvicorn in a thread, real supervisor and engine, SQLite in a temporary home."""

import os
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import openai
from sqlmodel import Session, col, select

from pipelines.gguf.protocol import Status, socket_path
from pipelines.records import Record
from service.engine.client import engine_status
from service.engine.supervisor import run_supervisor
from service.settings import Settings
from service.store.people import app_id, wrapped_key
from service.store.session import Store, open_store
from service.store.tables import Conversation, Message, Person
from service.vault import Vault, open_vault, raw_place
from service.web.app import create_app
from service.web.connections import Limits
from service.web.server import server_of


@dataclass(frozen=True)
class Turn:
    """A stored message with its text."""

    id: str
    hmac: str
    role: str
    text: str
    parent: str | None
    served_by: str | None
    state: str


@dataclass
class Live:
    """The running service, and ways to look behind it."""

    settings: Settings
    store: Store
    url: str

    @property
    def vault(self) -> Vault:
        return open_vault(self.settings, self.store)

    def http(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=120, **options)

    def openai(self, key: str = "none") -> openai.OpenAI:
        client = httpx.Client(trust_env=False)
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, http_client=client)

    def wait_for_model(self, model_id: str, seconds: float = 90.0, not_pid: int = 0) -> Status:
        """The engine's status once it serves this model."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = engine_status(self.settings.home)
            if status is not None and status.model == model_id and status.pid != not_pid:
                return status
            time.sleep(0.05)
        raise AssertionError(f"the engine does not serve {model_id}")

    def kill_engine(self) -> int:
        """kill -9 the engine; its process id."""
        status = engine_status(self.settings.home)
        assert status is not None
        os.kill(status.pid, signal.SIGKILL)
        return status.pid

    def messages(self, user: str) -> list[list[Turn]]:
        """The unsealed messages of each of a person's conversations, oldest first."""
        with self.store.read() as session:
            person = session.exec(select(Person).where(Person.hmac == self._hash(session, user))).one()
            key = self.vault.open_person_key(person.id, wrapped_key(session, person.id) or b"")
            query = select(Message).join(Conversation).where(Conversation.person_id == person.id)
            rows = session.exec(query.order_by(col(Conversation.received_at), col(Message.position))).all()
            found: dict[str, list[Turn]] = {}
            for row in rows:
                text = key.unseal(row.sealed or b"", raw_place(row.id)).decode()
                turn = Turn(row.id, row.client_hmac, row.role, text, row.parent_id, row.served_by, row.state)
                found.setdefault(row.conversation_id, []).append(turn)
            return list(found.values())

    def consents(self, user: str) -> list[bool | None]:
        """The consent of each of a person's conversations, oldest first."""
        with self.store.read() as session:
            query = select(Conversation.consent).join(Person).where(Person.hmac == self._hash(session, user))
            return list(session.exec(query.order_by(col(Conversation.received_at))))

    def _hash(self, session: Session, user: str) -> str:
        return self.vault.person_hash(app_id(session, "default") or "", user)


@contextmanager
def running(
    settings: Settings, engine: bool = True, limits: Limits | None = None, is_front: bool = False
) -> Iterator[Live]:
    """The service for a home with a migrated database, until the block ends; `is_front` as `perennial proxy` runs it."""
    server = server_of(create_app(settings, is_front), limits or Limits())
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    stop = threading.Event()
    threads = [threading.Thread(target=server.run, kwargs={"sockets": [listening]})]
    if engine:
        threads.append(threading.Thread(target=run_supervisor, args=(settings, stop)))
    for thread in threads:
        thread.start()
    store = open_store(settings)
    try:
        deadline = time.monotonic() + 60
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        yield Live(settings, store, f"http://127.0.0.1:{listening.getsockname()[1]}")
    finally:
        server.should_exit = True
        stop.set()
        for thread in threads:
            thread.join(60)
        store.close()
        listening.close()


@contextmanager
def saying(settings: Settings, *events: Record, status: int = 200) -> Iterator[None]:
    """A stand-in on the engine's socket that answers every chat with these events and then hangs up."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while line := self.rfile.readline().strip().lower():
                length = int(line.split()[1]) if line.startswith(b"content-length:") else length
            self.rfile.read(length)
            self.wfile.write(f"HTTP/1.1 {status} -\r\nConnection: close\r\n\r\n".encode())
            self.wfile.writelines(event.model_dump_json().encode() + b"\n" for event in events)

    with socketserver.ThreadingUnixStreamServer(str(socket_path(settings.home)), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield
        finally:
            server.shutdown()
