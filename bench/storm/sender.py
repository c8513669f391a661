"""One client's way to the service: sends, counts every kind of answer, and knows which are clear."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

PATIENCE_SECONDS = 120.0  # with a service that works again; after this an answer that never came is a fault
_TIMEOUT_SECONDS = 60.0  # above the 30 s that a locked database may take
_REFUSALS = (502, 503, 504, 507)  # what a client may send again


@dataclass
class Tally:
    """What the clients met, and what none of them should have."""

    answers: Counter[int] = field(default_factory=Counter)
    broken: int = 0  # connections that were refused or broke off
    faults: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def refusals(self) -> int:
        """How often something sent was not taken."""
        return self.broken + sum(count for status, count in self.answers.items() if status >= 500)

    def fault(self, sentence: str) -> None:
        self.faults.append(sentence)


class NoAnswer(Exception):
    """What was sent may be stored or not: the connection broke, or the service could not take it."""


class Refused(NoAnswer):
    """The service says that this is wrong, which nothing here is; sending it again would not help."""


class Sender:
    """Sends as one client; `rng` decides how long it pauses before it tries again."""

    def __init__(self, http: httpx.AsyncClient, tally: Tally, rng: random.Random) -> None:
        self.http, self.tally, self.rng = http, tally, rng

    async def once(self, method: str, path: str, **body: Any) -> Any:
        """The JSON of a 2xx answer.

        Raises:
            NoAnswer: there was none.
        """
        try:
            answer = await self.http.request(method, path, **body)
        except (httpx.TransportError, Cut) as error:
            self.tally.broken += 1
            raise NoAnswer from error
        self.check(method, path, answer)
        return answer.json()

    async def insist(self, method: str, path: str, body: Callable[[], dict[str, Any]]) -> Any:
        """Like `once`, sent again until it is answered. Raises NoAnswer if it never is, which is a fault."""
        waited = 0.0
        while True:
            try:
                return await self.once(method, path, **body())
            except Refused:
                raise
            except NoAnswer:
                pause = self.rng.uniform(0.1, 0.6)
                waited = waited + pause if self.tally.over.is_set() else 0.0
                if waited > PATIENCE_SECONDS:
                    self.tally.fault(f"{method} {path.split('?')[0]} was not answered after the storm")
                    raise
                await asyncio.sleep(pause)

    def check(self, method: str, path: str, answer: httpx.Response) -> None:
        """Count an answer; raises NoAnswer unless it is 2xx, and notes the fault if it says nothing clear."""
        self.tally.answers[answer.status_code] += 1
        if answer.is_success:
            return
        what = f"{method} {'/'.join(path.split('/')[:3])} was answered {answer.status_code}"
        detail = ""
        with suppress(ValueError):
            detail = json.loads(answer.content).get("detail", "")
        if not detail or answer.headers.get("content-type") != "application/problem+json":
            self.tally.fault(f"{what} without a sentence")
        elif answer.status_code not in _REFUSALS:
            self.tally.fault(f"{what}: {detail[:200]}")
        raise NoAnswer if answer.status_code >= 500 else Refused


class Cut(Exception):
    """A client left in the middle of what it was sending."""


def http_client(url: str, key: str) -> httpx.AsyncClient:
    """A client with one key and few connections."""
    return httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=httpx.Timeout(_TIMEOUT_SECONDS, connect=5.0),
        limits=httpx.Limits(max_connections=4),
        trust_env=False,
    )
