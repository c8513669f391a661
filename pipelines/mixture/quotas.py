"""How much of what: evenly by month, balanced over families, to a target in tokens. Pure functions, seeded.

All token counts are of trained tokens: assistant turns that get loss, end-of-turn markers included.
"""

import heapq
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Countable(NamedTuple):
    """What a draw needs to know: an id, the group that draws are balanced over (month, family), trained tokens."""

    id: str
    group: str
    tokens: int


def even_choice(pool: Sequence[Countable], tokens: float, seed: int) -> set[str]:
    """The ids of about `tokens` in all: the same amount from every group, as far as each has it.

    Each at most once. Groups that have less than their part give all they have, and the others share the rest.
    """
    return {id for id, _ in _round_robin(_shuffled(pool, seed), tokens, repeats=1)}


def repeated_draw(pool: Sequence[Countable], tokens: float, repeats: int, seed: int) -> list[str]:
    """Ids of about `tokens` in all, balanced over the groups, each at most `repeats` times.

    No id comes a second time before its group is used up. Falls short when the pool is too small; otherwise it is
    off by at most half an item.
    """
    return [id for id, _ in _round_robin(_shuffled(pool, seed), tokens, repeats)]


def _shuffled(pool: Iterable[Countable], seed: int) -> dict[str, list[Countable]]:
    """The pool by group, in an order that depends on ids and seed only, not on the order it came in."""
    groups: dict[str, list[Countable]] = {}
    for one in sorted(pool):
        groups.setdefault(one.group, []).append(one)
    for name, members in groups.items():
        random.Random(f"{seed}/{name}").shuffle(members)
    return groups


def _round_robin(groups: Mapping[str, Sequence[Countable]], tokens: float, repeats: int) -> list[tuple[str, int]]:
    """(id, how many times before) of the draws: always from the group that has given least so far."""
    places = [(0, name, 0) for name in sorted(groups)]
    draws: list[tuple[str, int]] = []
    total = 0
    while places:
        tokens_given, name, position = heapq.heappop(places)
        members = groups[name]
        if position == len(members) * repeats:
            continue
        before, place = divmod(position, len(members))
        one = members[place]
        if total + one.tokens / 2 > tokens:
            break
        draws.append((one.id, before))
        total += one.tokens
        heapq.heappush(places, (tokens_given + one.tokens, name, position + 1))
    return draws
