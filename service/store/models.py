"""Queries about models, their served forms and promotions. Each takes the caller's session and never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, func, select

from pipelines import records
from pipelines.errors import ArtifactError, NotFound
from service.store.tables import Model, Promotion, Round, ServedForm


@dataclass(frozen=True)
class StoredModel:
    """A model with the form in which it is served; `form` is None while nothing was exported."""

    model: Model
    form: ServedForm | None


def get_model(session: Session, model_id: str) -> StoredModel:
    """The model of this id. Raises NotFound with the ids that exist."""
    model = session.get(Model, model_id) if "\0" not in model_id else None  # PostgreSQL refuses to look for NUL
    if model is None:
        known = session.exec(select(Model.id).order_by(col(Model.created_at).desc()).limit(5)).all()
        hint = f"the newest are {', '.join(known)}" if known else "there are no models yet: a round makes them"
        raise NotFound(f"no model is called '{model_id[:80]}'; {hint}")
    return StoredModel(model, session.get(ServedForm, model_id))


def add_model(session: Session, home: Path, model_id: str, form: records.ServedForm, **values: Any) -> None:
    """Add a model with its served form; the same one again changes nothing. `values` are columns of Model.

    What was trained on top of a model that learned from an erased person learned from them too.

    Raises:
        ArtifactError: the id is taken by other bytes.
    """
    known = session.get(ServedForm, model_id)
    if known is not None:
        if (known.sha256, known.adapter_sha256) != (form.sha256, form.adapter_sha256):
            raise ArtifactError(f"model '{model_id}' is known with other bytes (sha256 {known.sha256[:12]})")
        return
    tainted_at = session.exec(
        select(func.min(Model.tainted_at)).where(col(Model.id).in_(values.get("parents", ())))
    ).one()
    session.add(Model.model_validate({"id": model_id, "tainted_at": tainted_at, **values}))
    session.flush()
    files = {name: stored_path(home, getattr(form, name)) for name in ("path", "adapter_path")}
    size = sum((home / name).stat().st_size for name in files.values() if name)
    session.add(ServedForm.model_validate({**form.model_dump(), **files, "model_id": model_id, "size_bytes": size}))


def has_origin(session: Session, recipe_name: str) -> bool:
    """Whether the base of this recipe was converted before."""
    query = select(Model.id).where(col(Model.kind) == "origin", col(Model.recipe_name) == recipe_name)
    return session.exec(query.limit(1)).first() is not None


def stored_path(home: Path, path: str | None) -> str | None:
    """A path as the database keeps it: relative to the home folder where it lies in it."""
    if path is None:
        return None
    full, root = Path(path).absolute(), home.absolute()
    return str(full.relative_to(root)) if full.is_relative_to(root) else str(full)


def list_models(session: Session) -> list[StoredModel]:
    """Every model, newest first."""
    statement = (
        select(Model, ServedForm)
        .join(ServedForm, col(ServedForm.model_id) == col(Model.id), isouter=True)
        .order_by(col(Model.created_at).desc(), col(Model.id).desc())
    )
    return [StoredModel(model, form) for model, form in session.exec(statement).all()]


def promotions(session: Session) -> list[Promotion]:
    """Every promotion, oldest first."""
    return list(session.exec(select(Promotion).order_by(col(Promotion.id))).all())


def last_promotion(session: Session) -> Promotion | None:
    """The row that names the champion; None before the first one."""
    return session.exec(select(Promotion).order_by(col(Promotion.id).desc()).limit(1)).first()


def promotion_before(session: Session, row: Promotion) -> Promotion | None:
    """The row before this one."""
    query = select(Promotion).where(col(Promotion.id) < row.id).order_by(col(Promotion.id).desc()).limit(1)
    return session.exec(query).first()


def champion_id(session: Session) -> str | None:
    """The model that is served, None before the first promotion."""
    last = last_promotion(session)
    return last.model_id if last else None


def champion_form(session: Session) -> ServedForm | None:
    """The served form of the champion; None before the first promotion."""
    last = last_promotion(session)
    return session.get(ServedForm, last.model_id) if last else None


def reign(rows: Sequence[Promotion]) -> list[str]:
    """The champions that rollback walks through, oldest first, the present one last.

    A promotion is laid on top; a rollback takes the top away. So two rollbacks in a row go two champions back,
    and a promotion after them starts from the one that was rolled back to.
    """
    stack: list[str] = []
    for row in rows:
        if row.kind == "rollback" and row.model_id in stack[:-1]:
            while stack[-1] != row.model_id:
                stack.pop()
        else:
            stack.append(row.model_id)
    return stack


def rollback_target(session: Session) -> str | None:
    """The champion that a rollback would bring back."""
    champions = reign(promotions(session))
    return champions[-2] if len(champions) > 1 else None


def champion_at(session: Session, moment: datetime) -> str | None:
    """The champion as it was at a moment."""
    statement = select(Promotion).where(col(Promotion.at) <= moment).order_by(col(Promotion.id).desc()).limit(1)
    row = session.exec(statement).first()
    return row.model_id if row else None


def judged_against(session: Session, model: Model) -> str | None:
    """The champion that a candidate's gate compared it with; its origin when there was none yet."""
    if model.round_id is None:
        return None
    turn = session.get(Round, model.round_id)
    if turn is None:
        return None
    if "champion" in turn.counts:
        named = turn.counts["champion"]
    else:
        named = champion_at(session, turn.started_at or model.created_at)
    return str(named) if named else origin_id(model)


def origin_id(model: Model) -> str | None:
    """The origin that a candidate descends from."""
    return model.parents[0] if model.parents else None


def is_waiting(session: Session, model: Model) -> bool:
    """Whether a candidate passed against the present champion and only its click is missing."""
    champion = champion_id(session)
    stale = champion is not None and judged_against(session, model) != champion
    return model.kind != "origin" and model.verdict == "pass" and model.tainted_at is None and not stale


def lock_promotions(session: Session) -> None:
    """Let no other transaction append a promotion until this one ends; SQLite's writers already wait in line."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE promotion IN SHARE ROW EXCLUSIVE MODE"))
