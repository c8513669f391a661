"""What the page of a round shows: its stages as they go, its curves, what it came to, and what it left behind."""

import csv
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup
from sqlmodel import Session

from pipelines.errors import RecipeError
from pipelines.progress import number_of
from pipelines.recipe import Stops
from pipelines.recipe_file import parse_recipe
from pipelines.stages import STAGES
from pipelines.suites.probes import Probe
from service.rounds.files import RoundFile, list_files
from service.rounds.left import stage_lines, time_left
from service.settings import Settings
from service.store import rounds
from service.store.tables import Attempt, Model, Round, Stage
from service.web.pages import charts
from service.web.pages.outcome import Outcome, outcome_of, read_facts
from service.web.pages.preferences import PreferenceView, preference_view
from service.web.pages.scores import ScoreTable, read_checks, score_table
from service.web.pages.stops import stop_lines
from service.web.pages.words import N_

# words of tables and recipes that the templates translate
SAID = (
    *(N_("requested"), N_("running"), N_("passed"), N_("failed"), N_("inconclusive"), N_("skipped"), N_("cancelled")),
    *(N_("error"), N_("champion"), N_("origin"), N_("user"), N_("general"), N_("coding"), N_("reasoning")),
)


@dataclass(frozen=True)
class StageView:
    """One stage of an attempt: pending, running, done or stopped; `since` is when it began, if it runs."""

    name: str
    title: str
    state: str
    share: float
    detail: str
    clock: str
    since: float | None = None
    elapsed: str = ""


@dataclass(frozen=True)
class Change:
    """A key of the recipe that one attempt, or one round, has otherwise than another."""

    key: str
    before: str
    after: str


@dataclass(frozen=True)
class AttemptView:
    """One attempt of a round, as its page shows it."""

    number: int
    state: str
    verdict: str | None
    reasons: Sequence[str]
    stages: Sequence[StageView]
    curve: Markup | None
    learning: Markup | None
    stops: Markup | None
    scores: ScoreTable
    outcome: Outcome
    preference: PreferenceView | None
    model_id: str | None
    left: str
    changes: Sequence[Change]
    files: Sequence[RoundFile]


def round_view(session: Session, settings: Settings, round_id: int) -> dict[str, Any]:
    """One round with its attempts, newest first. Raises NotFound."""
    row = rounds.get_round(session, round_id)
    made = rounds.models_of(session, round_id)
    attempts = rounds.attempts(session, round_id)
    views = [_attempt_view(session, settings, row, one, made) for one in reversed(attempts)]
    snapshot = rounds.get_snapshot(session, round_id)
    return {
        "round": row,
        "attempts": views,
        "is_open": row.state in rounds.OPEN_STATES,
        "since": row.started_at.timestamp() if row.started_at and row.state == "running" else None,
        "took": took(row.started_at, row.finished_at),
        "snapshot": snapshot.digest if snapshot else None,
    }


def latest_stages(session: Session, settings: Settings, row: Round | None) -> list[StageView]:
    """The stages of a round's newest attempt."""
    attempts = rounds.attempts(session, row.id) if row and row.id else []
    if row is None or not attempts:
        return [StageView(name, title, "pending", 0.0, "", "") for name, title in _shown_stages(row)]
    last = attempts[-1]
    return _stages(row, last, rounds.stages(session, last.id or 0), settings.home / last.folder)


def took(started: datetime | None, finished: datetime | None) -> str:
    """How long something took, or takes so far; empty before it began."""
    if started is None:
        return ""
    return clock(((finished or datetime.now(UTC)) - started).total_seconds())


def recipe_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The keys that two recipes have otherwise, as they stand in a recipe: `train.learning_rate`."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    keys = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
    return [Change(key, old.get(key, "not set"), new.get(key, "not set")) for key in keys]


def clock(seconds: float) -> str:
    """A time span in words."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {whole % 60:02d} s"


def _attempt_view(
    session: Session, settings: Settings, row: Round, attempt: Attempt, made: Sequence[Model]
) -> AttemptView:
    folder, checks = settings.home / attempt.folder, read_checks(settings.home / attempt.folder)
    model = next((one for one in made if one.id.endswith(f"-a{attempt.number}")), None)
    done = rounds.stages(session, attempt.id or 0)
    return AttemptView(
        number=attempt.number,
        state=attempt.state,
        verdict=attempt.verdict,
        reasons=attempt.reasons,
        stages=_stages(row, attempt, done, folder),
        curve=_curve(folder),
        learning=_preference_curve(folder),
        stops=_stop_curve(row, folder),
        scores=score_table(row, folder),
        outcome=outcome_of(attempt.verdict or "", checks, read_facts(folder)),
        preference=preference_view(folder),
        model_id=model.id if model else None,
        left=_round_left(row, attempt, done, folder),
        changes=_remedy(folder, attempt.number),
        files=list_files(settings, row.id or 0, attempt.number),
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
            views.append(_begun_stage(name, title, folder, finished, live))
        else:
            views.append(StageView(name, title, "pending", 0.0, "", ""))
    return views


def _begun_stage(name: str, title: str, folder: Path, finished: Mapping[str, Stage], live: bool) -> StageView:
    """The stage that runs, or in which the round ended."""
    lines = stage_lines(folder, name)
    line: Mapping[str, Any] = next(reversed(lines), {})
    share = _share(line)
    detail = str(line.get("message", "")) or (f"{share:.0%}" if _counted(line) else "")
    left = time_left(folder, finished, name).stage if live else None
    detail = ", ".join(filter(None, [detail, f"about {clock(left)} left" if left is not None else ""]))
    since = number_of(lines[0].get("time")) if live and lines else None
    elapsed = clock(max(0.0, time.time() - since)) if since is not None else ""
    return StageView(name, title, "running" if live else "stopped", share, detail, _counted(line), since, elapsed)


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
    return "" if total is None else clock(total)


def _share(line: Mapping[str, Any]) -> float:
    total = float(line.get("total", 0))
    return float(line.get("done", 0)) / total if total else 0.0


def _counted(line: Mapping[str, Any]) -> str:
    return f"{line['done']:g} of {line['total']:g}" if float(line.get("total", 0)) > 1 else ""


def _curve(folder: Path) -> Markup | None:
    """Losses of learning from answers."""
    lines, step = _history(folder, "train", "loss_history.csv")
    return charts.loss_curve(_points(lines, step, "loss"), _points(lines, step, "dev_loss"), f"losses-{folder.name}")


def _preference_curve(folder: Path) -> Markup | None:
    """Losses of learning from thumbs."""
    lines, step = _history(folder, "prefer", "preference_history.csv")
    return charts.loss_curve(_points(lines, step, "loss"), (), f"thumbs-{folder.name}")


def _stop_curve(row: Round, folder: Path) -> Markup | None:
    """How much of what each stop rule allows was used; at 100 the run stops."""
    lines, step = _history(folder, "prefer", "preference_history.csv")
    looks = [(number_of(line.get(step)), _probe(line)) for line in lines]
    try:
        preference = parse_recipe(row.recipe, f"of round {row.id}").preference
    except RecipeError:
        preference = None
    stops = preference.stops if preference else Stops()
    seen = [(at, probe) for at, probe in looks if at is not None and probe is not None]
    return charts.curve(stop_lines(seen, stops), f"stops-{folder.name}", " (%)")


def _probe(line: Mapping[str, Any]) -> Probe | None:
    """The figures that the stop rules look at, of a line that has some."""
    figures = {name: number_of(line.get(name)) for name in Probe.model_fields}
    return Probe.model_validate(figures) if any(value is not None for value in figures.values()) else None


def _history(folder: Path, stage: str, name: str) -> tuple[Sequence[Mapping[str, Any]], str]:
    """The finished history of a stage, and which column counts its steps; while it goes on, what its progress tells."""
    history = folder / stage / name
    if not history.is_file():
        return stage_lines(folder, stage), "done"
    with history.open(encoding="utf-8", errors="replace", newline="") as file:
        return list(csv.DictReader(file)), "step"


def _points(lines: Sequence[Mapping[str, Any]], x: str, y: str) -> list[charts.Point]:
    numbers = [(number_of(line.get(x)), number_of(line.get(y))) for line in lines]
    return [(step, value) for step, value in numbers if step is not None and value is not None]


def _remedy(folder: Path, number: int) -> list[Change]:
    """What the recipe of this attempt has otherwise than the one before."""
    before, after = (read_recipe_record(folder.parent / f"attempt-{one}") for one in (number - 1, number))
    return recipe_changes(before, after) if before and after else []


def read_recipe_record(attempt: Path) -> dict[str, Any]:
    """The recipe that an attempt ran with, key by key; empty where there is none."""
    try:
        record: dict[str, Any] = json.loads((attempt / "recipe.json").read_text(encoding="utf-8"))
        return record
    except (OSError, ValueError):
        return {}


def _leaves(record: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in record.items():
        place = f"{path}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{place}.")
        elif value is not None:
            yield place, json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
