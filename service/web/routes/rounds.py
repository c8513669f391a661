"""Rounds over HTTP: ask for one, follow it, cancel it. Carrying one out is the worker's."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from pipelines.errors import Conflict
from pipelines.recipe_file import parse_recipe
from service.rounds import requests
from service.rounds.permission import check_permission
from service.rounds.requests import AttemptView, RoundView
from service.store.tables import Round
from service.web.auth import EveryAppReader, RoundsCaller
from service.web.deps import SettingsDep, StoreDep

router = APIRouter(tags=["rounds"])
MAX_RECIPE = 100_000


class RoundIn(BaseModel):
    """A recipe by its name in data/recipes, or as YAML text."""

    model_config = ConfigDict(extra="forbid")

    recipe: str = Field(min_length=1, max_length=MAX_RECIPE)


class RoundOut(BaseModel):
    """A round in one line. `stage` is the last that was started; `message` says why it ended as it did."""

    id: int
    recipe: str
    state: str
    stage: str | None
    message: str
    schedule: str | None
    slot: datetime | None
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested: bool
    counts: Mapping[str, Any]


class StageOut(BaseModel):
    """A stage that finished."""

    name: str
    seconds: float
    digest: str


class AttemptOut(BaseModel):
    """One try; `reports` are paths on the machine of the worker, relative to its home."""

    number: int
    state: str
    verdict: str | None
    reasons: list[str]
    stages: list[StageOut]
    reports: list[str]


class RoundDetail(RoundOut):
    """A round with its attempts; `progress` is the newest line of the running stage."""

    attempts: list[AttemptOut]
    models: list[str]
    snapshot: Mapping[str, Any]
    progress: Mapping[str, Any] | None


@router.post("/v1/rounds", status_code=201, summary="Ask for a round")
def request_round(given: RoundIn, caller: RoundsCaller, store: StoreDep, settings: SettingsDep) -> RoundOut:
    """The row that a worker will claim. A recipe that this version cannot act on is refused (422) key by key.

    It may name the bases and suites that are installed here and stays inside the bounds of the settings; another base
    needs the scope `admin`, `promote: automatic` the scope `models`.
    """
    text = requests.recipe_text(settings, given.recipe)
    check_permission(settings, caller, parse_recipe(text, "given"))
    round_id = requests.request_round(store, text, by=caller.actor, key=caller.key)
    if round_id is None:
        raise Conflict("the round was not recorded; ask again")
    return _line(requests.show_round(store, settings, round_id).round)


@router.get("/v1/rounds", summary="Rounds, newest first")
def list_rounds(caller: EveryAppReader, store: StoreDep) -> list[RoundOut]:
    """The newest hundred rounds."""
    return [_line(row) for row in requests.list_rounds(store)]


@router.get("/v1/rounds/{round_id}", summary="One round: state, stages, progress, verdict, reports")
def show_round(round_id: int, caller: EveryAppReader, store: StoreDep, settings: SettingsDep) -> RoundDetail:
    """One round with its attempts, stages, reports and models."""
    return _detail(requests.show_round(store, settings, round_id), settings.home)


@router.post("/v1/rounds/{round_id}/cancel", summary="Cancel a round")
def cancel_round(round_id: int, caller: RoundsCaller, store: StoreDep) -> RoundOut:
    """At once if it waits, within a few seconds if it runs; refused (409) if it has ended."""
    return _line(requests.cancel_round(store, round_id, by=caller.actor))


def _line(row: Round) -> RoundOut:
    shown = row.model_dump(include=set(RoundOut.model_fields) - {"recipe"})
    return RoundOut(recipe=row.recipe_name, **shown)


def _detail(view: RoundView, home: Path) -> RoundDetail:
    return RoundDetail(
        **_line(view.round).model_dump(),
        attempts=[_attempt(one, home) for one in view.attempts],
        models=list(view.models),
        snapshot=view.counts,
        progress=view.progress,
    )


def _attempt(view: AttemptView, home: Path) -> AttemptOut:
    row = view.attempt
    return AttemptOut(
        number=row.number,
        state=row.state,
        verdict=row.verdict,
        reasons=row.reasons,
        stages=[StageOut(name=stage.name, seconds=stage.seconds, digest=stage.digest) for stage in view.stages],
        reports=[str(path.relative_to(home)) for path in view.reports],
    )
