"""Anchor pools: general, coding and reasoning examples that keep old skills.

One line of data/general/general.jsonl:
    {"id": "fact-0017", "family": "multiple_choice", "turns": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "B"}]}
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Literal

from pipelines.artifacts import read_records
from pipelines.errors import DataError
from pipelines.records import Example, Record, Role, Turn

AnchorName = Literal["general", "coding", "reasoning"]
ANCHOR_NAMES: tuple[AnchorName, ...] = ("general", "coding", "reasoning")
_DEV_SHARE = 0.05
_SMALLEST_SPLIT_FAMILY = 10


class AnchorTurn(Record):
    """One message of an anchor."""

    role: Role
    content: str


class Anchor(Record):
    """One example; every assistant turn is trained. `family` names the skill and its output format."""

    id: str
    family: str
    turns: tuple[AnchorTurn, ...]

    @property
    def trained_turns(self) -> tuple[Turn, ...]:
        """The turns, the assistant's with loss."""
        return tuple(
            Turn(role=turn.role, content=turn.content, trained=turn.role == "assistant") for turn in self.turns
        )


class AnchorPool(Record):
    """The anchors of one kind, ids unique, and how many were taken out.

    `contaminated` repeat a suite's item, `unrendered` the base model's chat template refuses.
    """

    name: AnchorName
    anchors: tuple[Anchor, ...]
    contaminated: int = 0
    unrendered: int = 0

    def split(self) -> tuple[list[Anchor], list[Anchor]]:
        """(train, dev): about one anchor in twenty of every family of ten or more is kept for dev, for good.

        By a hash of the id, so a pool that grows never moves an anchor that was trained on into dev unless the
        family outgrows its dev part.
        """
        families: dict[str, list[Anchor]] = {}
        for anchor in sorted(self.anchors, key=lambda anchor: hashlib.sha256(anchor.id.encode()).hexdigest()):
            families.setdefault(anchor.family, []).append(anchor)
        train: list[Anchor] = []
        dev: list[Anchor] = []
        for members in families.values():
            dev_count = max(1, round(len(members) * _DEV_SHARE)) if len(members) >= _SMALLEST_SPLIT_FAMILY else 0
            dev += members[:dev_count]
            train += members[dev_count:]
        return train, dev


Pools = Mapping[AnchorName, AnchorPool]


def load_pool(path: Path, name: AnchorName) -> AnchorPool:
    """The pool in a JSONL file.

    Raises:
        DataError: the file is missing, a line is not an anchor, or an id stands twice.
    """
    anchors = tuple(read_records(path, Anchor))
    for anchor in anchors:
        if not any(turn.role == "assistant" for turn in anchor.turns):
            raise DataError(
                f"the anchor '{anchor.id}' of {path} holds no assistant turn, so it could train nothing; give it one"
            )
    twice = [id for id, times in Counter(anchor.id for anchor in anchors).items() if times > 1]
    if twice:
        raise DataError(f"the anchor pool {path} holds the id '{twice[0]}' more than once; ids must be unique")
    return AnchorPool(name=name, anchors=anchors)


def load_pools(folder: Path) -> Mapping[AnchorName, AnchorPool]:
    """The pools of a folder, one file per kind; a kind without a file is left out."""
    files = {name: folder / f"{name}.jsonl" for name in ANCHOR_NAMES}
    return {name: load_pool(path, name) for name, path in files.items() if path.is_file()}


def without_contaminated(
    pools: Mapping[AnchorName, AnchorPool], find_contaminated: Callable[[Sequence[str]], Sequence[str | None]]
) -> Mapping[AnchorName, AnchorPool]:
    """The pools without the anchors that repeat a suite's item: training on them would forge the gate."""
    anchors = [anchor for pool in pools.values() for anchor in pool.anchors]
    shared = iter(find_contaminated(["\n".join(turn.content for turn in anchor.turns) for anchor in anchors]))
    clean = {name: tuple(anchor for anchor in pool.anchors if next(shared) is None) for name, pool in pools.items()}
    return {
        name: AnchorPool(name=name, anchors=clean[name], contaminated=len(pool.anchors) - len(clean[name]))
        for name, pool in pools.items()
    }


def without_unrendered(
    pools: Mapping[AnchorName, AnchorPool], renders: Callable[[Sequence[Turn]], bool]
) -> Mapping[AnchorName, AnchorPool]:
    """The pools without the anchors that the base model's chat template cannot render."""
    clean = {
        name: tuple(anchor for anchor in pool.anchors if renders(anchor.trained_turns)) for name, pool in pools.items()
    }
    return {
        name: pool.model_copy(update={"anchors": clean[name], "unrendered": len(pool.anchors) - len(clean[name])})
        for name, pool in pools.items()
    }


def frozen_prompts(pools: Mapping[AnchorName, AnchorPool], count: int) -> tuple[Example, ...]:
    """At most `count` anchors kept for dev, the same ones every time, as many of each family as far as that goes."""
    queues: dict[str, list[Example]] = {}
    for name, pool in sorted(pools.items()):
        for anchor in pool.split()[1]:
            example = Example(id=f"{name}/{anchor.id}", source=name, turns=anchor.trained_turns)
            queues.setdefault(f"{name}/{anchor.family}", []).append(example)
    in_turn = (example for row in zip_longest(*queues.values()) for example in row if example is not None)
    return tuple(islice(in_turn, count))


def families(anchors: Sequence[Anchor]) -> dict[str, int]:
    """How many of each family."""
    return dict(sorted(Counter(anchor.family for anchor in anchors).items()))
