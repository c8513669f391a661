"""Models: the list that OpenAI's clients read, with our own fields, and promotion and rollback."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Security
from pydantic import BaseModel, ConfigDict, Field

from pipelines.errors import NotFound
from service.api_keys import Caller, Forbidden
from service.engine.state import engine_view
from service.models import promotion, watch
from service.models.targets.deploy import TargetView, check_targets, deploy, list_targets
from service.obstacles import answering
from service.store import models
from service.store.models import StoredModel
from service.store.tables import Promotion
from service.web.auth import EveryAppReader, ModelsCaller, authenticate
from service.web.chatting import ALIAS
from service.web.deps import SettingsDep, StoreDep
from service.web.problems import OpenAIRoute

router = APIRouter(tags=["models"])
_listing = APIRouter(route_class=OpenAIRoute, tags=["models"])
AnyCaller = Annotated[Caller, Security(authenticate, scopes=[])]


class OverrideIn(BaseModel):
    """Why to act against the rules; recorded for good. Without it the rules hold. And the champion that was decided against."""

    model_config = ConfigDict(extra="forbid")

    override_reason: str | None = Field(None, max_length=promotion.MAX_REASON)
    expected_champion: str | None = Field(
        None, max_length=200, description="refused (409) if another model is the champion by now; empty: none is"
    )


class PromotionOut(BaseModel):
    """The row that was appended."""

    champion: str
    previous: str | None
    kind: str
    override_reason: str | None
    by: str
    at: datetime


class ModelOut(BaseModel):
    """A model as OpenAI lists it, with what Perennial knows of it.

    The one called `champion` is `alias_of` whichever is the champion: an id that a client can keep over promotions.
    """

    id: str
    alias_of: str | None = None
    object: str = "model"
    created: int
    owned_by: str = "perennial"
    kind: str
    champion: bool
    serving: bool
    verdict: str | None
    reasons: list[str]
    tainted: bool
    round: int | None
    sha256: str | None


class ModelList(BaseModel):
    """`serving` is the model that the engine answers with now; it follows the champion within a second."""

    object: str = "list"
    data: list[ModelOut]
    champion: str | None
    serving: str | None


class TargetOut(BaseModel):
    """A deploy target: `model` is what answers there, `state` current, waiting (the champion is on its way), failed (see
    `problem`; `model` answers there still) or none (there is no champion). `changed` is what somebody else did there."""

    name: str
    kind: str
    where: str
    state: str
    model: str | None
    since: datetime | None
    tries: int
    problem: str | None
    changed: str | None = None


class TargetList(BaseModel):
    """Every deploy target, in the order of the file that names them."""

    targets: list[TargetOut]


@_listing.get("/v1/models", summary="The champion under its lasting name, then every model, newest first")
def list_models(caller: AnyCaller, store: StoreDep, settings: SettingsDep) -> ModelList:
    """Every model, newest first; `champion` and `serving` mark what is chosen and what answers."""
    _may_list(caller)
    with store.read() as session:
        champion, entries = models.champion_id(session), models.list_models(session)
    serving = engine_view(settings.home, champion).model_id
    data = [_shown(one, champion, serving) for one in entries]
    data[:0] = [_alias(one) for one in data if one.champion]
    return ModelList(data=data, champion=champion, serving=serving)


@_listing.get("/v1/models/{model_id}", summary="One model; `champion` is the one that answers")
def get_model(model_id: str, caller: AnyCaller, store: StoreDep, settings: SettingsDep) -> ModelOut:
    """One model by its id; `champion` names the one that is served."""
    _may_list(caller)
    with store.read() as session:
        champion = models.champion_id(session)
        if model_id == ALIAS and champion is None:
            raise NotFound(next(answering(settings, session)).line())
        entry = models.get_model(session, champion if model_id == ALIAS and champion else model_id)
    shown = _shown(entry, champion, engine_view(settings.home, champion).model_id)
    return _alias(shown) if model_id == ALIAS else shown


@router.post("/v1/models/{model_id}/promote", summary="Make a model the champion")
def promote(
    model_id: str, caller: ModelsCaller, store: StoreDep, settings: SettingsDep, given: OverrideIn | None = None
) -> PromotionOut:
    """Refused (409) unless its gate passed against the present champion; an override needs a reason."""
    given = given or OverrideIn()
    by, expected = caller.actor, given.expected_champion
    return _told(promotion.promote(store, settings, model_id, by, given.override_reason, expected=expected))


@router.post("/v1/models/rollback", summary="Make the champion before the present one champion again")
def rollback(
    caller: ModelsCaller, store: StoreDep, settings: SettingsDep, given: OverrideIn | None = None
) -> PromotionOut:
    """Promotes the champion before this one again."""
    given = given or OverrideIn()
    by, expected = caller.actor, given.expected_champion
    return _told(promotion.rollback(store, settings, by, given.override_reason, expected=expected))


class WatchSignal(BaseModel):
    """One comparison with the weeks before: mean before and after, on so many. `evidence` of 1 or more is an alarm; null
    while too little came in. `kind`: thumbs (that point down), broken (answers), longer and shorter (than earlier ones)."""

    kind: str
    before: float | None
    after: float | None
    n_before: int
    n_after: int
    evidence: float | None


class WatchOut(BaseModel):
    """The watch over the champion since its promotion; all null where nothing is watched."""

    mode: str
    model: str | None = None
    looked_at: datetime | None = None
    alarm_at: datetime | None = None
    sentence: str | None = None
    signals: list[WatchSignal] = []


@router.get("/v1/watch", summary="Whether the champion does worse than the weeks before it")
def get_watch(caller: EveryAppReader, store: StoreDep, settings: SettingsDep) -> WatchOut:
    """What the watch found so far; docs/deploying.md says what it compares and what it does."""
    with store.read() as session:
        row = watch.latest_watch(session)
    if row is None:
        return WatchOut(mode=settings.watch)
    signals = [WatchSignal.model_validate(one) for one in row.signals]
    return WatchOut(
        mode=settings.watch,
        model=row.model_id,
        looked_at=row.looked_at,
        alarm_at=row.alarm_at,
        sentence=watch.sentence(row),
        signals=signals,
    )


@router.get("/v1/targets", summary="The deploy targets, and which model answers at each")
def list_deploy_targets(
    caller: EveryAppReader, store: StoreDep, settings: SettingsDep, check: bool = False
) -> TargetList:
    """What was brought where. `check` asks every target whether that is there still, which may take seconds."""
    changed = check_targets(settings, store) if check else {}
    with store.read() as session:
        return TargetList(targets=[_target(one, changed.get(one.name)) for one in list_targets(settings, session)])


@router.post("/v1/models/{model_id}/deploy", summary="Bring the champion to its deploy targets again")
def deploy_model(
    model_id: str, caller: ModelsCaller, store: StoreDep, settings: SettingsDep, target: str | None = None
) -> TargetList:
    """Only the champion is brought anywhere (409); `champion` names it. Without `target`, to all of them; answers when done."""
    wanted = None if model_id == ALIAS else model_id
    views = deploy(settings, store, caller.actor, target, wanted)
    return TargetList(targets=[_target(one, None) for one in views])


router.include_router(_listing)


def _target(view: TargetView, changed: str | None) -> TargetOut:
    return TargetOut(
        name=view.name,
        kind=view.kind,
        where=view.where,
        state=view.state,
        model=view.model_id,
        since=view.since,
        tries=view.tries,
        problem=view.problem,
        changed=changed,
    )


def _may_list(caller: Caller) -> None:
    if not any(caller.may(scope) for scope in ("chat", "read", "models")):
        raise Forbidden(f"{caller} may not list models: it needs the scope 'chat', 'read' or 'models'")


def _shown(entry: StoredModel, champion: str | None, serving: str | None) -> ModelOut:
    model = entry.model
    return ModelOut(
        id=model.id,
        created=int(model.created_at.timestamp()),
        kind=model.kind,
        champion=model.id == champion,
        serving=model.id == serving,
        verdict=model.verdict,
        reasons=list(model.reasons),
        tainted=model.tainted_at is not None,
        round=model.round_id,
        sha256=entry.form.sha256 if entry.form else None,
    )


def _alias(champion: ModelOut) -> ModelOut:
    return champion.model_copy(update={"id": ALIAS, "alias_of": champion.id})


def _told(row: Promotion) -> PromotionOut:
    shown: dict[str, Any] = row.model_dump(include={"kind", "override_reason", "by", "at"})
    return PromotionOut(champion=row.model_id, previous=row.previous_id, **shown)
