"""Small real things for tests: conversations as apps send them, and a running writer or web client over a store."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
from starlette.testclient import TestClient

from service.ingest import Incoming, NewComparison, NewCorrection, NewVote, Outcome, Writer, parse_conversation, prepare
from service.settings import Settings
from service.store.session import Store
from service.store.tables import now
from service.vault import Vault
from service.web.app import create_app

_numbers = itertools.count(1)


def conversation(*texts: str, **fields: Any) -> dict[str, Any]:
    """The JSON of a conversation: `texts` are turns of user and assistant in turn; `fields` replace or add."""
    roles = itertools.cycle(["user", "assistant"])
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts or ("Hi", "Hello!"), strict=False)]
    return {"id": f"c-{next(_numbers)}", "user": "u-1", "messages": messages} | fields


def tree(**fields: Any) -> dict[str, Any]:
    """A question with two answers, the second a regeneration of the first."""
    number = next(_numbers)
    question, first, second = (f"m-{number}-{name}" for name in ("q", "a", "b"))
    messages = [
        {"id": question, "role": "user", "content": "What is the capital of Velmora?"},
        {"id": first, "role": "assistant", "content": "It is Tarsin.", "parent": question},
        {"id": second, "role": "assistant", "content": "It is Osk.", "parent": question},
    ]
    return {"id": f"c-{number}", "user": "u-1", "messages": messages} | fields


def incoming(given: dict[str, Any]) -> Incoming:
    """A conversation ready to be stored."""
    parsed = parse_conversation(msgspec.json.encode(given))
    return prepare(parsed, parsed.app or "default", now())


def put(store: Store, vault: Vault, *given: dict[str, Any]) -> list[Outcome]:
    """Stores conversations and waits until they are committed."""
    with Writer(store, vault) as writer:
        return writer.submit([incoming(one) for one in given]).result(30)


def correct(store: Store, vault: Vault, message: str, content: str | None, user: str = "u-1") -> Outcome:
    """Corrects a stored answer by its client id, or takes the correction back, and waits until that is committed."""
    with Writer(store, vault) as writer:
        return writer.submit_corrections([NewCorrection("default", message, user, content)]).result(30)[0]


def compare(store: Store, vault: Vault, chosen: str, rejected: str, user: str = "u-1") -> Outcome:
    """Prefers one answer to another by their client ids, and waits until that is committed."""
    with Writer(store, vault) as writer:
        return writer.submit_comparisons([NewComparison("default", chosen, rejected, user)]).result(30)[0]


def vote(store: Store, vault: Vault, message: str, value: Literal[1, -1, 0], user: str = "u-1") -> Outcome:
    """Votes on an answer by its client id, or takes the vote back, and waits until that is committed."""
    with Writer(store, vault) as writer:
        return writer.submit_votes([NewVote("default", message, user, value)]).result(30)[0]


@contextmanager
def web(settings: Settings, **options: Any) -> Iterator[TestClient]:
    """A client of a started application, calling from this machine with the header of calls that have no JSON body."""
    usual = {"base_url": "http://127.0.0.1", "client": ("127.0.0.1", 50000), "headers": {"X-Perennial": "1"}}
    options = usual | options
    with TestClient(create_app(settings), **options) as client:
        yield client


def whole_healthz(client: TestClient, **options: Any) -> Any:
    """What /healthz answers once its looks at the database came back in time, which on a busy machine may take a few tries."""
    for _ in range(20):
        answer = client.get("/healthz", **options)
        if "does not say how far the work is" not in answer.text and answer.json()["database"] == "writable":
            break
    return answer


def ndjson(*given: Any) -> bytes:
    return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in given)
