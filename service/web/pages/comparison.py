"""Two rounds side by side: what their newest attempts came to, and what their recipes had otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from pipelines.suites.scores import PERPLEXITY
from service.settings import Settings
from service.store import rounds
from service.store.tables import Round
from service.web.pages.outcome import Outcome, outcome_of, read_facts
from service.web.pages.rounds import read_recipe_record, recipe_changes, took
from service.web.pages.scores import points, read_checks, signed


@dataclass(frozen=True)
class Side:
    """One of the two rounds."""

    round: Round
    verdict: str | None
    took: str
    outcome: Outcome
    recipe: Mapping[str, Any]


@dataclass(frozen=True)
class SuiteRow:
    """One suite under both candidates; `difference` is of the second from the first."""

    suite: str
    metric: str
    first: str
    second: str
    difference: str
    better: str


def compare_rounds(session: Session, settings: Settings, first: int, second: int) -> dict[str, Any]:
    """Both rounds with their scores by suite. Raises NotFound."""
    a, b = (_side(session, settings, number) for number in (first, second))
    return {"a": a, "b": b, "rows": _rows(a, b), "changes": recipe_changes(a.recipe, b.recipe)}


def _side(session: Session, settings: Settings, number: int) -> Side:
    row = rounds.get_round(session, number)
    last = next(reversed(rounds.attempts(session, number)), None)
    folder = settings.home / last.folder if last else settings.rounds / "none"
    verdict = last.verdict if last else None
    return Side(
        round=row,
        verdict=verdict,
        took=took(row.started_at, row.finished_at),
        outcome=outcome_of(verdict or "", read_checks(folder), read_facts(folder)),
        recipe=read_recipe_record(folder),
    )


def _rows(a: Side, b: Side) -> list[SuiteRow]:
    """Every suite that one of the two measured."""
    scores = [side.outcome.facts.scores if side.outcome.facts else {} for side in (a, b)]
    rows = []
    for name in dict.fromkeys(key for one in scores for key in one):
        old, new = (one.get(name) for one in scores)
        known = old or new
        assert known is not None
        gap = round(new.candidate - old.candidate, 1) + 0.0 if old and new else None  # no -0.0, and no winner by less
        sign = -1 if known.metric == PERPLEXITY else 1
        better = "" if not gap else "second" if sign * gap > 0 else "first"
        first, second = (points(one.candidate if one else None) for one in (old, new))
        rows.append(SuiteRow(known.suite, known.metric, first, second, signed(gap), better))
    return rows
