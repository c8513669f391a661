"""After the storm, read back as an app would: are an answer's votes and corrections what the clients know?"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from bench.storm.ledger import Corrections, Ledger, Register, Talk

SAMPLE = 2_000
_CLIENTS = 16


@dataclass
class Verdict:
    """What was lost, what is there twice, what is there and wrong; `stored` counts what is there as it should be."""

    lost: Counter[str] = field(default_factory=Counter)
    double: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    stored: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Said:
    """What the clients said of each answer."""

    votes: Mapping[str, Sequence[Register]]
    corrections: Mapping[str, Sequence[Corrections]]


async def check_api(http: httpx.AsyncClient, ledger: Ledger, rng: random.Random, verdict: Verdict) -> None:
    """Compares what the API shows of conversations, of a sample if there are very many, with what the clients know."""
    talks = [talk for talk in ledger.talks.values() if talk.messages]
    sample = iter(rng.sample(talks, min(len(talks), SAMPLE)))
    said = _Said(defaultdict(list), defaultdict(list))
    for (message, _), register in ledger.votes.items():
        said.votes[message].append(register)  # type: ignore[attr-defined]
    for (message, _), corrections in ledger.corrections.items():
        said.corrections[message].append(corrections)  # type: ignore[attr-defined]

    async def read() -> None:
        for talk in sample:
            await _check(http, talk, said, verdict)

    await asyncio.gather(*(read() for _ in range(_CLIENTS)))


async def _check(http: httpx.AsyncClient, talk: Talk, said: _Said, verdict: Verdict) -> None:
    answer = await http.get(f"/v1/conversations/{talk.id}")
    if answer.status_code == 404:
        verdict.lost["conversations over the API"] += 1
        return
    shown = answer.raise_for_status().json()
    verdict.stored["read over the API"] += 1
    votes = [register for message in talk.answers for register in said.votes[message.id]]
    if not any(register.unanswered for register in votes):
        values = Counter(register.acknowledged for register in votes)
        verdict.wrong["votes over the API"] += (shown["votes"]["up"], shown["votes"]["down"]) != (values[1], values[-1])
    verdict.wrong["satisfaction over the API"] += not talk.satisfaction.may_be(shown["satisfaction"])
    written = [one for message in talk.answers for one in said.corrections[message.id]]
    if not any(one.newest.unanswered for one in written):
        standing = sum(one["state"] in ("stands", "refused") for one in shown["messages"])
        verdict.wrong["corrections over the API"] += standing != sum(
            one.newest.acknowledged is not None for one in written
        )
