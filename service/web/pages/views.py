"""What the pages show, gathered from the tables and the rounds' folders; no HTML in here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from pipelines.curate.reasons import in_words
from pipelines.feedback.reasons import CONVERSATION_REASONS
from service.bases.records import list_bases
from service.engine.state import EngineView, engine_view
from service.models.promotion import TAINTED, objections
from service.obstacles import SILENT_SECONDS, Obstacle
from service.rounds.schedule import schedule_views
from service.settings import Settings
from service.store import models
from service.store.clock import database_time
from service.store.funnel import Funnel
from service.store.health import last_beat
from service.store.models import StoredModel
from service.store.rounds import list_rounds
from service.store.tables import Model, Promotion, Round, ServedForm
from service.web.pages.rounds import clock, latest_stages

_OPEN = ("requested", "running")


@dataclass(frozen=True)
class Step:
    """One bar of the funnel; `aside` marks those that left it."""

    name: str
    count: int
    aside: bool = False


@dataclass(frozen=True)
class ModelRow:
    """A model with what the page offers to do with it."""

    model: Model
    form: ServedForm | None
    size: str
    is_champion: bool
    is_serving: bool
    can_promote: bool
    can_override: bool


def overview_view(
    session: Session, settings: Settings, counts: Funnel, obstacles: Sequence[Obstacle]
) -> dict[str, Any]:
    """The overview: what stops the wheel, funnel, champion and engine, the newest round."""
    last = models.last_promotion(session)
    rounds = list_rounds(session, 50)
    running = next((one for one in rounds if one.state == "running"), None)
    latest = running or next(iter(rounds), None)
    return {
        "obstacles": obstacles,
        "champion": last,
        "engine": engine_of(session, settings),
        "running": running,
        "rounds_sentence": _rounds_sentence(rounds),
        "funnel": {"received": counts.received, "waiting": counts.waiting, "steps": _steps(counts)},
        "last_curated": counts.last_curated,
        "altered": counts.altered,
        "changes": counts.samples,
        "worker": _worker_sentence(last_beat(session), database_time(session)),
        "left_out": [(row, CONVERSATION_REASONS.get(row.reason) or in_words(row.reason)) for row in counts.left_out],
        "latest": latest,
        "latest_stages": latest_stages(session, settings, latest),
    }


def rounds_view(session: Session) -> dict[str, Any]:
    """All rounds, newest first, and the schedules that ask for them."""
    found = list_rounds(session)
    return {
        "rounds": [{**one.model_dump(), "took": _took(one.started_at, one.finished_at)} for one in found],
        "schedules": schedule_views(session),
    }


def models_view(session: Session, settings: Settings) -> dict[str, Any]:
    """All models, newest first, the history of promotions, and the bases that were adopted."""
    history: list[Promotion] = models.promotions(session)
    champion = history[-1].model_id if history else None
    engine = engine_of(session, settings)
    rows = [_model_row(session, entry, champion, engine) for entry in models.list_models(session)]
    tainted = TAINTED if any(row.model.tainted_at for row in rows) else None
    return {
        "models": rows,
        "history": history[::-1],
        "rollback_to": models.rollback_target(session),
        "tainted": tainted,
        "bases": list_bases(settings),
    }


def engine_of(session: Session, settings: Settings) -> EngineView:
    """The engine, and whether it serves the champion."""
    return engine_view(settings.home, models.champion_id(session))


def _steps(counts: Funnel) -> list[Step]:
    steps = [
        Step("Received", counts.received),
        Step("Clean", counts.clean),
        Step("With consent", counts.consented),
        Step("Waiting", counts.waiting, aside=True),
        Step("Rejected", counts.rejected, aside=True),
        Step("Quarantined", counts.quarantined, aside=True),
        Step("Erased", counts.erased, aside=True),
    ]
    if counts.snapshot_round is not None:
        steps[3:3] = [
            Step(f"Used in round {counts.snapshot_round}", counts.used),
            Step("Held out to measure", counts.held_out),
        ]
    return [step for step in steps if step.count or not step.aside]


def _rounds_sentence(rounds: Sequence[Round]) -> str:
    if not rounds:
        return "none was asked for yet"
    waiting = sum(one.state == "requested" for one in rounds)
    ended = next((one for one in rounds if one.state not in _OPEN), None)
    said = [f"{waiting} waiting"] if waiting else []
    return ", ".join([*said, f"the last one {ended.state}"] if ended else said) or "this is the first"


def _worker_sentence(seen: datetime | None, at: datetime) -> str:
    ago = None if seen is None else (at - seen).total_seconds()
    if ago is None or ago > SILENT_SECONDS:
        return "no worker runs: start `perennial worker`"
    return "a worker is at work"


def _model_row(session: Session, entry: StoredModel, champion: str | None, engine: EngineView) -> ModelRow:
    is_champion = entry.model.id == champion
    present = entry.form is not None and entry.form.collected_at is None
    against = [] if is_champion else objections(session, entry)
    return ModelRow(
        model=entry.model,
        form=entry.form,
        size=_size(entry.form.size_bytes) if entry.form else "",
        is_champion=is_champion,
        is_serving=entry.model.id == engine.model_id,
        can_promote=present and not is_champion and not against,
        can_override=present and not is_champion and bool(against),
    )


def _took(started: datetime | None, finished: datetime | None) -> str:
    if started is None:
        return ""
    return clock(((finished or datetime.now(UTC)) - started).total_seconds())


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
