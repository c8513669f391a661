"""Making a model the champion, and going back. The promotion table is append-only; its last row names the champion.

    promote(store, settings, "tiny-r0002-a1", by="key:ab12")
    rollback(store, settings, by="key:ab12")

The file's sha256 and a smoke test in a child process come before the row is committed; the engine then converges on
the row by itself. docs/decisions/promotion.md says which models are refused and why.
"""

from collections.abc import Sequence
from pathlib import Path

import structlog
from sqlmodel import Session

from pipelines.artifacts import sha256_of
from pipelines.errors import ArtifactError, Conflict, InputError, Refused
from pipelines.isolated import run_in_child
from service.settings import Settings
from service.store import audit, files, models
from service.store.models import StoredModel
from service.store.session import Store
from service.store.tables import Model, Promotion, ServedForm

TAINTED = (
    "tainted: learned from a person who was forgotten since; becomes champion only with a recorded reason, and its file "
    "is deleted some days later, once an untainted model is champion"
)
MAX_REASON = 2000
SMOKE_SECONDS = 600.0
_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def promote(
    store: Store,
    settings: Settings,
    model_id: str,
    by: str,
    override_reason: str | None = None,
    *,
    automatic: bool = False,
    expected: str | None = None,
) -> Promotion:
    """Make a model the champion and give the committed row.

    `expected` is the champion that whoever decided had before their eyes, "" for none; None: whichever there is.

    The first champion is always the origin, which needs no gate: there is nothing yet to be worse than. A candidate
    promoted before it appends the origin's row too, so that there is a model to roll back to.

    Raises:
        NotFound: no such model.
        Refused: the rules speak against it and no reason to override them was given, or it is the champion already.
        ArtifactError: its file is missing, changed, or failed the smoke test.
        Conflict: the champion is not the one that was expected, or became another while this one was being checked.
    """
    reason = _checked_reason(override_reason)
    with store.read() as session:
        last = models.last_promotion(session)
        _check_expected(last, expected)
        entry = models.get_model(session, model_id)
        _refuse(model_id, objections(session, entry), reason, last)
    verify(settings, entry)
    kind = "automatic" if automatic else "promote" if last else "first"
    return _commit(store, settings, model_id, last, kind, by, reason)


def rollback(
    store: Store, settings: Settings, by: str, override_reason: str | None = None, *, expected: str | None = None
) -> Promotion:
    """Make the champion before the present one champion again; a second rollback goes one further back.

    `expected` is the champion that is rolled back from, as for `promote`.

    Raises:
        Refused: there is no earlier champion, or it learned from a person who was erased.
        ArtifactError, Conflict: as for `promote`.
    """
    reason = _checked_reason(override_reason)
    with store.read() as session:
        last = models.last_promotion(session)
        _check_expected(last, expected)
        target = models.rollback_target(session)
        if target is None:
            raise Refused("there is no earlier champion to roll back to")
        entry = models.get_model(session, target)
        _refuse(target, taint(entry.model), reason, last)
    verify(settings, entry)
    return _commit(store, settings, target, last, "rollback", by, reason)


def objections(session: Session, entry: StoredModel) -> list[str]:
    """What the rules say against making this model the champion, in sentences; empty if nothing."""
    model, champion = entry.model, models.champion_id(session)
    if model.kind == "origin":
        ungated = [] if champion is None else ["it is the origin, which no gate has judged; roll back to reach it"]
        return ungated + taint(model)
    return _verdict(model) + _staleness(session, model, champion) + taint(model)


def verify(settings: Settings, entry: StoredModel) -> None:
    """Check that the model's files are the ones that were gated and that they load and answer, in a child process.

    Raises:
        ArtifactError: they are not, or do not.
    """
    form = entry.form
    if form is None:
        raise ArtifactError(f"'{entry.model.id}' was never exported, so there is nothing to serve")
    if form.collected_at is not None:
        raise ArtifactError(f"the file of '{entry.model.id}' was deleted by gc on {form.collected_at:%Y-%m-%d}")
    for stored, expected in ((form.path, form.sha256), (form.adapter_path, form.adapter_sha256)):
        if stored and expected:
            _verify_file(settings.home, stored, expected, entry.model.id)
    asked = files.served(settings.home, form).model_dump()
    run_in_child("pipelines.gguf.check:smoke_in_this_process", asked, timeout_seconds=SMOKE_SECONDS)


def _verify_file(home: Path, stored: str, expected: str, model_id: str) -> None:
    path = home / stored
    shown = path.name if Path(stored).is_absolute() else stored  # where this machine keeps things is nobody's business
    try:
        actual = sha256_of(path)
    except OSError as error:
        raise ArtifactError(
            f"the file {shown} of '{model_id}' is missing or cannot be read; restore it or run the round again"
        ) from error
    if actual != expected:
        raise ArtifactError(f"{shown} is not the file that was gated: its sha256 differs; it must not be served")


def _checked_reason(reason: str | None) -> str | None:
    if reason is None:
        return None
    if not reason.strip():
        raise InputError("an override needs a reason: say why this model should answer although the rules refuse it")
    if "\0" in reason:
        raise InputError("the override reason holds the character NUL, which cannot be stored")
    if len(reason) > MAX_REASON:
        raise InputError(f"the override reason has {len(reason)} characters; at most {MAX_REASON} are kept")
    return reason.strip()


def _check_expected(last: Promotion | None, expected: str | None) -> None:
    """A decision that was made against another champion than the present one is none."""
    champion = last.model_id if last else ""
    if expected is not None and expected != champion:
        before = f"'{expected[:80]}'" if expected else "nobody"
        present = f"'{champion}'" if champion else "nobody"
        raise Conflict(f"this was decided while {before} was the champion, and now {present} is; look again")


def _refuse(model_id: str, against: Sequence[str], reason: str | None, last: Promotion | None) -> None:
    if last and last.model_id == model_id:
        raise Refused(f"'{model_id}' is the champion already")
    if against and reason is None:
        raise Refused(f"'{model_id}' is not promoted: {'; '.join(against)}. An override needs a reason and is recorded")


def _verdict(model: Model) -> list[str]:
    if model.verdict == "pass":
        return []
    if model.verdict is None:
        return ["no gate has judged it yet"]
    return [f"its gate said {model.verdict}", *model.reasons]


def _staleness(session: Session, model: Model, champion: str | None) -> list[str]:
    """A comparison with a model that no longer answers says nothing about the one that does."""
    judged = models.judged_against(session, model)
    if model.verdict is None or champion is None or judged == champion:
        return []
    return [
        f"its gate compared it with '{judged or 'no champion'}', but the champion is now '{champion}'; run a new round"
    ]


def taint(model: Model) -> list[str]:
    """The sentence that forbids a model of somebody who was erased; empty if it may answer."""
    if model.tainted_at is None:
        return []
    return [f"it learned from a person who was erased on {model.tainted_at:%Y-%m-%d}"]


def _commit(
    store: Store, settings: Settings, model_id: str, seen: Promotion | None, kind: str, by: str, reason: str | None
) -> Promotion:
    """Append the row, unless the champion changed while the file was being checked."""
    with store.begin() as session:
        models.lock_promotions(session)
        last = models.last_promotion(session)
        if (last.id if last else None) != (seen.id if seen else None):
            raise Conflict(
                f"'{last.model_id if last else None}' became the champion meanwhile; look again before promoting"
            )
        entry = models.get_model(session, model_id)
        if entry.form is None or entry.form.collected_at is not None:
            raise ArtifactError(f"the file of '{model_id}' was deleted by gc meanwhile")
        against = taint(entry.model) if kind == "rollback" else objections(session, entry)
        _refuse(model_id, against, reason, last)
        override = reason if against else None
        previous = last.model_id if last else _crown_origin(session, entry.model, by)
        kind = "promote" if kind == "first" and previous else kind
        row = Promotion(model_id=model_id, previous_id=previous, kind=kind, override_reason=override, by=by)
        detail = {"kind": kind, "previous": row.previous_id, "override_reason": override, "objections": against}
        session.add(row)
        audit.record(session, by, "promote", model_id, detail)
        session.flush()
    _log.info("promoted", model=model_id, kind=kind, previous=row.previous_id)
    files.link_champion(settings.home, entry.form)
    return row


def _crown_origin(session: Session, candidate: Model, by: str) -> str | None:
    """Append the origin's own row before the first candidate's; None if the origin cannot be served."""
    origin = models.origin_id(candidate)
    form = session.get(ServedForm, origin) if origin else None
    if form is None or form.collected_at is not None:
        return None
    session.add(Promotion(model_id=form.model_id, previous_id=None, kind="first", by=by))
    session.flush()
    return form.model_id
