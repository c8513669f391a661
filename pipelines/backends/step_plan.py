"""Which items and anchors every optimizer step of a preference run reads: drawn up before the first one.

A plan made of seed and data alone is what makes a resumed run read exactly what the whole one would have read.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil

from pipelines.backends.preference_items import Item
from pipelines.errors import NothingToLearn


@dataclass(frozen=True)
class Step:
    """Positions of the items and anchors that one step reads."""

    items: tuple[int, ...]
    anchors: tuple[int, ...] = ()


def plan_steps(items: Sequence[Item], size: int, epochs: float, seed: int) -> list[Step]:
    """Steps of exactly `size` items (all items if there are fewer), reading each about `epochs` times in seeded order.

    The last step is filled from the next epoch's order. Labelled answers are interleaved: good and bad ones in
    proportion to their numbers, and at least one of each in every step, so that a rare label is read more often;
    `balanced_weights` bounds what that makes of one answer.

    Raises:
        NothingToLearn: no items, or labelled answers that are all good or all bad.
    """
    if not items:
        raise NothingToLearn(
            "no preference example is left to train on; see left_out, or use `preference: {method: none}`"
        )
    size = min(size, len(items))
    count = max(1, ceil(epochs * len(items) / size))
    rng = random.Random(seed)
    if items[0].is_pair:
        stream = _shuffled_for_ever(range(len(items)), rng)
        return [Step(tuple(islice(stream, size))) for _ in range(count)]
    return _interleaved(items, size, count, rng)


def with_anchors(
    steps: Sequence[Step], items: Sequence[Item], anchor_tokens: Sequence[int], per_answer_token: float, seed: int
) -> list[Step]:
    """The same steps with anchors: `per_answer_token` trained anchor tokens for each answer token, on average.

    Anchors come in seeded order and start again when all were read; no step reads one twice.
    """
    if not anchor_tokens or not per_answer_token:
        return list(steps)
    stream = _shuffled_for_ever(range(len(anchor_tokens)), random.Random(seed))
    owed = 0.0
    joined = []
    for step in steps:
        owed += per_answer_token * sum(items[place].tokens for place in step.items)
        chosen: list[int] = []
        while owed > 0 and len(chosen) < len(anchor_tokens):
            place = next(stream)
            if place not in chosen:
                chosen.append(place)
                owed -= anchor_tokens[place]
        owed = min(owed, 0.0)  # too few anchors for this step are not made up for later
        joined.append(Step(step.items, tuple(chosen)))
    return joined


def _interleaved(items: Sequence[Item], size: int, count: int, rng: random.Random) -> list[Step]:
    good = [place for place, item in enumerate(items) if item.good]
    bad = [place for place, item in enumerate(items) if not item.good]
    if not good or not bad or size < 2:
        raise NothingToLearn(
            f"{len(good)} good and {len(bad)} bad answers, {size} a step: KTO and BCO need both in every step; collect "
            "more votes, raise preference.batch, or use `preference: {method: none}`"
        )
    goods, bads = _shuffled_for_ever(good, rng), _shuffled_for_ever(bad, rng)
    share = len(good) / len(items)
    steps = []
    for number in range(count):
        due = round(share * size * (number + 1)) - round(share * size * number)
        good_here = min(max(due, 1), size - 1)
        places = [*islice(goods, good_here), *islice(bads, size - good_here)]
        rng.shuffle(places)
        steps.append(Step(tuple(places)))
    return steps


def _shuffled_for_ever(places: Sequence[int], rng: random.Random) -> Iterator[int]:
    while True:
        order = list(places)
        rng.shuffle(order)
        yield from order
