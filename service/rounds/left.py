"""How much longer a round takes: of the running stage by its own pace, of those to come by a forecast kept beside them.

var/rounds/0007/attempt-1/forecast.json    [{"name": "train", "seconds": 1860.0, "ground": "rounds"}, ...]

The forecast is written when the snapshot is taken, and again after training, which shows how fast this machine is.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlmodel import Session

from pipelines.artifacts import read_manifest, write_atomic
from pipelines.errors import PerennialError
from pipelines.forecast.hours import RoundWork, Speed, StageTime, stage_times
from pipelines.forecast.model_size import shape_of
from pipelines.forecast.preference import Thumbs, plan_preference
from pipelines.progress import PROGRESS_FILE, number_of, read_progress
from pipelines.recipe import GUARD_SUITE, Recipe
from pipelines.records import Record
from pipelines.stages import STAGES
from pipelines.stages.mix import asked_shares
from pipelines.stages.snapshot import SnapshotOutput
from pipelines.suites.folder import open_folders
from service.rounds.timing import count_items, find_pace, item_characters, seen_speed, speed_of, stage_rates
from service.settings import Settings

_FORECAST = "forecast.json"
_TIMES = TypeAdapter(tuple[StageTime, ...])
_PACE_SECONDS = 60.0  # a pace is that of about the last minute: a first step is often slow
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class TimeLeft(Record):
    """Seconds left of the running stage and of the round; None where that cannot be said."""

    stage: float | None
    total: float | None


def note_forecast(session: Session, settings: Settings, recipe: Recipe, attempt: Path) -> None:
    """Keep in the attempt's folder how long its stages should take, if there is anything to go by."""
    try:
        times = _forecast(session, settings, recipe, attempt)
    except (PerennialError, ValidationError) as error:  # what is wrong, the stage that needs it says
        _log.warning("no_forecast", why=str(error).splitlines()[0])
        return
    if times:
        write_atomic(attempt / _FORECAST, _TIMES.dump_json(times).decode())


def time_left(attempt: Path, done: Collection[str], running: str, now: float | None = None) -> TimeLeft:
    """How much longer, while the stage `running` runs and the stages `done` have ended. Files alone are read."""
    now = time.time() if now is None else now
    forecast = {one.name: one.seconds for one in _kept(attempt)}
    lines = [line for line in stage_lines(attempt, running) if number_of(line.get("time")) is not None]
    stage = _by_pace(lines, now)
    if stage is None and running in forecast:
        elapsed = now - float(lines[0]["time"]) if lines else 0.0
        stage = max(0.0, forecast[running] - elapsed)
    names = [one.name for one in STAGES]
    behind = names[names.index(running) + 1 :] if running in names else []
    later = sum(forecast.get(name, 0.0) for name in behind if name not in done)
    return TimeLeft(stage=stage, total=None if stage is None or not forecast else stage + later)


def stage_lines(attempt: Path, stage: str) -> Sequence[Mapping[str, Any]]:
    """The progress of a stage, finished or being written."""
    paths = [attempt / stage / PROGRESS_FILE, *attempt.glob(f"{stage}.*.tmp/{PROGRESS_FILE}")]
    newest = max((path for path in paths if path.is_file()), key=lambda path: path.parent.name.count("."), default=None)
    return [] if newest is None else read_progress(newest)


def _by_pace(lines: Sequence[Mapping[str, Any]], now: float) -> float | None:
    """Seconds left by what the last minute did; None before there is a pace. A stage's own start and end are no work."""
    steps = [line for line in lines if float(line["total"]) > 1]
    if not steps:
        return None
    last = steps[-1]
    since = next(line for line in steps if float(last["time"]) - float(line["time"]) <= _PACE_SECONDS)
    if since is last and len(steps) > 1:
        since = steps[-2]
    done, seconds = float(last["done"]) - float(since["done"]), float(last["time"]) - float(since["time"])
    if done <= 0 or seconds <= 0:
        return None
    left = (float(last["total"]) - float(last["done"])) * seconds / done
    return max(0.0, left - (now - float(last["time"])))


def _kept(attempt: Path) -> Sequence[StageTime]:
    try:
        return _TIMES.validate_json((attempt / _FORECAST).read_bytes())
    except (OSError, ValidationError):
        return ()


def _forecast(session: Session, settings: Settings, recipe: Recipe, attempt: Path) -> tuple[StageTime, ...]:
    manifest = read_manifest(attempt / "snapshot")
    if manifest is None:
        return ()
    taken, base = SnapshotOutput.model_validate(manifest.output), settings.project / recipe.base.model
    here = base if (base / "config.json").is_file() else None
    named = [name for name in recipe.evaluate.suites if name != GUARD_SUITE]
    suites = open_folders(settings.suite_folders, named)
    shape = shape_of(recipe.base.model, here)
    lead, share = next(iter(asked_shares(recipe).items()))
    tokens = taken.tokens["new"] + (taken.tokens["replay"] if lead == "user" else 0)
    found = taken.feedback
    thumbs = Thumbs(pairs=sum(found.pairs.values()), good=found.good, bad=found.bad)
    amounts = {
        "snapshot": taken.received,
        "mix": taken.examples / share,
        "train": tokens / share * recipe.train.epochs,
        "prefer": plan_preference(recipe.preference, thumbs).answers if recipe.preference else 0,
        "evaluate": count_items(recipe, suites.sizes, taken.heldout),
    }
    work = RoundWork(
        amounts=amounts,
        parameters=shape.parameters if shape else None,
        origin_ready=False,
        item_characters=item_characters(recipe, suites),
    )
    rates = stage_rates(session, settings, recipe, suites.sizes)
    return stage_times(work, rates, _speed(session, settings, recipe, here, attempt), {})


def _speed(session: Session, settings: Settings, recipe: Recipe, base: Path | None, attempt: Path) -> Speed | None:
    """How fast this machine is, by this round's training, else by an earlier timing or round."""
    trained = read_manifest(attempt / "train")
    if trained is not None:
        return speed_of(trained)
    pace = find_pace(settings, base, recipe.train, timed=False)[0] if base else None
    return Speed(pace.read, pace.start) if pace else seen_speed(session, settings, recipe)
