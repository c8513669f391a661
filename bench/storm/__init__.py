"""The storm: is anything lost, or stored twice, while everything is killed at random and sixteen clients go on?

    python -m bench storm [--seconds 600] [--kills 100] [--seed 8] [--database sqlite] ...

kill -9 of web, workers, engine, the engine's supervisor and `perennial up` itself, on SQLite and on PostgreSQL for half
of the time each; in between the disk is full, and the database locked, frozen, stopped or crashed. The clients send
conversations (single, in lists, in streams that break off), votes, corrections and comparisons that they change and take
back, and chats that they leave in the middle; they repeat what was not acknowledged, and note what was. What they know is
then compared with the API and with every row. Curation runs all the while.
"""

import argparse
import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.storm.check_api import Verdict, check_api
from bench.storm.check_database import check_database
from bench.storm.clients import run_clients
from bench.storm.databases import GROUNDS, Ground
from bench.storm.ledger import Ledger
from bench.storm.recovery import Recovery
from bench.storm.sender import Tally, http_client
from bench.storm.service import Champion, Service
from bench.storm.timeline import LONGEST_OUTAGE_SECONDS, Storm, plan

LOGS = Path("var")  # where the service's own words of the last storm are kept
_LEASE_SECONDS = 60.0  # for so long nobody else curates what a worker took that was killed
_MOST_PATIENCE = 4  # times the patience, however much is left
_SHARE_AFTERWARDS = 0.2  # of the time: the clients' last answers, curation, and the comparison
_SHOWN = 20


@dataclass(frozen=True)
class Terms:
    """How long and how hard one storm blows; what has not happened after `at_most_seconds` is left out."""

    seconds: float
    at_most_seconds: float
    kills: int
    seed: str
    patience_seconds: float
    champion: Champion | None


def run(arguments: Sequence[str] = (), champion: Champion | None = None) -> dict[str, Any]:
    """The figures of one storm on each database; `passed` is false if anything was lost, double, wrong or at fault.

    `champion` puts a model into a fresh home; without it the service makes its first champion by itself.
    """
    asked = _parse(arguments)
    databases = asked.database or list(GROUNDS)
    figures: dict[str, Any] = {
        "passed": True,
        "seed": asked.seed,
        "kills": 0,
        "acknowledged": 0,
        "lost": 0,
        "double": 0,
    }
    for name in databases:
        terms = Terms(
            seconds=asked.seconds / len(databases),
            at_most_seconds=(asked.at_most or asked.seconds) / len(databases),
            kills=asked.kills // len(databases),
            seed=f"{asked.seed}-{name}",
            patience_seconds=asked.patience,
            champion=champion,
        )
        here = _storm(name, terms)
        figures["passed"] &= not here["faults"]
        figures["kills"] += sum(here["kills"].values())
        for total in ("acknowledged", "lost", "double"):
            figures[total] += sum(here[total].values())
        figures[name] = here
    return figures


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench storm", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="of everything together")
    parser.add_argument(
        "--at-most", type=float, help="seconds after which no more happens, on a slow machine; as --seconds"
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=8, help="the same seed sends and kills in the same order")
    parser.add_argument(
        "--patience",
        type=float,
        default=90.0,
        help="seconds without progress after which curation must have ended; not asked for below 60, which a killed worker's conversations wait",
    )
    parser.add_argument("--database", choices=list(GROUNDS), action="append", help="only this one; may be repeated")
    return parser.parse_args(list(arguments))


def _storm(database: str, terms: Terms) -> dict[str, Any]:
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="perennial-storm-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when this runs as root
    try:
        with GROUNDS[database](folder) as ground:
            return asyncio.run(_blow(folder, ground, started, terms))
    finally:
        LOGS.mkdir(exist_ok=True)
        shutil.copy(folder / "up.log", LOGS / f"storm-{database}.log")
        shutil.rmtree(folder, ignore_errors=True)


async def _blow(folder: Path, ground: Ground, started: float, terms: Terms) -> dict[str, Any]:
    rng, tally, ledger, verdict = random.Random(terms.seed), Tally(), Ledger(), Verdict()
    service = Service(folder, ground.home, ground.database_url, tally.faults, terms.champion)
    url = service.settings.url
    async with http_client(url, service.key) as http:
        recovery = Recovery(http, service.watch_key, tally, ledger)
        storm = Storm(service, ground.outages, recovery, tally, rng, min(LONGEST_OUTAGE_SECONDS, terms.seconds / 20))
        service.start()
        try:
            recovery.note("first start", await recovery.wait("first start", time.monotonic()))
            clients = asyncio.create_task(run_clients(url, service.key, terms.seed, tally, ledger))
            until = started + terms.seconds * (1 - _SHARE_AFTERWARDS)
            await storm.blow(plan(rng, terms.kills, list(ground.outages)), until, started + terms.at_most_seconds)
            tally.over.set()
            await clients
            await _wait_for_curation(recovery, terms.patience_seconds)
            await check_api(http, ledger, rng, verdict)
        finally:
            await asyncio.to_thread(service.stop)
    check_database(service.settings, ledger, verdict, all_curated=terms.patience_seconds > _LEASE_SECONDS)
    return _figures(storm, ledger, verdict)


async def _wait_for_curation(recovery: Recovery, seconds: float) -> None:
    """Until nothing waits, or for so long nothing was curated any more; a slow machine may have much to do."""
    fewest, until, at_most = None, time.monotonic() + seconds, time.monotonic() + _MOST_PATIENCE * seconds
    while (waiting := await recovery.waiting_for_curation()) != 0 and time.monotonic() < min(until, at_most):
        if waiting is not None and (fewest is None or waiting < fewest):
            fewest, until = waiting, time.monotonic() + seconds
        await asyncio.sleep(0.2)


def _figures(storm: Storm, ledger: Ledger, verdict: Verdict) -> dict[str, Any]:
    wrong = [
        f"{count} {what} {how}"
        for how, counts in (("lost", verdict.lost), ("double", verdict.double), ("wrong", verdict.wrong))
        for what, count in (+counts).items()
    ]
    faults = [f"{count} times: {what}" if count > 1 else what for what, count in Counter(storm.tally.faults).items()]
    return {
        "kills": dict(storm.kills),
        "acknowledged": dict(ledger.acknowledged()),
        "stored": dict(+verdict.stored),
        "lost": dict(+verdict.lost),
        "double": dict(+verdict.double),
        "wrong": dict(+verdict.wrong),
        "recovered_after_seconds": storm.recovery.figures(),
        "refused_in_outages": dict(storm.refusals),
        "answers": {str(status): count for status, count in sorted(storm.tally.answers.items())},
        "connections_broken": storm.tally.broken,
        "conversations": dict(verdict.states),
        "outages_not_tried": []
        if "disk full" in storm.outages
        else ["disk full: this user may not mount a file system"],
        "faults": [*wrong, *faults[:_SHOWN]],
    }
