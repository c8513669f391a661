"""Conversations with a part of their feedback taken away, as if it had never been given; texts stay."""

from collections.abc import Container, Iterable

from pipelines.feedback.pieces import FeedbackKey
from pipelines.records import RatedConversation, RatedMessage


def only_with(candidate: RatedConversation, counting: Container[FeedbackKey]) -> RatedConversation:
    """The candidate as it would be if only this feedback had been given."""
    messages = tuple(_reduced_message(message, counting) for message in candidate.messages)
    comparisons = tuple(
        one for one in candidate.comparisons if (one.chosen, one.rejected, one.rater, "comparison") in counting
    )
    return candidate.model_copy(update={"messages": messages, "comparisons": comparisons})


def _reduced_message(message: RatedMessage, counting: Container[FeedbackKey]) -> RatedMessage:
    name, by = message.key.message, message.corrects
    changes: dict[str, object] = {}
    stands = by is not None and by.counts and (by.of, name, by.rater, "correction") in counting
    if message.ratings:
        ratings = tuple(one for one in message.ratings if (name, "", one.rater, "vote") in counting)
        ups, downs = (sum(one.value == side for one in ratings) for side in (1, -1))
        if not (ups or downs or stands):  # a doubt is enough against an answer that nobody who counts speaks for
            downs = int(any(one.value < 0 and one.source == "person" for one in message.ratings))
        changes |= {"ratings": ratings, "up": ups, "down": downs}
    if by is not None and by.counts and not stands:
        changes["corrects"] = by.model_copy(update={"counts": False})
    return message.model_copy(update=changes) if changes else message


def without(candidates: Iterable[RatedConversation], raters: frozenset[str]) -> tuple[RatedConversation, ...]:
    """The same conversations as if these raters had given no feedback at all; their own texts stay."""
    remainder = []
    for candidate in candidates:
        messages = tuple(_without(message, raters) for message in candidate.messages)
        comparisons = tuple(one for one in candidate.comparisons if one.rater not in raters)
        remainder.append(candidate.model_copy(update={"messages": messages, "comparisons": comparisons}))
    return tuple(remainder)


def _without(message: RatedMessage, raters: frozenset[str]) -> RatedMessage:
    changes: dict[str, object] = {}
    gone = [one for one in message.ratings if one.rater in raters]
    if gone:
        ratings = tuple(one for one in message.ratings if one.rater not in raters)
        changes |= {
            "ratings": ratings,
            "up": message.up - sum(one.value > 0 for one in gone),
            "down": message.down - sum(one.value < 0 for one in gone),
        }
    if message.corrects is not None and message.corrects.rater in raters:
        changes["corrects"] = message.corrects.model_copy(update={"counts": False})
    return message.model_copy(update=changes) if changes else message
