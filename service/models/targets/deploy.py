"""Bringing the champion to every deploy target, and what answers at each.

    promotion row committed ──> the worker looks once a second ──> every target whose promotion is not the last one
                            └─> `perennial promote`, `perennial models deploy`: at once, and they say how it went

The promotion table is the truth and is never touched here: a target that fails keeps the model before, and is tried
again after growing pauses. One process at a time brings anything to a target; a killed one is caught up by the next look.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session

from pipelines.errors import Conflict, NotFound, PerennialError
from service.models.targets.configuration import read_targets
from service.models.targets.target import Shipment, Target
from service.settings import Settings
from service.store import audit, files, models
from service.store.deployments import deployments, note_failure, note_success
from service.store.session import Store
from service.store.tables import Deployment, Promotion, now

PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 240))
"""After how long a failed target is tried again by itself; after the last one, only by hand or for the next champion."""
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class TargetView:
    """A target as people see it: where it is, what answers there, and why not the champion.

    `state`: current (the champion answers there), waiting (it is on its way), failed (the last try did), none (nothing yet
    was promoted).
    """

    name: str
    kind: str
    where: str
    state: str
    model_id: str | None
    since: datetime | None
    problem: str | None
    tries: int

    def line(self) -> str:
        """What answers there, in a sentence."""
        answers = f"'{self.model_id}' answers there" if self.model_id else "nothing was brought there yet"
        if self.state == "failed":
            return f"{self.name} ({self.where}): {answers}; the champion could not be brought there: {self.problem}"
        if self.state == "waiting":
            return f"{self.name} ({self.where}): {answers}; the champion is on its way"
        return f"{self.name} ({self.where}): {answers}"


def list_targets(settings: Settings, session: Session) -> list[TargetView]:
    """Every configured target and what answers there, from the database alone.

    Raises:
        InputError: the targets file cannot be used.
    """
    targets, rows, last = read_targets(settings), deployments(session), models.last_promotion(session)
    return [_view(one, _known(rows, one), last.id if last else None) for one in targets]


def check_targets(settings: Settings, store: Store) -> dict[str, str]:
    """What somebody else changed at targets since the champion was brought there, by the target's name; asks each one."""
    with store.read() as session:
        rows = deployments(session)
    changed = {}
    for target in read_targets(settings):
        row = _known(rows, target)
        if row is None or row.model_id is None:
            continue
        try:
            target.check(row.mark)
        except (PerennialError, OSError) as error:
            changed[target.name] = _sentence(settings, error)
    return changed


def deploy_due(settings: Settings, store: Store, by: str, *, patient: bool = True) -> list[TargetView]:
    """Bring the champion to every target where it is due, and give those that were tried.

    `patient`: a target that failed is due again only after its pause. Raises InputError if the file cannot be used.
    """
    return [view for one in read_targets(settings) if (view := _deploy(settings, store, one, by, patient)) is not None]


def deploy(
    settings: Settings, store: Store, by: str, name: str | None = None, model_id: str | None = None
) -> list[TargetView]:
    """Bring the champion to one target, or to all, whatever was there before; how each stands after it.

    Raises:
        NotFound: there is no such target, none at all, or no champion. InputError: the file cannot be used.
        Conflict: `model_id` is not the champion; nothing else is brought anywhere.
    """
    targets = read_targets(settings)
    if not targets:
        raise NotFound(f"there are no deploy targets: name them in {settings.targets_path.name} (docs/deploying.md)")
    chosen = [one for one in targets if name in (None, one.name)]
    if not chosen:
        raise NotFound(f"no target is called '{name}'; there are {', '.join(one.name for one in targets)}")
    with store.read() as session:
        champion = models.champion_id(session)
    if champion is None:
        raise NotFound("there is no champion yet, so there is nothing to bring anywhere")
    if model_id not in (None, champion):
        raise Conflict(f"'{model_id}' is not the champion ('{champion}' is); promote it first")
    return [view for one in chosen if (view := _deploy(settings, store, one, by, None)) is not None]


def is_due(row: Deployment | None, promotion_id: int, at: datetime, patient: bool = True) -> bool:
    """Whether a target is to be brought to this promotion now."""
    if row is None or row.tried_promotion_id != promotion_id:
        return True
    if row.problem is None:
        return False
    if not patient:
        return True
    if row.tries > len(PAUSES) or row.tried_at is None:
        return False
    return at >= row.tried_at + PAUSES[row.tries - 1]


def _deploy(settings: Settings, store: Store, target: Target, by: str, patient: bool | None) -> TargetView | None:
    """How a target stands after a try; None if none was due. `patient` None: due whatever was before."""
    with _only_one(settings, target.name):
        with store.read() as session:
            row, shipment = _known(deployments(session), target), _shipment(settings, session)
        if shipment is None or (patient is not None and not is_due(row, shipment.promotion_id, now(), patient)):
            return None
        _bring(settings, store, target, shipment, by)
        with store.read() as session:
            last = models.last_promotion(session)
            return _view(target, deployments(session).get(target.name), last.id if last else None)


def _bring(settings: Settings, store: Store, target: Target, shipment: Shipment, by: str) -> None:
    detail = {"model": shipment.model_id, "promotion": shipment.promotion_id, "kind": target.kind}
    try:
        receipt = target.deploy(shipment)
    except (PerennialError, OSError) as error:
        problem = _sentence(settings, error)
        _log.error("deploy_failed", target=target.name, model=shipment.model_id, error=problem)
        with store.begin() as session:
            note_failure(session, target.name, target.kind, shipment.promotion_id, problem, now())
            audit.record(session, by, "deploy_failed", target.name, {**detail, "why": problem})
        return
    with store.begin() as session:
        note_success(
            session,
            target.name,
            target.kind,
            shipment.model_id,
            shipment.promotion_id,
            receipt.where,
            receipt.mark,
            now(),
        )
        audit.record(session, by, "deploy", target.name, detail)
    _log.info("deployed", target=target.name, model=shipment.model_id)


def _shipment(settings: Settings, session: Session) -> Shipment | None:
    last = models.last_promotion(session)
    entry = models.get_model(session, last.model_id) if last else None
    if entry is None or entry.form is None or entry.form.collected_at is not None:
        return None
    return shipment_of(settings, entry, last)


def shipment_of(settings: Settings, entry: models.StoredModel, promotion: Promotion | None) -> Shipment:
    """A model with its files as a target takes it; without a promotion, one that nobody is told of."""
    assert entry.form is not None
    form = files.served(settings.home, entry.form)
    return Shipment(
        model_id=entry.model.id,
        promotion_id=promotion.id if promotion and promotion.id else 0,
        kind=promotion.kind if promotion else "",
        by=promotion.by if promotion else "",
        at=promotion.at if promotion else entry.model.created_at,
        previous_id=promotion.previous_id if promotion else None,
        path=settings.home / form.path,
        sha256=form.sha256,
        adapter_path=settings.home / form.adapter_path if form.adapter_path else None,
        adapter_sha256=form.adapter_sha256,
        scale=form.scale,
        quantization=form.quantization,
        size_bytes=entry.form.size_bytes,
        context=settings.engine_context,
    )


def _view(target: Target, row: Deployment | None, promotion_id: int | None) -> TargetView:
    state = "none" if promotion_id is None else "waiting"
    if row is not None and promotion_id is not None:
        if row.promotion_id == promotion_id and row.problem is None:
            state = "current"
        elif row.problem is not None and row.tried_promotion_id == promotion_id:
            state = "failed"
    return TargetView(
        name=target.name,
        kind=target.kind,
        where=target.where(),
        state=state,
        model_id=row.model_id if row else None,
        since=row.deployed_at if row else None,
        problem=row.problem if row and state == "failed" else None,
        tries=row.tries if row else 0,
    )


def _known(rows: dict[str, Deployment], target: Target) -> Deployment | None:
    """What is known of this target; nothing if its name stood for a place of another kind, or for another place."""
    row = rows.get(target.name)
    if row is None or row.kind != target.kind or (row.place and row.place != target.where()):
        return None
    return row


def _sentence(settings: Settings, error: PerennialError | OSError) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}{f': {error.filename}' if error.filename else ''}"
    return settings.without_paths(str(error))


@contextmanager
def _only_one(settings: Settings, name: str) -> Iterator[None]:
    """Nobody else brings anything to this target meanwhile; whoever comes second waits, and looks again."""
    folder = settings.home / "targets"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
