"""Queries about what rounds made of feedback, and about what one person contributed to them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, insert, update
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, func, select

from pipelines import records
from pipelines.feedback.method import RESAMPLED_FROM
from service.store.tables import FeedbackFate, SnapshotItem, SnapshotWriter

_NAMES_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class Uses:
    """Conversations of a person that a round decided alike about; `tokens` are all that they train, others' corrections too."""

    round_id: int
    outcome: str
    reason: str
    conversations: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Heard:
    """Pieces of feedback of a rater that a round decided alike about."""

    round_id: int
    kind: str
    outcome: str
    rule: str
    count: int
    weight: float


def add_fates(session: Session, round_id: int, fates: Sequence[records.FeedbackFate]) -> None:
    """Stores what a round made of every piece of feedback."""
    rows = [
        {
            "round_id": round_id,
            "conversation_id": fate.conversation,
            "message_id": fate.message,
            "other_id": fate.other,
            "rater": fate.rater,
            "kind": fate.kind,
            "value": fate.value,
            "outcome": fate.outcome,
            "rule": fate.rule,
            "weight": fate.weight,
        }
        for fate in fates
    ]
    if rows:
        session.execute(insert(FeedbackFate), rows)


def mark_resampled(session: Session, round_id: int, answers: Sequence[str]) -> None:
    """The down-votes on these bad answers taught a pair, with a fresh answer (pipelines.feedback.method.resample_fates)."""
    of_votes = (
        col(FeedbackFate.round_id) == round_id,
        col(FeedbackFate.kind) == "vote",
        col(FeedbackFate.value) < 0,
        col(FeedbackFate.rule).in_(RESAMPLED_FROM),
    )
    for start in range(0, len(answers), _NAMES_AT_A_TIME):
        named = col(FeedbackFate.message_id).in_(answers[start : start + _NAMES_AT_A_TIME])
        session.execute(update(FeedbackFate).where(named, *of_votes).values(outcome="used", rule="resample"))


def fates_of(session: Session, conversation_id: str) -> list[FeedbackFate]:
    """What each round made of the feedback on a conversation, oldest round first."""
    query = select(FeedbackFate).where(FeedbackFate.conversation_id == conversation_id)
    return list(session.exec(query.order_by(col(FeedbackFate.round_id), col(FeedbackFate.id))).all())


def rename_rater(session: Session, before: str, after: str) -> None:
    """Fates of somebody who voted before raters became people know them by a hash; now by an id."""
    session.execute(update(FeedbackFate).where(col(FeedbackFate.rater) == before).values(rater=after))


def uses_by(session: Session, person: str, rounds: Collection[int]) -> list[Uses]:
    """What these rounds decided about a person's conversations, oldest round first."""
    keys = (col(SnapshotItem.round_id), col(SnapshotItem.outcome), col(SnapshotItem.reason))
    query = (
        sql_select(*keys, func.count(), func.sum(SnapshotItem.tokens))
        .where(col(SnapshotItem.person_id) == person, col(SnapshotItem.round_id).in_(rounds))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [Uses(row[0], row[1], row[2], row[3], int(row[4])) for row in session.execute(query).all()]


def heard_of(session: Session, raters: Collection[str], rounds: Collection[int]) -> list[Heard]:
    """What these rounds made of a rater's feedback, oldest round first."""
    keys = (col(FeedbackFate.round_id), col(FeedbackFate.kind), col(FeedbackFate.outcome), col(FeedbackFate.rule))
    query = (
        sql_select(*keys, func.count(), func.sum(FeedbackFate.weight))
        .where(col(FeedbackFate.rater).in_(raters), col(FeedbackFate.round_id).in_(rounds))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [Heard(*row) for row in session.execute(query).all()]


def tokens_by_person(session: Session, rounds: Collection[int]) -> dict[str, int]:
    """Trained tokens of each person in these rounds: those of their conversations, but what others wrote is the writers'."""
    used = (col(SnapshotItem.round_id).in_(rounds), SnapshotItem.outcome == "used")
    at_home = (
        select(SnapshotItem.person_id, func.sum(SnapshotItem.tokens)).where(*used).group_by(SnapshotItem.person_id)
    )
    found = {person: int(tokens) for person, tokens in session.exec(at_home).all()}
    for owner, writer, tokens in session.exec(_written(used)).all():
        found[owner] -= int(tokens)
        found[writer] = found.get(writer, 0) + int(tokens)
    return found


def weight_by_rater(session: Session, rounds: Collection[int]) -> dict[str, float]:
    """Weight of each rater's feedback that was learnt from in these rounds."""
    query = (
        select(FeedbackFate.rater, func.sum(FeedbackFate.weight))
        .where(col(FeedbackFate.round_id).in_(rounds), FeedbackFate.outcome == "used")
        .group_by(FeedbackFate.rater)
    )
    return {rater: float(weight) for rater, weight in session.exec(query).all()}


def _written(used: Sequence[ColumnElement[bool] | bool]) -> Any:
    """Tokens by whose conversation and who wrote them instead, of the chosen items."""
    same = and_(
        col(SnapshotItem.round_id) == col(SnapshotWriter.round_id),
        col(SnapshotItem.conversation_id) == col(SnapshotWriter.conversation_id),
    )
    return (
        select(SnapshotItem.person_id, SnapshotWriter.person_id, func.sum(SnapshotWriter.tokens))
        .join(SnapshotWriter, same)
        .where(*used)
        .group_by(col(SnapshotItem.person_id), col(SnapshotWriter.person_id))
    )
