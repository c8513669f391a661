"""Feedback that stands and is on nothing that a round reads, each piece with the reason (pipelines/feedback/reasons.py)."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from pipelines.records import FeedbackFate, FeedbackKind
from service.store import comparisons, corrections
from service.store.raters import Rater
from service.store.tables import Conversation, Correction, Message, Vote

_CHUNK = 400  # rows per query: below every database's limit on bound values
_STATES = {
    "received": "not_curated_yet",
    "rejected": "conversation_rejected",
    "quarantined": "conversation_quarantined",
}


class _Place(NamedTuple):
    """Where a message is stored, and why feedback on it is not heard."""

    message: str
    conversation: str
    rule: str


_NOWHERE = _Place("", "", "message_unknown")


def find_lost(session: Session, known: Mapping[str, Rater], heard: Collection[str]) -> tuple[FeedbackFate, ...]:
    """What became of every vote, comparison and correction that stands and whose id is not in `heard`.

    What names no stored message has no conversation; one of two answers that are apart belongs to the chosen one's.
    """
    return (*_votes(session, known, heard), *_comparisons(session, known, heard), *_corrections(session, heard))


def _votes(session: Session, known: Mapping[str, Rater], heard: Collection[str]) -> Iterator[FeedbackFate]:
    query = (
        select(Vote.id, Vote.message_hmac, Vote.rater_hmac, Vote.value).where(Vote.value != 0).order_by(col(Vote.id))
    )
    rows = [row for row in session.exec(query).yield_per(_CHUNK) if row[0] not in heard]
    places = _places(session, {row[1] for row in rows})
    for _, message, rater, value in rows:
        yield _dropped("vote", known[rater].id, places.get(message, _NOWHERE), value=1 if value > 0 else -1)


def _comparisons(session: Session, known: Mapping[str, Rater], heard: Collection[str]) -> Iterator[FeedbackFate]:
    rows = [one for one in comparisons.all_standing(session) if one.id not in heard]
    places = _places(session, {hmac for one in rows for hmac in (one.chosen_hmac, one.rejected_hmac)})
    for one in rows:
        chosen, rejected = (places.get(hmac, _NOWHERE) for hmac in (one.chosen_hmac, one.rejected_hmac))
        home = _Place(chosen.message, chosen.conversation or rejected.conversation, _of_two(chosen, rejected))
        yield _dropped("comparison", known[one.rater_hmac].id, home, other=rejected.message)


def _corrections(session: Session, heard: Collection[str]) -> Iterator[FeedbackFate]:
    rows = [one for one in corrections.standing(corrections.held_anywhere(session)) if one.id not in heard]
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


def _dropped(kind: FeedbackKind, rater: str, place: _Place, value: Literal[1, -1] = 1, other: str = "") -> FeedbackFate:
    return FeedbackFate(
        conversation=place.conversation,
        message=place.message,
        rater=rater,
        kind=kind,
        value=value,
        outcome="dropped",
        rule=place.rule,
        other=other,
    )
