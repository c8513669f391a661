"""What the page of a round shows: its stages as they go, its loss, its scores with their intervals."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from pydantic import ValidationError
from sqlmodel import Session

from pipelines.artifacts import read_manifest
from pipelines.errors import ArtifactError, RecipeError
from pipelines.gate.decide import Check, Verdict
from pipelines.progress import number_of
from pipelines.recipe import GateRule
from pipelines.recipe_file import parse_recipe
from pipelines.stages import STAGES
from service.rounds.left import stage_lines, time_left
from service.settings import Settings
from service.store import rounds
from service.store.tables import Attempt, Model, Round, Stage
from service.web.pages import charts
from service.web.pages.preferences import PreferenceView, preference_view


@dataclass(frozen=True)
class StageView:
    """One stage of an attempt: pending, running, done or stopped."""

    name: str
    title: str
    state: str
    share: float
    detail: str
    clock: str


@dataclass(frozen=True)
class ScoreRow:
    """One comparison of the gate, worded for a table; figures are points."""

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


@dataclass(frozen=True)
class AttemptView:
    """One attempt of a round, as its page shows it."""

    number: int
    verdict: str | None
    reasons: Sequence[str]
    stages: Sequence[StageView]
    curve: Markup | None
    scores: Sequence[ScoreRow]
    preference: PreferenceView | None
    model_id: str | None
    left: str


def round_view(session: Session, settings: Settings, round_id: int) -> dict[str, Any]:
    """One round with its attempts, newest first. Raises NotFound."""
    row = rounds.get_round(session, round_id)
    made = rounds.models_of(session, round_id)
    attempts = rounds.attempts(session, round_id)
    views = [_attempt_view(session, settings, row, one, made) for one in reversed(attempts)]
    return {"round": row, "attempts": views}


def latest_stages(session: Session, settings: Settings, row: Round | None) -> list[StageView]:
    """The stages of a round's newest attempt."""
    attempts = rounds.attempts(session, row.id) if row and row.id else []
    if row is None or not attempts:
        return [StageView(name, title, "pending", 0.0, "", "") for name, title in _shown_stages(row)]
    last = attempts[-1]
    return _stages(row, last, rounds.stages(session, last.id or 0), settings.home / last.folder)


def _attempt_view(
    session: Session, settings: Settings, row: Round, attempt: Attempt, made: Sequence[Model]
) -> AttemptView:
    folder, rules = settings.home / attempt.folder, _rules(row)
    model = next((one for one in made if one.id.endswith(f"-a{attempt.number}")), None)
    done = rounds.stages(session, attempt.id or 0)
    return AttemptView(
        number=attempt.number,
        verdict=attempt.verdict,
        reasons=attempt.reasons,
        stages=_stages(row, attempt, done, folder),
        curve=_curve(folder),
        scores=[_score_row(check, rules) for check in _checks(folder)],
        preference=preference_view(folder),
        model_id=model.id if model else None,
        left=_round_left(row, attempt, done, folder),
    )


def _stages(row: Round, attempt: Attempt, done: Sequence[Stage], folder: Path) -> list[StageView]:
    """Every stage of the spine in order; those that a skipped round never reached stay pending."""
    finished = {stage.name: stage for stage in done}
    live = row.state == "running" and attempt.state == "running"
    views = []
    for name, title in _shown_stages(row):
        if name in finished:
            views.append(StageView(name, title, "done", 1.0, "", clock(finished[name].seconds)))
        elif name == row.stage and (live or row.state in ("error", "cancelled")):
            line: Mapping[str, Any] = next(reversed(stage_lines(folder, name)), {})
            share = _share(line)
            detail = str(line.get("message", "")) or (f"{share:.0%}" if _counted(line) else "")
            left = time_left(folder, finished, name).stage if live else None
            detail = ", ".join(filter(None, [detail, f"about {clock(left)} left" if left is not None else ""]))
            views.append(StageView(name, title, "running" if live else "stopped", share, detail, _counted(line)))
        else:
            views.append(StageView(name, title, "pending", 0.0, "", ""))
    return views


def _shown_stages(row: Round | None) -> list[tuple[str, str]]:
    """The spine's stages with their titles; without `preference` in the recipe learning from thumbs has nothing to show."""
    try:
        learns = row is not None and parse_recipe(row.recipe, f"of round {row.id}").preference is not None
    except RecipeError:
        learns = False
    return [(stage.name, stage.title) for stage in STAGES if learns or stage.name != "prefer"]


def _round_left(row: Round, attempt: Attempt, done: Sequence[Stage], folder: Path) -> str:
    """How long the round still takes, in words; empty where it does not run, or that cannot be said."""
    if row.state != "running" or attempt.state != "running" or row.stage is None:
        return ""
    total = time_left(folder, {stage.name for stage in done}, row.stage).total
    return "" if total is None else f"About {clock(total)} left in all."


def _share(line: Mapping[str, Any]) -> float:
    total = float(line.get("total", 0))
    return float(line.get("done", 0)) / total if total else 0.0


def _counted(line: Mapping[str, Any]) -> str:
    return f"{line['done']:g} of {line['total']:g}" if float(line.get("total", 0)) > 1 else ""


def _curve(folder: Path) -> Markup | None:
    """The finished history of losses; while training goes on, what its progress file tells."""
    history = folder / "train" / "loss_history.csv"
    if history.is_file():
        with history.open(encoding="utf-8", errors="replace", newline="") as file:
            lines: Sequence[Mapping[str, Any]] = list(csv.DictReader(file))
        step = "step"
    else:
        lines, step = stage_lines(folder, "train"), "done"
    name = f"losses-{folder.name}"
    return charts.loss_curve(_points_of(lines, step, "loss"), _points_of(lines, step, "dev_loss"), name)


def _points_of(lines: Sequence[Mapping[str, Any]], x: str, y: str) -> list[charts.Point]:
    numbers = [(number_of(line.get(x)), number_of(line.get(y))) for line in lines]
    return [(step, value) for step, value in numbers if step is not None and value is not None]


def _checks(folder: Path) -> Sequence[Check]:
    """The gate's checks of a finished attempt; none before, nor where another version wrote them otherwise."""
    try:
        manifest = read_manifest(folder / "gate")
        return Verdict.model_validate(manifest.output, extra="ignore").checks if manifest else ()
    except (ArtifactError, ValidationError):
        return ()


def _threshold(check: Check, rules: Sequence[GateRule]) -> float | None:
    """What the lower bound must stay above, in points; None where a check has no interval."""
    rule = next((one for one in rules if one.suite == check.suite), None)
    if rule is None or check.baseline not in ("champion", "origin"):
        return None
    margin = None if rule.margin is None else -float(getattr(rule.margin, check.baseline))
    floor = None if rule.floor_below_origin is None else -rule.floor_below_origin
    return {"margin": margin, "older": margin, "min_gain": rule.min_gain, "floor_below_origin": floor}.get(
        check.criterion
    )


def _rules(row: Round) -> Sequence[GateRule]:
    try:
        return parse_recipe(row.recipe, f"of round {row.id}").gates
    except RecipeError:
        return ()


def _score_row(check: Check, rules: Sequence[GateRule]) -> ScoreRow:
    drawing = None
    if check.difference is not None and check.lower is not None and check.upper is not None:
        drawing = charts.interval(check.difference, check.lower, check.upper, _threshold(check, rules))
    return ScoreRow(
        suite=check.suite,
        metric=check.criterion.replace("_", " "),
        against=check.baseline or "",
        baseline=_points(check.reference),
        candidate=_points(check.candidate),
        difference=_signed(check.difference),
        bounds=f"{_signed(check.lower)} to {_signed(check.upper)}" if check.lower is not None else "",
        items=f"{check.n:,}" if check.n is not None else "",
        verdict=check.outcome,
        drawing=drawing,
    )


def clock(seconds: float) -> str:
    """A time span in words."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {whole % 60:02d} s"


def _points(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f}"
