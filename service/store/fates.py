"""Queries about what rounds made of feedback, what one person contributed, and feedback that no round reads.

The reasons of the latter are worded in pipelines/feedback/reasons.py.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, and_, delete, exists, insert, or_, update
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, func, select

from pipelines import records
from pipelines.feedback.method import RESAMPLED_FROM
from pipelines.records import FeedbackKind
from service.store import comparisons, corrections
from service.store.people import Rater
from service.store.tables import (
    Conversation,
    Correction,
    FeedbackFate,
    Message,
    Person,
    SnapshotItem,
    SnapshotWriter,
    Vote,
)

_NAMES_AT_A_TIME = 500
_CHUNK = 400  # rows per query: below every database's limit on bound values
_STATES = {
    "received": "not_curated_yet",
    "rejected": "conversation_rejected",
    "quarantined": "conversation_quarantined",
}


@dataclass(frozen=True, slots=True)
class ConversationUses:
    """Conversations of a person that a round decided alike about; `tokens` are all that they train, others' corrections too."""

    round_id: int
    outcome: str
    reason: str
    conversations: int
    tokens: int


@dataclass(frozen=True, slots=True)
class FeedbackUses:
    """Pieces of feedback of a rater that a round decided alike about."""

    round_id: int
    kind: str
    outcome: str
    rule: str
    count: int
    weight: float


def put_fates(session: Session, round_id: int, fates: Sequence[records.FeedbackFate]) -> None:
    """Stores what a round made of every piece of feedback, in place of what an earlier snapshot of it said."""
    session.execute(delete(FeedbackFate).where(col(FeedbackFate.round_id) == round_id))
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


def uses_by(session: Session, person: str, rounds: Collection[int]) -> list[ConversationUses]:
    """What these rounds decided about a person's conversations, oldest round first."""
    keys = (col(SnapshotItem.round_id), col(SnapshotItem.outcome), col(SnapshotItem.reason))
    query = (
        sql_select(*keys, func.count(), func.sum(SnapshotItem.tokens))
        .where(col(SnapshotItem.person_id) == person, col(SnapshotItem.round_id).in_(rounds))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [ConversationUses(row[0], row[1], row[2], row[3], int(row[4])) for row in session.execute(query).all()]


def feedback_of(session: Session, raters: Collection[str], rounds: Collection[int]) -> list[FeedbackUses]:
    """What these rounds made of a rater's feedback, oldest round first."""
    keys = (col(FeedbackFate.round_id), col(FeedbackFate.kind), col(FeedbackFate.outcome), col(FeedbackFate.rule))
    query = (
        sql_select(*keys, func.count(), func.sum(FeedbackFate.weight))
        .where(col(FeedbackFate.rater).in_(raters), col(FeedbackFate.round_id).in_(rounds))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [FeedbackUses(*row) for row in session.execute(query).all()]


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


def held_out(session: Session, round_id: int, behind: str, limit: int) -> Sequence[SnapshotItem]:
    """The next conversations that a round kept apart to measure, by their ids, behind one of them."""
    query = select(SnapshotItem).where(
        col(SnapshotItem.round_id) == round_id,
        col(SnapshotItem.outcome) == "held_out",
        col(SnapshotItem.part) == "heldout",
        col(SnapshotItem.conversation_id) > behind,
    )
    return session.exec(query.order_by(col(SnapshotItem.conversation_id)).limit(limit)).all()


def count_people(session: Session, rounds: Collection[int]) -> tuple[int, int]:
    """How many people's conversations or feedback these rounds used, and how many of them were forgotten since.

    Asks once for each person, through the index of their conversations: a round has many more of those, and the sum with
    0 keeps SQLite from going through them.
    """
    shown = exists().where(
        col(SnapshotItem.person_id) == col(Person.id),
        (col(SnapshotItem.round_id) + 0).in_(rounds),
        col(SnapshotItem.outcome) == "used",
    )
    heard = exists().where(
        col(FeedbackFate.rater) == col(Person.id),
        (col(FeedbackFate.round_id) + 0).in_(rounds),
        col(FeedbackFate.outcome) == "used",
    )
    query = select(func.count(), func.count(col(Person.erased_at))).where(or_(shown, heard))
    every, forgotten = session.exec(query).one()
    return every, forgotten


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


class _Place(NamedTuple):
    """Where a message is stored, and why feedback on it counts for nothing."""

    message: str
    conversation: str
    rule: str


_NOWHERE = _Place("", "", "message_unknown")


def find_lost(
    session: Session, known: Mapping[str, Rater], feedback_ids: Collection[str]
) -> tuple[records.FeedbackFate, ...]:
    """What became of every vote, comparison and correction that stands and whose id is not in `feedback_ids`.

    What names no stored message has no conversation; one of two answers that are apart belongs to the chosen one's.
    """
    return (
        *_votes(session, known, feedback_ids),
        *_comparisons(session, known, feedback_ids),
        *_corrections(session, feedback_ids),
    )


def _votes(
    session: Session, known: Mapping[str, Rater], feedback_ids: Collection[str]
) -> Iterator[records.FeedbackFate]:
    query = (
        select(Vote.id, Vote.message_hmac, Vote.rater_hmac, Vote.value).where(Vote.value != 0).order_by(col(Vote.id))
    )
    rows = [row for row in session.exec(query).yield_per(_CHUNK) if row[0] not in feedback_ids]
    places = _places(session, {row[1] for row in rows})
    for _, message, rater, value in rows:
        yield _dropped("vote", known[rater].id, places.get(message, _NOWHERE), value=1 if value > 0 else -1)


def _comparisons(
    session: Session, known: Mapping[str, Rater], feedback_ids: Collection[str]
) -> Iterator[records.FeedbackFate]:
    rows = [one for one in comparisons.all_comparisons(session) if one.id not in feedback_ids]
    places = _places(session, {hmac for one in rows for hmac in (one.chosen_hmac, one.rejected_hmac)})
    for one in rows:
        chosen, rejected = (places.get(hmac, _NOWHERE) for hmac in (one.chosen_hmac, one.rejected_hmac))
        home = _Place(chosen.message, chosen.conversation or rejected.conversation, _of_two(chosen, rejected))
        yield _dropped("comparison", known[one.rater_hmac].id, home, other=rejected.message)


def _corrections(session: Session, feedback_ids: Collection[str]) -> Iterator[records.FeedbackFate]:
    rows = [
        one for one in corrections.select_standing(corrections.all_corrections(session)) if one.id not in feedback_ids
    ]
    states = _states(session, {one.conversation_id for one in rows})
    for one in rows:
        rule = _STATES.get(states[one.conversation_id]) or ("correction_refused" if one.refused else "answer_gone")
        yield _dropped(
            "correction", one.person_id, _Place(one.corrected_id, one.conversation_id, rule), other=one.message_id
        )


def _of_two(chosen: _Place, rejected: _Place) -> str:
    """The reason of a comparison: an answer that never came, two that are apart, else what is wrong with one of them."""
    if _NOWHERE in (chosen, rejected):
        return _NOWHERE.rule
    if chosen.conversation != rejected.conversation:
        return "other_prompt"
    return rejected.rule if chosen.rule == "answer_gone" else chosen.rule


def _places(session: Session, hashes: Iterable[str]) -> dict[str, _Place]:
    """Where the messages with these keyed ids are, those that are stored."""
    query = (
        sql_select(
            *(col(column) for column in (Message.client_hmac, Message.id, Conversation.id, Conversation.state)),
            col(Correction.id),
            col(Correction.refused),
        )
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .join(Correction, col(Correction.message_id) == col(Message.id), isouter=True)
    )
    found = {}
    for chunk in _chunks(hashes):
        for hmac, message, conversation, state, correction, refused in session.execute(
            query.where(col(Message.client_hmac).in_(chunk))
        ):
            of_text = "answer_gone" if correction is None else "correction_refused" if refused else "replaced"
            found[hmac] = _Place(message, conversation, _STATES.get(state, of_text))
    return found


def _states(session: Session, conversations: Iterable[str]) -> dict[str, str]:
    query = select(Conversation.id, Conversation.state)
    chunks = _chunks(conversations)
    return {
        row[0]: row[1] for chunk in chunks for row in session.exec(query.where(col(Conversation.id).in_(chunk))).all()
    }


def _chunks(names: Iterable[str]) -> Iterator[Sequence[str]]:
    ordered = sorted(names)
    return (ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK))


def _dropped(
    kind: FeedbackKind, rater: str, place: _Place, value: Literal[1, -1] = 1, other: str = ""
) -> records.FeedbackFate:
    return records.FeedbackFate(
        conversation=place.conversation,
        message=place.message,
        rater=rater,
        kind=kind,
        value=value,
        outcome="dropped",
        rule=place.rule,
        other=other,
    )
