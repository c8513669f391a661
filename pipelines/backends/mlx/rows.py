"""Encoded examples -> batches of like lengths: padded on the right, where a causal model never looks.

Of one optimizer step's examples the longest stand together, then the next, as many as `budget` tokens of padded batch
hold; MLX's models draw their own attention mask, so that rows are not packed (docs/decisions/mlx-backend.md).
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import mlx.core as mx
import numpy as np

from pipelines.backends.examples import IGNORED, EncodedExample


@dataclass(frozen=True)
class Batch:
    """A padded batch: `places_N` are the positions (row x T + position) whose next token `targets_N` gets loss.

    `owner_N` is the row that each of them belongs to, `tokens` how many ids are no padding.
    """

    ids_BT: mx.array
    places_N: mx.array
    targets_N: mx.array
    owner_N: mx.array
    tokens: int

    @property
    def trained(self) -> int:
        """How many tokens get loss."""
        return int(self.places_N.size)


def make_batch(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Batch:
    """One batch of (ids, labels); no label outside a row's own ids, so no padding is ever trained."""
    width = max(len(ids) for ids, _ in rows)
    ids_BT = np.zeros((len(rows), width), np.int32)
    labels_BT = np.full((len(rows), width), IGNORED, np.int32)
    for place, (ids, labels) in enumerate(rows):
        ids_BT[place, : len(ids)] = ids
        labels_BT[place, : len(labels)] = labels
    owner, position = np.nonzero(labels_BT[:, 1:] != IGNORED)
    return Batch(
        ids_BT=mx.array(ids_BT),
        places_N=mx.array((owner * width + position).astype(np.int32)),
        targets_N=mx.array(labels_BT[owner, position + 1]),
        owner_N=mx.array(owner.astype(np.int32)),
        tokens=sum(len(ids) for ids, _ in rows),
    )


def batch_examples(examples: Sequence[EncodedExample], budget: int) -> list[Batch]:
    """All of them, in batches of at most `budget` padded tokens, or one row if it is longer."""
    groups = group_by_length([len(example.ids) for example in examples], budget)
    return [make_batch([(examples[place].ids, examples[place].labels) for place in group]) for group in groups]


def group_by_length(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Positions of rows that share a batch, the longest first; the last group is as partial as it comes."""
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= budget:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


@dataclass(frozen=True)
class SftSteps:
    """Which examples each optimizer step reads: every one once an epoch, in an order that seed and epoch alone decide.

    So a resumed run reads what the whole one would have read, and nothing of it is kept in a checkpoint.
    """

    examples: int
    size: int
    epochs: float
    seed: int

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch, the partial one at its end among them."""
        return math.ceil(self.examples / self.size)

    @property
    def total(self) -> int:
        """Steps of the run."""
        return math.ceil(self.epochs * self.per_epoch)

    def of(self, step: int) -> tuple[int, ...]:
        """The positions of the examples that step `step`, from 0, reads."""
        epoch, place = divmod(step, self.per_epoch)
        return _order(self.examples, self.seed, epoch)[place * self.size : (place + 1) * self.size]


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> tuple[int, ...]:
    places = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(places)
    return tuple(places)
