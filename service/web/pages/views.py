"""What the pages show, gathered from the tables and the rounds' folders; no HTML in here."""

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from service.bases.records import list_bases
from service.engine.state import EngineView, engine_view
from service.models.promotion import TAINTED, objections
from service.rounds.schedule import schedule_views
from service.settings import Settings
from service.store import models
from service.store.models import StoredModel
from service.store.rounds import list_rounds
from service.store.tables import Model, Promotion, ServedForm
from service.web.pages.rounds import took


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


def rounds_view(session: Session) -> dict[str, Any]:
    """All rounds, newest first, and the schedules that ask for them."""
    found = list_rounds(session)
    return {
        "rounds": [{**one.model_dump(), "took": took(one.started_at, one.finished_at)} for one in found],
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


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
