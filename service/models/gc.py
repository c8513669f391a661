"""Deletes the files of old models; rows, adapters and manifests stay, so every model can still be explained.

Kept: the newest `keep` GGUFs, the champion, the one before it, the origin (every gate measures against it), a
candidate that passed and still waits for its click, and every adapter. Of a model that learned from an erased person all
weights go in spite of that, adapters and checkpoints too, once the days of grace are over, by a worker or by `perennial
gc`. Only a champion keeps them, until another one answers.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlmodel import Session

from pipelines.errors import InputError
from pipelines.stages import STAGES
from service.settings import Settings
from service.store import audit, models
from service.store.models import StoredModel
from service.store.session import Store
from service.store.tables import ServedForm, now

_ATTEMPT_PARTS = 3  # rounds/0007/attempt-1
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CollectedFile:
    """One file that was deleted (or would be), and why."""

    model_id: str
    path: Path
    size_bytes: int
    reason: str


def collect(
    store: Store, settings: Settings, keep: int | None = 3, dry_run: bool = False, *, by: str = "gc"
) -> list[CollectedFile]:
    """Delete the weights that nothing needs any more and give what went; `dry_run` only tells.

    Without a number to `keep` only those that learned from an erased person go. The row is marked first, in one transaction with the choice, so a promotion at the same time either comes before
    it (and protects the file) or finds the mark and is refused. A file left by a crash in between goes next time.
    """
    if keep is not None and keep < 1:
        raise InputError(f"gc must keep at least 1 model, not {keep}")
    with store.begin() as session:
        models.lock_promotions(session)
        entries = [one for one in models.list_models(session) if one.form is not None]
        condemned = _condemned(session, settings, entries, keep, now())
        if not dry_run:
            _mark(session, condemned, by)
        leftovers = [one for one in entries if one.form and one.form.collected_at is not None]
    gone = [file for entry, why in condemned for file in _files(settings, entry, why)]
    if not dry_run:
        for one in [*gone, *(file for entry in leftovers for file in _files(settings, entry, ""))]:
            _delete(one.path)
        if gone:
            _log.info("gc", deleted=len(gone), bytes=sum(one.size_bytes for one in gone))
    return gone


def _condemned(
    session: Session, settings: Settings, entries: Sequence[StoredModel], keep: int | None, moment: datetime
) -> list[tuple[StoredModel, str]]:
    """The models whose files may go, newest first, each with its reason."""
    champion = models.champion_id(session)
    grace = timedelta(days=settings.erasure_keep_days)
    present = [one for one in entries if one.form and one.form.collected_at is None and one.model.id != champion]
    tainted = [one for one in present if one.model.tainted_at and moment - one.model.tainted_at >= grace]
    chosen = dict.fromkeys((one.model.id for one in tainted), "it learned from an erased person")
    if keep is not None:
        chosen = dict.fromkeys(_old(session, entries, keep), f"it is not among the newest {keep}") | chosen
    return [(one, chosen[one.model.id]) for one in present if one.model.id in chosen]


def _old(session: Session, entries: Sequence[StoredModel], keep: int) -> list[str]:
    """The models that nothing needs, by id."""
    present = [one for one in entries if one.form and one.form.collected_at is None]
    last = models.last_promotion(session)
    safe = {one.model.id for one in present[:keep]} | {
        models.champion_id(session),
        models.rollback_target(session),
        last.previous_id if last else None,
    }
    return [
        one.model.id
        for one in present
        if one.model.id not in safe
        and one.model.kind != "origin"
        and one.form is not None
        and one.form.kind != "adapter"
        and not models.is_waiting(session, one.model)
    ]


def _mark(session: Session, condemned: Sequence[tuple[StoredModel, str]], by: str) -> None:
    for entry, reason in condemned:
        assert entry.form is not None
        entry.form.collected_at = now()
        session.add(entry.form)
        audit.record(session, by, "collect", entry.model.id, {"reason": reason})


def _files(settings: Settings, entry: StoredModel, reason: str) -> list[CollectedFile]:
    """What goes of a model, and is there: the file that is its alone, and if it is tainted all weights of its attempt."""
    assert entry.form is not None
    own = _own_file(settings, entry.form)
    found = [CollectedFile(entry.model.id, own, entry.form.size_bytes, reason)]
    if entry.model.tainted_at is None:
        return found
    folders = _weights(settings, entry)
    sizes = [
        sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path != own) for folder in folders
    ]
    more = [CollectedFile(entry.model.id, folder, size, reason) for folder, size in zip(folders, sizes, strict=True)]
    return found + more


def _weights(settings: Settings, entry: StoredModel) -> list[Path]:
    """The folders of weights of the attempt that made a model."""
    assert entry.form is not None
    for stored in (entry.model.adapter_path, entry.form.adapter_path, entry.form.path):
        parts = Path(stored).parts if stored else ()
        if parts[:1] == ("rounds",) and len(parts) > _ATTEMPT_PARTS:
            attempt = settings.home.joinpath(*parts[:_ATTEMPT_PARTS])
            return [folder for one in STAGES if one.holds_weights and (folder := attempt / one.name).is_dir()]
    return []


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _own_file(settings: Settings, form: ServedForm) -> Path:
    """The file that is this model's alone: an adapter form shares its base GGUF with others."""
    return settings.home / (form.adapter_path if form.kind == "adapter" and form.adapter_path else form.path)
