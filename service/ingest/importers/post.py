"""Where an import stores its batches: straight into the database, or through a running server."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from pipelines.errors import Busy, InputError
from service.ingest.importers.ready import ReadyConversation
from service.ingest.prepare import DEFAULT_APP, NewComparison, NewCorrection, NewVote, Result
from service.ingest.writer import Writer
from service.store.session import Store
from service.vault import Vault

Feedback = NewVote | NewCorrection | NewComparison
Ready = ReadyConversation | Feedback
Stored = Sequence[tuple[Result, str | None]]
Post = Callable[[Sequence[Ready]], Callable[[], Stored]]
"""Sends a batch; what comes back waits until it is stored. Either raises Busy where it is to be sent again later."""
_OF_A_ROW = (400, 413, 422)  # what a server answers to a whole batch, and means one row of it
_VALUES = {1: "up", -1: "down"}


@contextmanager
def direct_post(store: Store, vault: Vault) -> Iterator[Post]:
    """Stores straight into the database."""

    def post(batch: Sequence[Ready]) -> Callable[[], Stored]:
        kinds: tuple[tuple[type, Callable[[Any], Any]], ...] = (
            (ReadyConversation, lambda rows: writer.submit([row.incoming for row in rows])),
            (NewVote, writer.submit_votes),
            (NewCorrection, writer.submit_corrections),
            (NewComparison, writer.submit_comparisons),
        )
        flying = []
        for kind, submit in kinds:
            numbers = [number for number, one in enumerate(batch) if isinstance(one, kind)]
            if numbers:
                flying.append((numbers, submit([batch[number] for number in numbers])))

        def stored() -> Stored:
            found: dict[int, tuple[Result, str | None]] = {}
            for numbers, future in flying:
                outcomes = future.result()
                found |= {number: (one.result, one.detail) for number, one in zip(numbers, outcomes, strict=True)}
            return [found[number] for number in range(len(batch))]

        return stored

    with Writer(store, vault) as writer:
        yield post


@contextmanager
def http_post(url: str, key: str | None = None, transport: httpx.BaseTransport | None = None) -> Iterator[Post]:
    """Stores through a running server at `url`; raises InputError if that is no web address, or the key is no key."""
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url[:80]!r} is no web address; write e.g. http://127.0.0.1:8600")
    if key is not None and not (key.isascii() and key.isprintable()):
        raise InputError("the key holds characters that no key has; copy it again")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        client = httpx.Client(base_url=url, headers=headers, timeout=120, transport=transport, trust_env=False)
    except httpx.InvalidURL as error:
        raise InputError(f"{url[:80]!r} is no web address: {error}") from error
    with client:
        server = _Server(url, client)
        yield server.post


class _Server:
    """A running server of ours."""

    def __init__(self, url: str, client: httpx.Client) -> None:
        self._url, self._client = url, client

    def post(self, batch: Sequence[Ready]) -> Callable[[], Stored]:
        rows = [one for one in batch if isinstance(one, ReadyConversation)]
        stored = iter(self._conversations([row.row for row in rows]) if rows else ())
        others = [None if isinstance(one, ReadyConversation) else self._feedback(one) for one in batch]
        return lambda: [other or next(stored) for other in others]

    def _conversations(self, rows: Sequence[bytes]) -> Stored:
        answer = self._ask("POST", "/v1/conversations", b"[" + b",".join(rows) + b"]")
        if answer.status_code in _OF_A_ROW and len(rows) > 1:
            middle = len(rows) // 2
            return [*self._conversations(rows[:middle]), *self._conversations(rows[middle:])]
        if answer.status_code in _OF_A_ROW:
            return [("invalid", _detail(answer))]
        return _stored(self._url, answer, len(rows))

    def _feedback(self, one: Feedback) -> tuple[Result, str | None]:
        if isinstance(one, NewVote) and one.answer is not None:
            return (
                "not_found",
                "it names no message, so only an import on the server's own machine, without --url, finds it",
            )
        answer = self._ask(*_request(one))
        if answer.status_code < 300:
            return _changed(self._url, answer), None
        if answer.status_code in (*_OF_A_ROW, 404, 409):
            return "invalid", _detail(answer)
        raise InputError(f"{self._url} refused the import: {_detail(answer)}")

    def _ask(self, method: str, path: str, body: bytes) -> httpx.Response:
        try:
            answer = self._client.request(method, path, content=body)
        except httpx.TransportError as error:
            raise Busy(f"{self._url} does not answer; start it with `perennial serve`") from error
        if answer.status_code == 503:
            raise Busy(_detail(answer))
        return answer


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
        raise _no_server_of_ours(url)
    return stored


def _changed(url: str, answer: httpx.Response) -> Result:
    """What became of a piece of feedback that was taken: a PUT has one status for both. Raises as `_stored` does."""
    try:
        return "created" if answer.json()["changed"] else "unchanged"
    except (ValueError, KeyError, TypeError):
        raise _no_server_of_ours(url) from None


def _no_server_of_ours(url: str) -> InputError:
    return InputError(f"{url} is no server of Perennial: it answered something else; is the address right?")


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


def _request(one: Feedback) -> tuple[str, str, bytes]:
    """Method, path and body of a piece of feedback."""
    body: dict[str, Any] = {"user": one.rater, "source": one.source}
    body |= {"time": one.at} if one.at else {}
    body |= {"app": one.app} if one.app != DEFAULT_APP else {}
    if isinstance(one, NewVote):
        body |= {name: value for name, value in (("reason", one.reason), ("comment", one.comment)) if value}
        path = f"/v1/votes/{quote(one.message, safe='')}"
        return "PUT", path, msgspec.json.encode(body | {"value": _VALUES.get(one.value)})
    if isinstance(one, NewCorrection):
        path = f"/v1/messages/{quote(one.message, safe='')}/corrections"
        return "POST", path, msgspec.json.encode(body | {"content": one.content})
    body |= {"chosen": one.chosen, "rejected": one.rejected}
    return "POST", "/v1/comparisons", msgspec.json.encode(body)
