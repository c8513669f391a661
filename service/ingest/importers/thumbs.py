"""Which scores of other programs are thumbs, and which way they point: --score user-feedback --up 1, --up '>=4'."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.errors import InputError

Thumb = Literal["up", "down"]
_WORDS: dict[str, Thumb] = {
    **dict.fromkeys(
        ("up", "thumbsup", "thumbup", "upvote", "like", "liked", "good", "positive", "true", "yes", "👍"), "up"
    ),
    **dict.fromkeys(("down", "thumbsdown", "thumbdown", "downvote", "dislike", "disliked", "bad", "negative"), "down"),
    **dict.fromkeys(("false", "no", "👎"), "down"),
}
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Thumbs:
    """The scores that are thumbs by their names, and which values point up or down; all that is not up is down without `down`."""

    scores: frozenset[str] = frozenset()
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()

    def of(self, name: str | None, value: Any) -> Thumb | None:
        """Which way a score of this name points; None where it is no thumb."""
        if value is None or (name is not None and name not in self.scores):
            return None
        if not self.up:
            return as_thumb(value)
        if any(_fits(rule, value) for rule in self.up):
            return "up"
        return "down" if not self.down or any(_fits(rule, value) for rule in self.down) else None


def as_thumb(value: Any) -> Thumb | None:
    """Up or down, for a value that is a thumb in any usual spelling: true, 1, 0, -1, "thumbs_up"; None for any other."""
    number = _number(value)
    if number is not None:
        return "up" if number == 1 else "down" if number in (0, -1) else None
    return _WORDS.get(re.sub(r"[\s_-]", "", value.casefold())) if isinstance(value, str) else None


def read_thumbs(scores: Sequence[str], up: Sequence[str], down: Sequence[str]) -> Thumbs:
    """The thumbs as they were typed.

    Raises:
        InputError: values that point down without any that point up, or a comparison with what is no number.
    """
    if down and not up:
        raise InputError(f"--down {down[0]} says nothing without --up: name the values that point up too")
    for rule in (*up, *down):
        sign, number = _comparison(rule)
        if sign and number is None:
            raise InputError(f"{rule[:40]!r} compares with no number; write e.g. '>=4'")
    return Thumbs(frozenset(scores), tuple(up), tuple(down))


def _comparison(rule: str) -> tuple[str, float | None]:
    found = re.match(r"(>=|<=|>|<)(.*)", rule.strip())
    return (found[1], _number(found[2])) if found else ("", None)


def _fits(rule: str, value: Any) -> bool:
    sign, bound = _comparison(rule)
    number = _number(value)
    if sign:
        return bound is not None and number is not None and _COMPARED[sign](number, bound)
    wanted = _number(rule)
    if wanted is not None and number is not None:
        return wanted == number
    return str(value).strip().casefold() == rule.strip().casefold()


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
