"""Deletes the files of old models; rows, adapters and manifests stay, so every model can still be explained.

Kept: the newest `keep` GGUFs, the champion, the one before it, the origin (every gate measures against it), a
candidate that passed and still waits for its click, and every adapter. The served file of a model that learned from
an erased person goes in spite of all that, once another, clean champion answers and the days of grace are over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlmodel import Session

from pipelines.errors import InputError
from service.settings import Settings
from service.store import audit, models
from service.store.models import StoredModel
from service.store.session import Store
from service.store.tables import ServedForm, now

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CollectedFile:
    """One file that was deleted (or would be), and why."""

    model_id: str
    path: Path
    size_bytes: int
    reason: str


def collect(
    store: Store, settings: Settings, keep: int = 3, dry_run: bool = False, *, by: str = "gc"
) -> list[CollectedFile]:
    """Delete the GGUFs that nothing needs any more and give what went; `dry_run` only tells.

    The row is marked first, in one transaction with the choice, so a promotion at the same time either comes before
    it (and protects the file) or finds the mark and is refused. A file left by a crash in between goes next time.
    """
    if keep < 1:
        raise InputError(f"gc must keep at least 1 model, not {keep}")
    with store.begin() as session:
        models.lock_promotions(session)
        entries = [one for one in models.list_models(session) if one.form is not None]
        condemned = _condemned(session, settings, entries, keep, now())
        if not dry_run:
            _mark(session, condemned, by)
        leftovers = _leftovers(settings, entries)
    gone = [CollectedFile(form.model_id, _own_file(settings, form), form.size_bytes, why) for form, why in condemned]
    if not dry_run:
        for path in {one.path for one in gone} | leftovers:
            path.unlink(missing_ok=True)
        _log.info("gc", deleted=len(gone), bytes=sum(one.size_bytes for one in gone))
    return gone


def _condemned(
    session: Session, settings: Settings, entries: Sequence[StoredModel], keep: int, moment: datetime
) -> list[tuple[ServedForm, str]]:
    """The forms whose files may go, newest first, each with its reason."""
    champion = models.champion_id(session)
    clean = any(one.model.id == champion and one.model.tainted_at is None for one in entries)
    present = [one for one in entries if one.form and one.form.collected_at is None]
    newest = {one.model.id for one in present[:keep]}
    last = models.last_promotion(session)
    safe = newest | {champion, models.rollback_target(session), last.previous_id if last else None}
    chosen: list[tuple[ServedForm, str]] = []
    for one in present:
        assert one.form is not None
        if one.model.id == champion:
            continue
        grace = timedelta(days=settings.erasure_keep_days)
        if clean and one.model.tainted_at is not None and moment - one.model.tainted_at >= grace:
            chosen.append((one.form, "it learned from an erased person"))
            continue
        spared = one.model.id in safe or one.model.kind == "origin" or one.form.kind == "adapter"
        if not spared and not models.is_waiting(session, one.model):
            chosen.append((one.form, f"it is not among the newest {keep}"))
    return chosen


def _mark(session: Session, condemned: Sequence[tuple[ServedForm, str]], by: str) -> None:
    for form, reason in condemned:
        form.collected_at = now()
        session.add(form)
        audit.record(session, by, "collect", form.model_id, {"reason": reason})


def _leftovers(settings: Settings, entries: Sequence[StoredModel]) -> set[Path]:
    """Files of forms that were collected before and are still there."""
    return {_own_file(settings, one.form) for one in entries if one.form and one.form.collected_at is not None}


def _own_file(settings: Settings, form: ServedForm) -> Path:
    """The file that is this model's alone: an adapter form shares its base GGUF with others."""
    return settings.home / (form.adapter_path if form.kind == "adapter" and form.adapter_path else form.path)
