"""Caps on shares that nobody raises by flooding: the level at which no one holds more than a share of what then remains."""

from collections.abc import Sequence
from typing import Literal

from pipelines.errors import DataError

AUTO_FROM_PEOPLE = 20
_AUTO_SHARE = 0.005
_OVER_FAIR_SHARE = 3
_SLACK = 1e-9


def cap_share(wanted: Literal["auto"] | float, people: int) -> float | None:
    """The share of the whole that one person may hold; auto: 0.005. Never below 3 / people, so that it bites on outliers.

    None below 20 people under `auto`, and where the share allows everything.
    """
    if people == 0 or (wanted == "auto" and people < AUTO_FROM_PEOPLE):
        return None
    share = max(_AUTO_SHARE if wanted == "auto" else wanted, _OVER_FAIR_SHARE / people)
    return share if share < 1 else None


def cap_level(amounts: Sequence[int], share: float) -> float:
    """The level c with c = share * sum(min(amount, c)); share * len(amounts) must be at least 1.

    Raises:
        DataError: the share is too small for that many.
    """
    largest_first = sorted(amounts, reverse=True)
    rest = float(sum(largest_first))
    for capped, amount in enumerate(largest_first):
        level = share * rest / (1 - share * capped)
        if amount <= level * (1 + _SLACK):
            return level
        rest -= amount
    raise DataError(f"a share of {share} for each of {len(amounts)} cannot be met")
