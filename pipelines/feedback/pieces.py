"""Pieces of feedback: the votes, corrections and comparisons of conversations, one record each.

Feedback(conversation="9f..", message="m1", other="", rater="1c..", kind="vote", value=1, ...)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from sys import intern
from typing import Literal

from pipelines.records import FeedbackFate, FeedbackKind, FeedbackOutcome, FeedbackSource, RatedConversation
from pipelines.turns import Review

FeedbackKey = tuple[str, str, str, FeedbackKind]


@dataclass(frozen=True, slots=True)
class Feedback:
    """One vote, correction or comparison, and where it stands; `message` and `other` as in FeedbackFate."""

    conversation: str
    prompt_cluster: str
    message: str
    other: str
    rater: str
    kind: FeedbackKind
    value: Literal[1, -1]
    at: datetime
    since: datetime
    app: str
    consent: bool
    source: FeedbackSource = "person"
    review: Review = ""

    @property
    def key(self) -> FeedbackKey:
        """What makes it one piece: message, other message, rater, kind."""
        return (self.message, self.other, self.rater, self.kind)

    @property
    def newest_first(self) -> tuple[float, FeedbackKey]:
        """A sorting key: the newest first, then by key."""
        return (-self.at.timestamp(), self.key)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a piece, by the piece itself: as FeedbackFate, in a tenth of the memory."""

    piece: Feedback
    outcome: FeedbackOutcome
    rule: str
    weight: float

    @property
    def order(self) -> tuple[str, str, str, str, str]:
        """As `fate_order`."""
        piece = self.piece
        return (piece.conversation, piece.message, piece.other, piece.rater, piece.kind)

    def record(self) -> FeedbackFate:
        """What files hold of it."""
        piece = self.piece
        return FeedbackFate(
            conversation=piece.conversation,
            message=piece.message,
            rater=piece.rater,
            kind=piece.kind,
            value=piece.value,
            outcome=self.outcome,
            rule=self.rule,
            weight=self.weight,
            other=piece.other,
        )


def pieces_of(candidate: RatedConversation) -> Iterator[Feedback]:
    """Every vote, correction and comparison of a conversation; corrections that do not count are left out."""
    at_home = partial(
        Feedback,
        conversation=candidate.conversation,
        prompt_cluster=intern(candidate.prompt_cluster),
        app=intern(candidate.app),
        consent=candidate.consent is True,
        review=candidate.review,
    )
    for message in candidate.messages:
        name = message.key.message
        for rating in message.ratings:
            yield at_home(
                message=name,
                other="",
                rater=intern(rating.rater),
                kind="vote",
                value=rating.value,
                at=rating.at,
                since=rating.since,
                source=rating.source,
            )
        if message.corrects is not None and message.corrects.counts:
            by = message.corrects
            yield at_home(
                message=by.of,
                other=name,
                rater=intern(by.rater),
                kind="correction",
                value=1,
                at=by.at,
                since=by.since,
                source=by.source,
            )
    for one in candidate.comparisons:
        yield at_home(
            message=one.chosen,
            other=one.rejected,
            rater=intern(one.rater),
            kind="comparison",
            value=1,
            at=one.at,
            since=one.since,
            source=one.source,
        )


def fate_order(fate: FeedbackFate) -> tuple[str, str, str, str, str]:
    """The order in which fates are written."""
    return (fate.conversation, fate.message, fate.other, fate.rater, fate.kind)
