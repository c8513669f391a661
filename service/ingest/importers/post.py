"""Where an import stores its batches: straight into the database, or through a running server."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import httpx

from pipelines.errors import Busy, InputError
from service.ingest import DEFAULT_APP, Writer, parse_conversation, prepare
from service.ingest.prepare import Result
from service.store.session import Store
from service.store.tables import now
from service.vault import Vault

Stored = Sequence[tuple[Result, str | None]]
Post = Callable[[Sequence[bytes]], Stored]
_OF_A_ROW = (400, 413, 422)  # what a server answers to a whole batch, and means one row of it


@contextmanager
def direct_post(store: Store, vault: Vault) -> Iterator[Post]:
    """Stores straight into the database."""

    def post(rows: Sequence[bytes]) -> Stored:
        given = [parse_conversation(row) for row in rows]
        ready = [prepare(one, one.app or DEFAULT_APP, now()) for one in given]
        return [(outcome.result, outcome.detail) for outcome in writer.submit(ready).result()]

    with Writer(store, vault) as writer:
        yield post


@contextmanager
def http_post(url: str, key: str | None = None, transport: httpx.BaseTransport | None = None) -> Iterator[Post]:
    """Stores through a running server at `url`; raises InputError if that is no web address, or the key is no key."""
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url[:80]!r} is no web address; write e.g. http://127.0.0.1:8600")
    if key is not None and not (key.isascii() and key.isprintable()):
        raise InputError("the key holds characters that no key has; copy it again")

    def post(rows: Sequence[bytes]) -> Stored:
        try:
            answer = client.post("/v1/conversations", content=b"[" + b",".join(rows) + b"]")
        except httpx.TransportError as error:
            raise Busy(f"{url} does not answer; start it with `perennial serve`") from error
        if answer.status_code == 503:
            raise Busy(_detail(answer))
        if answer.status_code in _OF_A_ROW and len(rows) > 1:
            middle = len(rows) // 2
            return [*post(rows[:middle]), *post(rows[middle:])]
        if answer.status_code in _OF_A_ROW:
            return [("invalid", _detail(answer))]
        return _stored(url, answer, len(rows))

    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        client = httpx.Client(base_url=url, headers=headers, timeout=120, transport=transport, trust_env=False)
    except httpx.InvalidURL as error:
        raise InputError(f"{url[:80]!r} is no web address: {error}") from error
    with client:
        yield post


def _stored(url: str, answer: httpx.Response, count: int) -> Stored:
    """What became of each row.

    Raises:
        InputError: this is not what a server of ours answers.
    """
    if answer.status_code != 200:
        raise InputError(f"{url} refused the import: {_detail(answer)}")
    try:
        stored: Stored = [(row["result"], row.get("detail")) for row in answer.json()]
    except (ValueError, KeyError, TypeError, AttributeError):
        stored = ()
    if len(stored) != count:
        raise InputError(f"{url} is no server of Perennial: it answered something else; is the address right?")
    return stored


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
