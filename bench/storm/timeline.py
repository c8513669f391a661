"""What happens when: kills and outages in an order and at moments that the seed decides."""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from bench.storm.databases import Outage
from bench.storm.recovery import Recovery
from bench.storm.sender import Tally
from bench.storm.service import Service

_WEIGHTS = {"web": 36, "worker": 28, "engine": 16, "supervisor": 8, "up": 12}
LONGEST_OUTAGE_SECONDS = 8.0
_EARLY = 0.25
_FIND_SECONDS = 30.0
_LOOK_SECONDS = 0.5


def plan(rng: random.Random, kills: int, outages: Sequence[str]) -> list[str]:
    """The events in order: that many kills, every kind at least once if there are enough, outages spread among them."""
    kinds = list(_WEIGHTS)[:kills]
    kinds += rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=kills - len(kinds))
    rng.shuffle(kinds)
    some = min(kills // 3, len(outages))
    between = [name for _ in range(1 + kills // 50) for name in rng.sample(list(outages), some)]
    for number, name in enumerate(between, 1):
        kinds.insert(number * (kills + len(between)) // (len(between) + 1), name)
    return kinds


@dataclass
class Storm:
    """One storm over one service; counts what was killed, and what clients were refused while something was away."""

    service: Service
    outages: Mapping[str, Outage]
    recovery: Recovery
    tally: Tally
    rng: random.Random
    outage_seconds: float = LONGEST_OUTAGE_SECONDS
    kills: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    _watches: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    _happened: int = 0
    _is_out: bool = False

    async def blow(self, events: Sequence[str], until: float, at_most: float) -> None:
        """Lets everything happen, spread over the time that is left, and waits until all of it is recovered from.

        Where it takes longer, events follow each other at once, and those after `at_most` are left out.
        """
        keeper = asyncio.create_task(self._keep_up())
        try:
            for number, event in enumerate(events):
                left = max(0.0, until - time.monotonic()) / (len(events) - number)
                await asyncio.sleep(min(self.rng.expovariate(1.0), 2.0) * left)
                remaining = max(0.0, until - time.monotonic())
                print(
                    f"storm: {number + 1} of {len(events)}, {event}; about {remaining:.0f} s left",
                    file=sys.stderr,
                    flush=True,
                )
                await (self._outage(event) if event in self.outages else self._kill(event))
                if time.monotonic() > at_most:
                    break
            await asyncio.gather(*self._watches.values())
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper

    async def _kill(self, kind: str) -> None:
        """kill -9, once what it hit last time works again; now and then already while that is starting."""
        watch = self._watches.get(kind)
        early = watch is not None and not watch.done() and kind != "up" and self.rng.random() < _EARLY
        if watch is not None and not early:
            await watch
        process = await self._find(kind)
        if process is None:
            self.tally.fault(f"there was no process of the kind '{kind}' for {_FIND_SECONDS:.0f} s")
            return
        since = time.monotonic()
        if kind == "up":
            restarted = asyncio.create_task(asyncio.to_thread(self.service.kill_up))
        else:
            with suppress(psutil.NoSuchProcess):
                process.kill()
            restarted = None
        self.kills[kind] += 1
        self._happened += 1
        if not early:
            self._watches[kind] = asyncio.create_task(self._watch(kind, since, restarted))

    async def _watch(self, kind: str, since: float, restarted: "asyncio.Task[None] | None") -> None:
        before, alone = self._happened, all(watch.done() for other, watch in self._watches.items() if other != kind)
        await asyncio.sleep(0.1)  # until what was killed is gone
        if restarted is not None:
            await restarted
        seconds = await self.recovery.wait(kind, since)
        alone = alone and self._happened == before
        self.recovery.note(kind if alone else f"{kind} among others", seconds)

    async def _outage(self, name: str) -> None:
        """An outage, with the web process killed in the middle of every other one."""
        self._happened += 1
        before = self.tally.refusals
        seconds = self.rng.uniform(0.4, 1.0) * self.outage_seconds
        self._is_out = True
        outage = asyncio.create_task(asyncio.to_thread(self.outages[name], seconds))
        if self.rng.random() < 0.5:
            await asyncio.sleep(seconds / 2)
            await self._kill("web")
        await outage
        await asyncio.sleep(2 * _LOOK_SECONDS)  # for an `up` that refused to start without a disk or a database
        self._is_out = False
        self.refusals[name] += self.tally.refusals - before
        self.recovery.note(name, await self.recovery.wait(name, time.monotonic()))

    async def _find(self, kind: str) -> psutil.Process | None:
        until = time.monotonic() + _FIND_SECONDS
        while (process := await asyncio.to_thread(self.service.find, kind)) is None and time.monotonic() < until:
            await asyncio.sleep(0.1)
        return process

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.service.keep_up(may_refuse=self._is_out)
