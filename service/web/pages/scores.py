"""The score table of an attempt: one row a check of the gate, its interval drawn on the one scale that all rows share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from pydantic import ValidationError

from pipelines.artifacts import read_manifest
from pipelines.errors import ArtifactError, RecipeError
from pipelines.gate.decide import Check, Verdict
from pipelines.recipe import GateRule
from pipelines.recipe_file import parse_recipe
from pipelines.suites.scores import PERPLEXITY
from service.store.tables import Round
from service.web.pages import charts

_METRIC = re.compile(r"\S+ \((\w+)\)")


@dataclass(frozen=True)
class ScoreRow:
    """One comparison of the gate, worded for a table; figures are points, of a perplexity percent."""

    suite: str
    metric: str
    against: str
    baseline: str
    candidate: str
    difference: str
    bounds: str
    items: str
    verdict: str
    drawing: Markup | None
    slices: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class ScoreTable:
    """The rows that have figures, the scale that their drawings share, and what is judged without any."""

    rows: tuple[ScoreRow, ...]
    scale: Markup | None
    others: tuple[ScoreRow, ...]


def score_table(row: Round, folder: Path) -> ScoreTable:
    """The table of an attempt; empty before its gate judged."""
    rules, checks = rules_of(row), read_checks(folder)
    drawn = [check for check in checks if _is_drawn(check)]
    limits = [limit for check in drawn for limit in (check.lower, check.upper, threshold(check, rules))]
    reach = charts.reach_of(limits) if drawn else None
    rows = [score_row(check, rules, reach) for check in checks]
    return ScoreTable(
        rows=tuple(one for one in rows if one.candidate),
        scale=None if reach is None else charts.scale(reach),
        others=tuple(one for one in rows if not one.candidate),
    )


def read_checks(folder: Path) -> Sequence[Check]:
    """The gate's checks of a finished attempt; none before, nor where another version wrote them otherwise."""
    try:
        manifest = read_manifest(folder / "gate")
        return Verdict.model_validate(manifest.output, extra="ignore").checks if manifest else ()
    except (ArtifactError, ValidationError):
        return ()


def metric_of(check: Check) -> str | None:
    """What a check measures its suite by; checks of earlier versions say it in their sentence only."""
    if check.metric is not None:
        return check.metric
    named = _METRIC.match(check.reason)
    return named[1] if named else None


def threshold(check: Check, rules: Sequence[GateRule]) -> float | None:
    """What the lower bound must stay above, in points; None where a check has no interval."""
    rule = next((one for one in rules if one.suite == check.suite), None)
    if rule is None or check.baseline not in ("champion", "origin"):
        return None
    margin = None if rule.margin is None else -float(getattr(rule.margin, check.baseline))
    floor = None if rule.floor_below_origin is None else -rule.floor_below_origin
    return {"margin": margin, "older": margin, "min_gain": rule.min_gain, "floor_below_origin": floor}.get(
        check.criterion
    )


def rules_of(row: Round) -> Sequence[GateRule]:
    """The gates of a round's recipe; none where this version cannot read it."""
    try:
        return parse_recipe(row.recipe, f"of round {row.id}").gates
    except RecipeError:
        return ()


def score_row(check: Check, rules: Sequence[GateRule], reach: float | None = None) -> ScoreRow:
    """A check as a row of the table; without a `reach` it is drawn on a scale of its own."""
    drawing = None
    if _is_drawn(check):
        assert check.difference is not None and check.lower is not None and check.upper is not None
        drawing = charts.interval(check.difference, check.lower, check.upper, threshold(check, rules), reach)
    unit = " %" if metric_of(check) == PERPLEXITY else ""
    return ScoreRow(
        suite=check.suite,
        metric=metric_of(check) or check.criterion.replace("_", " "),
        against=check.baseline or "",
        baseline=points(check.reference),
        candidate=points(check.candidate),
        difference=signed(check.difference, unit),
        bounds=f"{signed(check.lower)} to {signed(check.upper, unit)}" if check.lower is not None else "",
        items=f"{check.n:,}" if check.n is not None else "",
        verdict=check.outcome,
        drawing=drawing,
        slices=tuple(one.sentence for one in check.slices),
        reason=check.reason,
    )


def points(value: float | None) -> str:
    """A score with one place."""
    return "" if value is None else f"{value:.1f}"


def signed(value: float | None, unit: str = "") -> str:
    """A difference with its sign."""
    return "" if value is None else f"{value:+.1f}{unit}"


def _is_drawn(check: Check) -> bool:
    """Whether it has an interval in points: percent of a perplexity have another scale."""
    return None not in (check.difference, check.lower, check.upper) and metric_of(check) != PERPLEXITY
