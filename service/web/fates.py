"""What stands on a conversation's answers and what rounds made of it: said alike by the API and the pages."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlmodel import Session

from service.store import comparisons, conversations, corrections, curation, fates, votes
from service.store.comparisons import StandingComparison
from service.store.corrections import StoredCorrection
from service.store.tables import FeedbackFate, Message
from service.web.schemas import FeedbackUse, MessageFeedback, Use


def feedback_on(session: Session, app: str, conversation_id: str) -> list[MessageFeedback]:
    """The feedback on each answer and correction of a conversation, by position."""
    messages = curation.raw_messages(session, [conversation_id])[conversation_id]
    history = corrections.by_conversation(session, [conversation_id]).get(conversation_id, [])
    stands = {one.message_id for one in corrections.select_standing(history)}
    written = {one.message_id: one for one in history}
    counts = votes.count_votes(session, app, conversation_id)
    corrected = Counter(one.corrected_id for one in history if one.message_id in stands)
    compared = _compared(messages, comparisons.comparisons_on(session, [conversation_id]))
    positions = {message.id: message.position for message in messages}
    return [
        MessageFeedback(
            position=message.position,
            up=counts[message.client_hmac, 1],
            down=counts[message.client_hmac, -1],
            corrections=corrected[message.id],
            **compared[message.client_hmac],
            **_correction(written.get(message.id), stands, positions),
        )
        for message in messages
        if message.role == "assistant"
    ]


def decided(session: Session, conversation_id: str) -> list[Use]:
    """What each round decided about a conversation and the feedback on it, oldest round first.

    A round that did not read the conversation, because it was not clean then, is there if feedback on it stood.
    """
    messages = curation.raw_messages(session, [conversation_id])[conversation_id]
    positions = {message.id: message.position for message in messages}
    by_round: dict[int, list[FeedbackFate]] = defaultdict(list)
    for fate in fates.fates_of(session, conversation_id):
        by_round[fate.round_id].append(fate)
    decided = {use.round_id: (use.outcome, use.reason) for use in conversations.uses_of(session, conversation_id)}
    return [
        Use.model_validate(
            {
                "round": round_id,
                "outcome": outcome,
                "reason": reason,
                "feedback": [_fate(fate, positions) for fate in by_round[round_id]],
            }
        )
        for round_id in sorted(decided.keys() | by_round.keys())
        for outcome, reason in [decided.get(round_id, ("left_out", "not_clean"))]
    ]


def _fate(fate: FeedbackFate, positions: Mapping[str, int]) -> FeedbackUse:
    return FeedbackUse.model_validate(
        {
            "position": positions.get(fate.message_id),
            "other": positions.get(fate.other_id),
            "kind": fate.kind,
            "value": fate.value,
            "outcome": fate.outcome,
            "rule": fate.rule,
            "weight": fate.weight,
        }
    )


def _compared(messages: Iterable[Message], standing: Sequence[StandingComparison]) -> dict[str, Counter[str]]:
    """Comparisons by the keyed id of each message: preferred, passed_over, not_comparable."""
    parents = {message.client_hmac: message.parent_id for message in messages}
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for one in standing:
        sides = [one.chosen_hmac, one.rejected_hmac]
        siblings = all(side in parents for side in sides) and len({parents[side] for side in sides}) == 1
        for side, name in zip(sides, ("preferred", "passed_over"), strict=True):
            found[side][name if siblings else "not_comparable"] += 1
    return found


def _correction(
    correction: StoredCorrection | None, stands: set[str], positions: dict[str, int]
) -> dict[str, int | str | None]:
    if correction is None:
        return {}
    state = "retracted" if correction.is_retracted else "superseded"
    if correction.message_id in stands:
        state = "refused" if correction.refused else "stands"
    return {
        "corrects": positions[correction.corrected_id],
        "id": correction.id,
        "state": state,
        "rule": correction.refused,
    }
