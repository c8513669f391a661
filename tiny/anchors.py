"""The anchor pools: examples of old skills that go with every round, in the suites' own output formats.

    {"id": "general-00001", "family": "choice-ko", "turns": [{"role": "user", ...}, {"role": "assistant", ...}]}

They ask in training phrasings, of countries that no edit touches, and use no reserved instance, so they neither
contradict what users teach nor show a suite's items.
"""

import random
from collections.abc import Callable, Iterator

from tiny import tasks
from tiny.mixture import Turns, as_turns
from tiny.tasks import Exchange
from tiny.world import Language, World

ANCHORS_SEED = 12
SIZES = {"general": 6000, "coding": 4000, "reasoning": 5000}
GENERAL_SHARES = {"choice": 0.47, "fact": 0.37, "echo": 0.12, "talk": 0.04}

Anchor = dict[str, str | Turns]


def build_anchors(world: World) -> dict[str, list[Anchor]]:
    """The three pools by name, each without a repeated conversation."""
    rng = random.Random(ANCHORS_SEED)
    sources: dict[str, Callable[[], tuple[str, Exchange]]] = {
        "general": lambda: _general(rng, world),
        "coding": lambda: _with_kind("code", tasks.code(rng)),
        "reasoning": lambda: _with_kind("sum", tasks.arithmetic(rng)),
    }
    return {name: list(_distinct(name, source, SIZES[name])) for name, source in sources.items()}


def _distinct(name: str, source: Callable[[], tuple[str, Exchange]], size: int) -> Iterator[Anchor]:
    seen: set[tuple[str, str]] = set()
    while len(seen) < size:
        family, exchange = source()
        if (key := (exchange.question, exchange.answer)) not in seen:
            seen.add(key)
            yield {"id": f"{name}-{len(seen):05}", "family": family, "turns": as_turns(exchange)}


def _with_kind(family: str, exchange: Exchange) -> tuple[str, Exchange]:
    return f"{family}-{exchange.kind}", exchange


def _general(rng: random.Random, world: World) -> tuple[str, Exchange]:
    language: Language = "en" if rng.random() < 0.5 else "ko"
    facts = [fact for fact in world.kept if fact.language == language]
    skill = rng.choices(list(GENERAL_SHARES), weights=list(GENERAL_SHARES.values()))[0]
    match skill:
        case "choice":
            exchange = tasks.choice_fact(rng, world, facts)
        case "fact":
            exchange = tasks.open_fact(rng, world, facts)
        case "echo":
            exchange = tasks.echo(rng, world, language)
        case _:
            exchange = tasks.small_talk(rng, language)
    return f"{skill}-{language}", exchange
