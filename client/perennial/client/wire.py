"""The service over HTTP: one attempt at a request, and what its answer means for the items in it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import httpx

from perennial.client.records import Item, encode

Fate = Literal["stored", "rejected", "failed", "away", "refused"]
_OF_AN_ITEM = (400, 404, 409, 410, 413, 422)  # what is wrong is the item, if a Perennial says so
_OF_A_LIST = (400, 413, 422)  # of a whole list, and meaning one row of it
_OF_THE_KEY = (401, 403)
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Outcome:
    """What became of an item at one attempt.

    `failed`: the service stumbled over it, once more may help. `away`: nobody answered, or the answer was to come later
    (`after_seconds`). `refused`: the key, or the address, is wrong, which is no item's fault.
    """

    fate: Fate
    detail: str = ""
    status: int | None = None
    after_seconds: float | None = None


class Wire:
    """A connection to the service."""

    def __init__(self, url: str, key: str | None, options: Mapping[str, Any]) -> None:
        """Raises ValueError if `url` is no web address, or `key` holds what no key has."""
        if not _is_web_address(url):
            raise ValueError(f"{url[:80]!r} is no web address; write e.g. http://127.0.0.1:8600")
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ValueError("the key holds characters that no key has; copy it again")
        self._headers = {"User-Agent": "perennial-client"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._url, self._options = url.rstrip("/"), dict(options)
        self._http: httpx.Client | None = self._connect()

    def after_fork(self) -> None:
        """A child process makes connections of its own: two must not write into one."""
        self._http = None

    def close(self) -> None:
        """Ends the connections."""
        if self._http is not None:
            self._http.close()

    def send_conversations(self, items: Sequence[Item]) -> list[Outcome]:
        """What became of each conversation of a list; where one row spoils the whole list, it is sent in halves."""
        body = b"[" + b",".join(encode(item.body) for item in items) + b"]"
        answer = self._ask("POST", "/v1/conversations", body)
        if isinstance(answer, Outcome):
            return [answer] * len(items)
        if answer.status_code in _OF_A_LIST and _is_ours(answer) and len(items) > 1:
            middle = len(items) // 2
            return [*self.send_conversations(items[:middle]), *self.send_conversations(items[middle:])]
        if not answer.is_success:
            return [_judge(answer)] * len(items)
        return _rows(answer, len(items))

    def send(self, item: Item) -> Outcome:
        """What became of one item."""
        if item.kind == "conversation":
            return self.send_conversations([item])[0]
        method, path = _route(item)
        answer = self._ask(method, path, encode(item.body))
        return answer if isinstance(answer, Outcome) else _judge(answer)

    def _ask(self, method: str, path: str, body: bytes) -> httpx.Response | Outcome:
        if self._http is None:
            self._http = self._connect()
        try:
            return self._http.request(method, path, content=body, headers=_JSON)
        except httpx.HTTPError as error:
            return Outcome("away", f"{self._url} does not answer ({type(error).__name__})")

    def _connect(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, headers=self._headers, trust_env=False, **self._options)


def _is_web_address(url: str) -> bool:
    try:
        found = urlsplit(url)
        return found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0
    except ValueError:
        return False


def _route(item: Item) -> tuple[str, str]:
    about = quote(item.message or "", safe="")
    if item.kind == "vote":
        return ("DELETE" if item.take_back else "PUT"), f"/v1/votes/{about}"
    if item.kind == "comparison":
        return ("DELETE" if item.take_back else "POST"), "/v1/comparisons"
    if item.take_back:  # this route alone asks for the person in its address
        whose = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in item.body.items())
        return "DELETE", f"/v1/messages/{about}/corrections?{whose}"
    return "POST", f"/v1/messages/{about}/corrections"


def _judge(answer: httpx.Response) -> Outcome:
    """What an answer to one item means."""
    status, detail = answer.status_code, _sentence(answer)
    if answer.is_success:
        return Outcome("stored", status=status)
    if status in _OF_AN_ITEM and _is_ours(answer):
        return Outcome("rejected", detail, status)
    if status == 500:
        return Outcome("failed", detail, status)
    if status in _OF_THE_KEY or 300 <= status < 500 and status not in (408, 425, 429):
        return Outcome("refused", detail, status)
    return Outcome("away", detail, status, _retry_after(answer))


def _rows(answer: httpx.Response, count: int) -> list[Outcome]:
    """What a list's answer says of each of its rows."""
    try:
        rows = [(int(row["status"]), str(row.get("detail") or row["result"])) for row in answer.json()]
    except (ValueError, KeyError, TypeError, AttributeError):
        rows = []
    if len(rows) != count:
        return [Outcome("refused", "this is no server of Perennial: it answered something else")] * count
    return [_row(status, detail) for status, detail in rows]


def _row(status: int, detail: str) -> Outcome:
    if status < 300:
        return Outcome("stored", status=status)
    return Outcome("failed" if status >= 500 else "rejected", detail, status)


def _is_ours(answer: httpx.Response) -> bool:
    """Whether a Perennial said this, and not a proxy before it or another server."""
    kind: str = answer.headers.get("content-type", "")
    return kind.startswith("application/problem+json")


def _sentence(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds until the service wants to be asked again; the header gives them, or a date."""
    said = answer.headers.get("retry-after", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return None
