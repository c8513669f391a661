"""Queries about rounds, attempts, stages and snapshots. Each takes the caller's session and never commits."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import and_, delete, func, insert, or_, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from pipelines import records
from pipelines.errors import Cancelled, NotFound
from pipelines.text import shorten
from service.store import models
from service.store.tables import (
    Attempt,
    ErasureReceipt,
    FeedbackFate,
    Model,
    Person,
    Promotion,
    Round,
    Snapshot,
    SnapshotItem,
    SnapshotWriter,
    Stage,
    now,
)

OPEN_STATES = ("requested", "running")
_PROMOTING_KINDS = ("first", "promote", "automatic")


# ---- asking for a round -----------------------------------------------------------------------------------


def insert_round(session: Session, values: Mapping[str, Any]) -> int | None:
    """The new round's id, or None if its schedule's slot was already taken."""
    row = Round.model_validate(dict(values)).model_dump(exclude={"id"})
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(Round).values(row).on_conflict_do_nothing(index_elements=["schedule", "slot"])
    return session.execute(statement.returning(col(Round.id))).scalar_one_or_none()


def get_round(session: Session, round_id: int) -> Round:
    """The round of this id. Raises NotFound with the newest one that exists."""
    row = session.get(Round, round_id) if 0 < round_id < 1 << 31 else None  # PostgreSQL counts no further
    if row is None:
        newest = session.exec(select(func.max(col(Round.id)))).one()
        hint = f"the newest is {newest}" if newest else "there are no rounds yet: request one"
        raise NotFound(f"no round has the number {shorten(str(round_id), 20)}; {hint}")
    return row


def list_rounds(session: Session, limit: int | None = 100) -> list[Round]:
    """Rounds, newest first."""
    return list(session.exec(select(Round).order_by(col(Round.id).desc()).limit(limit)).all())


def count_by_state(session: Session) -> dict[str, int]:
    """How many rounds are in which state."""
    return dict(session.exec(select(Round.state, func.count()).group_by(col(Round.state))).all())


def running_rounds(session: Session) -> list[Round]:
    """The rounds that a worker has claimed."""
    return list(session.exec(select(Round).where(col(Round.state) == "running")).all())


# ---- claiming it ------------------------------------------------------------------------------------------


def claim_round(
    session: Session, owner: str, clock: float, lease_seconds: float, abandoned: Sequence[Round] = ()
) -> Round | None:
    """Take the oldest round that waits, or one of the abandoned ones as they were seen; its fence grows by one."""
    may_start = or_(col(Round.lease_until).is_(None), col(Round.lease_until) < clock)
    waits = and_(col(Round.state) == "requested", may_start)
    left = [and_(*_ours(row.id or 0, row.fence), _stands(row.lease_until)) for row in abandoned]
    due = and_(or_(waits, *left), col(Round.cancel_requested).is_(False))
    first = select(col(Round.id)).where(due).order_by(col(Round.id)).limit(1).with_for_update(skip_locked=True)
    values = {
        "state": "running",
        "owner": owner,
        "lease_until": clock + lease_seconds,
        "fence": col(Round.fence) + 1,
        "message": "",
    }
    statement = update(Round).where(col(Round.id) == first.scalar_subquery()).values(**values).returning(col(Round.id))
    claimed = session.execute(statement).scalar_one_or_none()
    if claimed is None:
        return None
    row = session.get_one(Round, claimed)
    if row.started_at is None:
        row.started_at = now()
    return row


def end_abandoned_cancels(session: Session, clock: float) -> int:
    """Rounds that were to be cancelled and whose worker is gone become cancelled."""
    gone = or_(col(Round.state) == "requested", col(Round.lease_until).is_(None), col(Round.lease_until) < clock)
    waiting = and_(col(Round.cancel_requested).is_(True), col(Round.state).in_(OPEN_STATES), gone)
    values = {"state": "cancelled", "finished_at": now(), "lease_until": None}
    ended = session.execute(
        update(Round).where(waiting).values(**values).returning(col(Round.id), col(Round.message))
    ).all()
    for round_id, message in ended:
        end_open_attempts(session, round_id, "cancelled", message or f"round {round_id} was cancelled")
    return len(ended)


def renew_lease(session: Session, round_id: int, fence: int, until: float) -> bool:
    """Extend the claim; False when it is no longer ours."""
    return _changed(session, update(Round).where(*_ours(round_id, fence)).values(lease_until=until)) == 1


def release(session: Session, round_id: int, fence: int) -> None:
    """Give the claim back, so that the next worker need not wait for the lease to run out."""
    session.execute(update(Round).where(*_ours(round_id, fence)).values(lease_until=None, owner=None))


def put_back(session: Session, round_id: int, fence: int, why: str, not_before: float | None) -> None:
    """Let a claimed round wait again and say why; nobody claims it before that time (seconds since the epoch)."""
    values = {"state": "requested", "owner": None, "lease_until": not_before, "message": why}
    session.execute(update(Round).where(*_ours(round_id, fence)).values(**values))


def waiting_otherwise(session: Session, why: str) -> list[Round]:
    """The rounds that wait to be claimed and do not say `why`."""
    query = select(Round).where(col(Round.state) == "requested", col(Round.message) != why)
    return list(session.exec(query).all())


def check_claim(session: Session, round_id: int, fence: int, *, lock: bool = False) -> None:
    """Raise Cancelled unless the round is still running under this fence and nobody asked to cancel it.

    With `lock` it stays so until the transaction ends.
    """
    query = select(Round.fence, Round.state, Round.cancel_requested).where(col(Round.id) == round_id)
    row = session.exec(query.with_for_update() if lock else query).one_or_none()
    if row is None or row[0] != fence or row[1] != "running":
        raise Cancelled(f"round {round_id} is no longer ours: another worker holds it, or it ended")
    if row[2]:
        raise Cancelled(f"round {round_id} was cancelled")


def change_round(session: Session, round_id: int, fence: int, **values: Any) -> bool:
    """Change the columns of a claimed round; False when it is no longer ours."""
    return _changed(session, update(Round).where(*_ours(round_id, fence)).values(**values)) == 1


def _stands(lease_until: float | None) -> Any:
    """Whether a lease is still as it was seen: it was not renewed since."""
    return col(Round.lease_until).is_(None) if lease_until is None else col(Round.lease_until) == lease_until


def _ours(round_id: int, fence: int) -> tuple[Any, ...]:
    return (col(Round.id) == round_id, col(Round.fence) == fence, col(Round.state) == "running")


def _changed(session: Session, statement: Any) -> int:
    return len(session.execute(statement.returning(col(Round.id))).all())


# ---- recording what it did --------------------------------------------------------------------------------


def attempts(session: Session, round_id: int) -> list[Attempt]:
    """A round's attempts by number."""
    return list(
        session.exec(select(Attempt).where(col(Attempt.round_id) == round_id).order_by(col(Attempt.number))).all()
    )


def attempts_of_nobody(session: Session) -> list[str]:
    """The folders of attempts whose weights nobody may use.

    All of cancelled rounds, and the unjudged ones of broken rounds in which somebody was erased.
    """
    erased = {round_id for receipt in session.exec(select(ErasureReceipt.rounds)) for round_id in receipt}
    query = select(Attempt.folder, Attempt.verdict, Round.id, Round.state).join(
        Round, col(Round.id) == Attempt.round_id
    )
    return [
        folder
        for folder, verdict, round_id, state in session.exec(query)
        if state == "cancelled" or (state == "error" and verdict is None and round_id in erased)
    ]


def end_open_attempts(session: Session, round_id: int, state: str, reason: str) -> None:
    """An attempt whose process was killed could not say itself how it ended."""
    still_open = and_(col(Attempt.round_id) == round_id, col(Attempt.state) == "running")
    session.execute(update(Attempt).where(still_open).values(state=state, reasons=[reason], finished_at=now()))


def count_stages(session: Session, round_id: int) -> int:
    """How many stages of a round have finished, in all its attempts."""
    query = select(func.count()).select_from(Stage).join(Attempt, col(Attempt.id) == col(Stage.attempt_id))
    return session.exec(query.where(col(Attempt.round_id) == round_id)).one()


def stages(session: Session, attempt_id: int) -> list[Stage]:
    """The stages of an attempt that finished, in their order."""
    return list(session.exec(select(Stage).where(col(Stage.attempt_id) == attempt_id).order_by(col(Stage.id))).all())


def find_stage(session: Session, attempt_id: int, name: str) -> Stage | None:
    """A stage of an attempt, if it has finished."""
    return session.exec(select(Stage).where(col(Stage.attempt_id) == attempt_id, col(Stage.name) == name)).one_or_none()


def put_stage(session: Session, attempt_id: int, name: str, digest: str, fence: int, seconds: float) -> None:
    """Store that a stage finished, in place of an earlier run of it."""
    row = find_stage(session, attempt_id, name) or Stage(
        attempt_id=attempt_id, name=name, digest=digest, fence=fence, seconds=seconds
    )
    row.digest, row.fence, row.seconds, row.finished_at = digest, fence, seconds, now()
    session.add(row)


def put_snapshot(
    session: Session, round_id: int, digest: str, counts: Mapping[str, Any], items: Sequence[records.SnapshotItem]
) -> None:
    """Store what a round decided about every conversation, in place of what an earlier snapshot of it said."""
    for table in (SnapshotWriter, SnapshotItem, Snapshot):
        session.execute(delete(table).where(col(table.round_id) == round_id))
    session.add(Snapshot(round_id=round_id, digest=digest, counts=dict(counts)))
    session.flush()
    rows = [
        {
            "round_id": round_id,
            "conversation_id": item.conversation,
            "person_id": item.person,
            "tokens": item.tokens,
            "outcome": item.outcome,
            "reason": item.reason,
            "part": item.part,
            "source": item.source,
            "digest": item.digest,
        }
        for item in items
    ]
    writers = [
        {"round_id": round_id, "conversation_id": item.conversation, "person_id": person, "tokens": tokens}
        for item in items
        for person, tokens in item.written.items()
    ]
    if rows:
        session.execute(insert(SnapshotItem), rows)
    if writers:
        session.execute(insert(SnapshotWriter), writers)


def refuse_erased(session: Session, round_id: int) -> None:
    """Raise Cancelled if a snapshot counts on somebody who was erased after it was taken and before it was stored.

    Erasure could not find it then; whoever is erased later is found by its rows.
    """
    held = ("used", "held_out")
    erased = select(Person.id).where(col(Person.erased_at).is_not(None))
    by_id = (
        (SnapshotItem, col(SnapshotItem.person_id), col(SnapshotItem.outcome).in_(held)),
        (SnapshotWriter, col(SnapshotWriter.person_id), true()),
        (FeedbackFate, col(FeedbackFate.rater), col(FeedbackFate.outcome).in_(held)),
    )
    for table, person, counts in by_id:
        query = select(person).where(col(table.round_id) == round_id, counts, person.in_(erased)).limit(1)
        if session.exec(query).first() is not None:
            raise Cancelled(f"a person was forgotten while round {round_id} took its snapshot; ask for a new round")


def leave_out(session: Session, round_id: int, reasons: Mapping[str, str]) -> None:
    """The mixture had no room for these conversations of the snapshot."""
    for conversation, reason in reasons.items():
        key = (col(SnapshotItem.round_id) == round_id, col(SnapshotItem.conversation_id) == conversation)
        session.execute(update(SnapshotItem).where(*key).values(outcome="left_out", reason=reason))


def take_back_in(session: Session, round_id: int, reasons: Collection[str], still_out: Collection[str]) -> None:
    """A later attempt had room for what an earlier one left out for one of `reasons`, but for `still_out`."""
    out = and_(
        col(SnapshotItem.round_id) == round_id,
        col(SnapshotItem.outcome) == "left_out",
        col(SnapshotItem.reason).in_(reasons),
    )
    for item in session.exec(select(SnapshotItem).where(out)).all():
        if item.conversation_id not in still_out and item.part is not None:
            item.outcome, item.reason = ("used" if item.part == "train" else "held_out"), item.part
            session.add(item)


def get_snapshot(session: Session, round_id: int) -> Snapshot | None:
    """A round's snapshot, if it took one."""
    return session.get(Snapshot, round_id)


def models_of(session: Session, round_id: int) -> list[Model]:
    """The models that a round made."""
    return list(session.exec(select(Model).where(col(Model.round_id) == round_id).order_by(col(Model.id))).all())


# ---- lineage ----------------------------------------------------------------------------------------------


def champion_lineage(session: Session) -> tuple[str | None, list[str]]:
    """The champion, and the models that its weights come from, oldest first, itself last."""
    champion = models.champion_id(session)
    if champion is None:
        return None, []
    model = models.get_model(session, champion).model
    return champion, [*model.parents, model.id]


def untainted(session: Session, lineage: Sequence[str]) -> list[str]:
    """The models of a lineage before the first that learned from somebody who was erased."""
    kept: list[str] = []
    for name in lineage:
        if models.get_model(session, name).model.tainted_at is not None:
            break
        kept.append(name)
    return kept


def promoted_rounds(session: Session, recipe_name: str) -> int:
    """How many rounds of this recipe have had a model promoted."""
    query = (
        select(func.count(func.distinct(col(Model.round_id))))
        .join(Promotion, col(Promotion.model_id) == col(Model.id))
        .where(col(Model.recipe_name) == recipe_name, col(Promotion.kind).in_(_PROMOTING_KINDS))
    )
    return session.exec(query).one()


def seen_conversations(session: Session, model_ids: Sequence[str]) -> set[str]:
    """The conversations that the rounds of these models trained on, or held out."""
    query = (
        select(SnapshotItem.conversation_id)
        .join(Model, col(Model.round_id) == col(SnapshotItem.round_id))
        .where(col(Model.id).in_(model_ids), col(SnapshotItem.outcome).in_(("used", "held_out")))
    )
    return set(session.exec(query).all())
