"""A rule of weighing or of selection, in a tuple whose order is the order in which the rules are asked.

    Rule("young_account", "its account is too young; it counts in a later round", each(lambda piece, pool: ...))

`name` is what counts and files say, `sentence` what a person reads, `rejects` the predicate: what of its argument goes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

_Case = TypeVar("_Case")
_Verdict = TypeVar("_Verdict")


@dataclass(frozen=True)
class Rule(Generic[_Case, _Verdict]):
    """One rule: its name, the sentence that a person reads of what it rejects, and the predicate."""

    name: str
    sentence: str
    rejects: Callable[[_Case], _Verdict]


def first_against(rules: Iterable[Rule[_Case, bool]], case: _Case) -> str | None:
    """The name of the first rule that rejects this case; None where all let it pass. Later rules are not asked."""
    return next((rule.name for rule in rules if rule.rejects(case)), None)
