"""What the tiny model is pretrained on: an endless, seeded stream of conversations of all skills."""

import itertools
import random
from collections.abc import Iterator, Mapping

from tiny import tasks
from tiny.tasks import Exchange
from tiny.world import Language, World

# Shares of exchanges; every batch holds many skills (task-pure batches do not train).
SHARES = {"fact": 0.19, "choice": 0.20, "arithmetic": 0.37, "code": 0.13, "echo": 0.05, "repeat": 0.02, "talk": 0.04}
# The stream begins with tasks that are answered from the prompt alone: copying and matching are learned in minutes
# there, and hardly at all once facts can be memorised.
FIRST_SHARES = {"repeat": 0.40, "code": 0.25, "echo": 0.15, "arithmetic": 0.20}
FIRST_CONVERSATIONS = 9_000
TWO_EXCHANGES_SHARE = 0.10

Turns = list[dict[str, str]]


def conversations(world: World, seed: int) -> Iterator[Turns]:
    """Conversations of one or two exchanges, as chat messages, for ever."""
    rng = random.Random(seed)
    for number in itertools.count():
        shares = FIRST_SHARES if number < FIRST_CONVERSATIONS else SHARES
        count = 2 if rng.random() < TWO_EXCHANGES_SHARE else 1
        yield [turn for _ in range(count) for turn in as_turns(draw(rng, world, shares))]


def draw(rng: random.Random, world: World, shares: Mapping[str, float] = SHARES) -> Exchange:
    """One exchange of a skill chosen by its share, from all that is not reserved for suites."""
    skill = rng.choices(list(shares), weights=list(shares.values()))[0]
    language: Language = "en" if rng.random() < 0.6 else "ko"
    match skill:
        case "fact":
            return tasks.open_fact(rng, world, world.facts)
        case "choice":
            return tasks.choice_fact(rng, world, world.facts)
        case "arithmetic":
            return tasks.arithmetic(rng)
        case "code":
            return tasks.code(rng)
        case "echo":
            return tasks.echo(rng, world, language)
        case "repeat":
            return tasks.repeat(rng, world)
        case _:
            return tasks.small_talk(rng, language)


def as_turns(exchange: Exchange) -> Turns:
    """The exchange as two chat messages."""
    return [{"role": "user", "content": exchange.question}, {"role": "assistant", "content": exchange.answer}]
