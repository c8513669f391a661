"""What the pages of models show, gathered from the tables and the rounds' folders; no HTML in here."""

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from pipelines.errors import InputError
from service.bases.records import list_bases
from service.engine.state import EngineView, engine_view
from service.models.contributions import People, count_people
from service.models.downloads import list_downloads
from service.models.promotion import TAINTED, objections
from service.models.targets.deploy import TargetView, list_targets
from service.settings import Settings
from service.store import models, rounds
from service.store.models import StoredModel
from service.store.tables import Model, Promotion, ServedForm
from service.web.pages.outcome import Outcome, outcome_of, read_facts
from service.web.pages.scores import ScoreTable, read_checks, score_table


@dataclass(frozen=True)
class ModelRow:
    """A model with what the pages offer to do with it."""

    model: Model
    form: ServedForm | None
    is_champion: bool
    is_serving: bool
    can_promote: bool
    can_override: bool


@dataclass(frozen=True)
class Answered:
    """A question, the answer that people rated well where there is one, and what models said, by their ids."""

    question: str
    rated: str | None
    said: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Result:
    """What a candidate came to in its round: gains, what it kept and costs, and the scores with their intervals."""

    outcome: Outcome
    scores: ScoreTable


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
        "targets": targets_of(session, settings),
    }


def model_view(session: Session, settings: Settings, model_id: str) -> dict[str, Any]:
    """One model with its files, those it learned from as numbers, and when it answered. Raises NotFound."""
    entry = models.get_model(session, model_id)
    history = models.promotions(session)
    champion = history[-1].model_id if history else None
    against = [] if champion == model_id else objections(session, entry)
    people: People = count_people(session, model_id)
    return {
        "row": _model_row(session, entry, champion, engine_of(session, settings)),
        "champion": champion,
        "rollback_to": models.rollback_target(session) if champion == model_id else None,
        "objections": against,
        "result": result_of(session, settings, entry.model),
        "judged_against": models.judged_against(session, entry.model),
        "people": people,
        "tainted": TAINTED if entry.model.tainted_at else None,
        "downloads": list_downloads(settings, entry),
        "reigns": [row for row in reversed(history) if model_id in (row.model_id, row.previous_id)],
    }


def result_of(session: Session, settings: Settings, model: Model) -> Result | None:
    """What the attempt that made a model came to; None where no round did, or it left no verdict."""
    if model.round_id is None:
        return None
    turn = rounds.get_round(session, model.round_id)
    attempts = rounds.attempts(session, model.round_id)
    attempt = next((one for one in attempts if model.id.endswith(f"-a{one.number}")), None)
    if attempt is None or attempt.verdict is None:
        return None
    folder = settings.home / attempt.folder
    outcome = outcome_of(attempt.verdict, read_checks(folder), read_facts(folder))
    return Result(outcome, score_table(turn, folder))


def targets_of(session: Session, settings: Settings) -> tuple[list[TargetView], str]:
    """The deploy targets and what answers at each, and why there are none to show where their file cannot be used."""
    try:
        return list_targets(settings, session), ""
    except InputError as error:
        return [], settings.without_paths(str(error))


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
        is_champion=is_champion,
        is_serving=entry.model.id == engine.model_id,
        can_promote=present and not is_champion and not against,
        can_override=present and not is_champion and bool(against),
    )
