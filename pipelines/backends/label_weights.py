"""How much a good and a bad answer count in KTO and BCO."""

from typing import Literal

_HIGHEST = 4 / 3


def balanced_weights(
    good: float, bad: float, desirable: Literal["auto"] | float, undesirable: Literal["auto"] | float
) -> tuple[float, float]:
    """(desirable, undesirable) with desirable x good : undesirable x bad between 1:1 and 4:3; given figures stay.

    Section 4.2 of the KTO paper (arXiv:2402.01306) finds this range. `auto` stays 1 where it can; else the weight of the
    rarer label grows to the nearer end of the range.

    Args:
        good, bad: how many answers of each label all steps read, each counted with its own weight; above 0.
    """
    if desirable != "auto" and undesirable != "auto":
        return desirable, undesirable
    first = 1.0 if desirable == "auto" else desirable
    second = 1.0 if undesirable == "auto" else undesirable
    ratio = first * good / (second * bad)
    wanted = min(max(ratio, 1.0), _HIGHEST)
    raise_good = desirable == "auto" and (ratio < wanted or undesirable != "auto")
    return (first * wanted / ratio, second) if raise_good else (first, second * ratio / wanted)
