"""The cohort: the group of accounts that moves a round most, for the check that trains once more without it.

Accounts belong together that gave feedback on the same things: two in common of answers and prompt clusters (the same
answer is both at once). Not covered: accounts that share nothing but their owner.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import combinations

from pipelines.feedback.weigh import WeighedFeedback
from pipelines.records import PreferenceItem, Record

_IN_COMMON = 2
_MOST_LINKED = 50  # a prompt that everybody rates links nobody, and n accounts would make n * n pairs
_LARGEST_SHARE = 0.5


class Cohort(Record):
    """Raters, and their share of the weight of all training items."""

    raters: tuple[str, ...]
    share: float


def influential_cohort(weighed: WeighedFeedback, items: Iterable[PreferenceItem]) -> Cohort | None:
    """The connected group with the most weight in training items; None where nobody has any.

    A group with more than half of all raters is the crowd, not a cohort: then the single most influential rater.
    An item's weight is shared by its raters.
    """
    influence = _influence(items)
    total = sum(influence.values())
    if not total:
        return None
    groups = _groups(_targets(weighed), frozenset(influence))
    small = [group for group in groups if len(group) <= max(1, _LARGEST_SHARE * len(influence))]
    candidates = [*small, *(frozenset({rater}) for rater in influence)]
    best = max(sorted(candidates, key=sorted), key=lambda group: sum(influence[rater] for rater in sorted(group)))
    share = sum(influence[rater] for rater in sorted(best)) / total
    return Cohort(raters=tuple(sorted(best)), share=round(share, 6))


def without_raters(items: Iterable[PreferenceItem], raters: Iterable[str]) -> list[PreferenceItem]:
    """The items that rest on none of these raters: what the second training of a cohort check reads."""
    gone = frozenset(raters)
    return [item for item in items if not gone & set(item.raters)]


def _influence(items: Iterable[PreferenceItem]) -> dict[str, float]:
    weight: dict[str, float] = defaultdict(float)
    train = ((item.id, item.weight, item.raters) for item in items if item.part == "train")
    for _, whole, raters in sorted(train):
        for rater in raters:
            weight[rater] += whole / len(raters)
    return dict(weight)


def _targets(weighed: WeighedFeedback) -> dict[tuple[str, str], set[str]]:
    """The raters of each answer and of each prompt cluster."""
    targets: dict[tuple[str, str], set[str]] = defaultdict(set)
    for piece in weighed.pieces:
        targets["answer", piece.message].add(piece.rater)
        targets["prompt", piece.prompt_cluster].add(piece.rater)
    return targets


def _groups(targets: Mapping[tuple[str, str], set[str]], raters: frozenset[str]) -> list[frozenset[str]]:
    shared: dict[tuple[str, str], int] = defaultdict(int)
    for members in targets.values():
        linked = sorted(members & raters)
        if len(linked) <= _MOST_LINKED:
            for pair in combinations(linked, 2):
                shared[pair] += 1
    group = {rater: {rater} for rater in raters}
    for (first, second), count in sorted(shared.items()):
        if count >= _IN_COMMON and group[first] is not group[second]:
            small, large = sorted((group[first], group[second]), key=len)
            large |= small
            group.update(dict.fromkeys(small, large))
    return [frozenset(members) for members in {id(members): members for members in group.values()}.values()]
