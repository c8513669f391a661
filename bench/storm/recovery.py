"""How long until it works again: a vote is stored, a worker reports, the champion answers."""

import asyncio
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx

from bench.storm.ledger import Ledger
from bench.storm.sender import Tally

MESSAGE, RATER = "storm-probe", "storm-prober"
GIVE_UP_SECONDS = 120.0
_POLL_SECONDS = 0.1


class Recovery:
    """Watches the service from outside, and keeps the seconds of each recovery by what it recovered from."""

    def __init__(self, http: httpx.AsyncClient, watch_key: str, tally: Tally, ledger: Ledger) -> None:
        self._http, self._tally = http, tally
        self._as_watcher = {"Authorization": f"Bearer {watch_key}"}
        self._votes = ledger.vote(MESSAGE, RATER)
        self._values = itertools.cycle((1, -1))
        self._one_vote = asyncio.Lock()
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._probes: Mapping[str, Callable[[float], Awaitable[bool]]] = {
            "web": self._stores,
            "worker": self._works,
            "supervisor": self._answers,
            "engine": self._answers,
        }

    async def wait(self, kind: str, since: float) -> float | None:
        """The seconds from `since` until what is killed or away works again; that it never does is a fault."""
        probes = [self._probes[kind]] if kind in self._probes else [self._stores, self._works, self._answers]
        for probe in probes:
            while not await probe(since):
                if time.monotonic() - since > GIVE_UP_SECONDS:
                    self._tally.fault(f"after '{kind}' the service did not work again within {GIVE_UP_SECONDS:.0f} s")
                    return None
                await asyncio.sleep(_POLL_SECONDS)
        return time.monotonic() - since

    def note(self, kind: str, seconds: float | None) -> None:
        """Keeps one recovery."""
        if seconds is not None:
            self.seconds[kind].append(seconds)

    async def _stores(self, since: float) -> bool:
        """A vote that changes is a row that was written."""
        async with self._one_vote:
            value = next(self._values)
            self._votes.send(value)
            body = {"value": "up" if value > 0 else "down", "user": RATER}
            try:
                answer = await self._http.put(f"/v1/votes/{MESSAGE}", json=body)
            except httpx.TransportError:
                return False
            if answer.is_success:
                self._votes.acknowledge(value)
            return answer.is_success

    async def _works(self, since: float) -> bool:
        """A worker was seen after that moment."""
        try:
            answer = await self._http.get("/healthz", headers=self._as_watcher)
            seen = answer.json()["worker_seen_seconds_ago"]
        except (httpx.TransportError, ValueError, KeyError):
            return False
        return seen is not None and seen < time.monotonic() - since

    async def _answers(self, since: float) -> bool:
        body = {"model": "champion", "messages": [{"role": "user", "content": "Are you there?"}], "max_tokens": 1}
        try:
            return (await self._http.post("/v1/chat/completions", json=body)).is_success
        except httpx.TransportError:
            return False

    async def waiting_for_curation(self) -> int | None:
        """How many conversations wait for curation; None if nobody can say."""
        try:
            answer = await self._http.get("/healthz", headers=self._as_watcher)
            return int(answer.json()["curation"]["waiting"])
        except (httpx.TransportError, ValueError, KeyError, TypeError):
            return None

    def figures(self) -> dict[str, Any]:
        """Median, 90th percentile and worst of each kind."""
        return {kind: _spread(sorted(seconds)) for kind, seconds in sorted(self.seconds.items())}


def _spread(seconds: list[float]) -> dict[str, float]:
    return {
        "times": len(seconds),
        "median": round(statistics.median(seconds), 1),
        "p90": round(seconds[min(len(seconds) - 1, int(len(seconds) * 0.9))], 1),
        "worst": round(seconds[-1], 1),
    }
