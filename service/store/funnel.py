"""Counts for the pages: the funnel, and what was left out and why. Ids and numbers only."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from pipelines.curate.reasons import Altered
from service.store.tables import Conversation, Quarantine, Rejection, Snapshot, SnapshotItem

MAX_REASONS = 20


@dataclass(frozen=True)
class LeftOut:
    """How many conversations a rule or reason left out, and where."""

    reason: str
    place: str
    count: int


@dataclass(frozen=True)
class Funnel:
    """Counts of conversations. `used` and `held_out` are those of the newest round that took a snapshot."""

    received: int
    waiting: int
    clean: int
    consented: int
    rejected: int
    quarantined: int
    erased: int
    used: int
    held_out: int
    snapshot_round: int | None
    last_curated: datetime | None
    altered: Altered
    left_out: tuple[LeftOut, ...]


def funnel(session: Session) -> Funnel:
    """What came in and what became of it. Reads every conversation's row."""
    states, consented, last_curated = _states(session)
    answers = select(
        func.coalesce(func.sum(Conversation.answers), 0),
        func.coalesce(func.sum(Conversation.answers_changed), 0),
        func.coalesce(func.sum(Conversation.answers_replaced), 0),
    )
    every, changed, replaced = session.exec(answers.where(Conversation.state == "clean")).one()
    latest = session.exec(select(func.max(Snapshot.round_id))).one()
    decided = _decided(session, latest) if latest is not None else {}
    outcomes = {name: sum(n for (outcome, _), n in decided.items() if outcome == name) for name in ("used", "held_out")}
    return Funnel(
        received=sum(states.values()),
        waiting=states["received"],
        clean=states["clean"],
        consented=consented,
        rejected=states["rejected"],
        quarantined=states["quarantined"],
        erased=states["erased"],
        used=outcomes["used"],
        held_out=outcomes["held_out"],
        snapshot_round=latest,
        last_curated=last_curated,
        altered=Altered(answers=int(every), changed=int(changed), replaced=int(replaced)),
        left_out=tuple(_left_out(session, latest, decided)),
    )


def _states(session: Session) -> tuple[Counter[str], int, datetime | None]:
    """Conversations by state, how many clean ones have consent, and when the last one was curated; one scan."""
    query = select(Conversation.state, Conversation.consent, func.count(), func.max(Conversation.curated_at)).group_by(
        Conversation.state, col(Conversation.consent)
    )
    states: Counter[str] = Counter()
    consented, last = 0, None
    for state, consent, count, curated_at in session.exec(query).all():
        states[state] += count
        consented += count if state == "clean" and consent else 0
        last = max(filter(None, (last, curated_at)), default=None)
    return states, consented, last


def _decided(session: Session, round_id: int) -> dict[tuple[str, str], int]:
    """What a round's snapshot decided: counts by outcome and reason."""
    query = (
        select(SnapshotItem.outcome, SnapshotItem.reason, func.count())
        .where(SnapshotItem.round_id == round_id)
        .group_by(SnapshotItem.outcome, SnapshotItem.reason)
    )
    return {(outcome, reason): count for outcome, reason, count in session.exec(query).all()}


def _left_out(session: Session, round_id: int | None, decided: Mapping[tuple[str, str], int]) -> list[LeftOut]:
    rejected = session.exec(select(Rejection.rule, func.count()).group_by(Rejection.rule)).all()
    quarantined = session.exec(select(Quarantine.reason, func.count()).group_by(Quarantine.reason)).all()
    rows = [LeftOut(rule, "curation", count) for rule, count in rejected]
    rows += [LeftOut(reason, "quarantine", count) for reason, count in quarantined]
    rows += [
        LeftOut(why, f"round {round_id}", count) for (outcome, why), count in decided.items() if outcome == "left_out"
    ]
    return sorted(rows, key=lambda row: (-row.count, row.reason))[:MAX_REASONS]
