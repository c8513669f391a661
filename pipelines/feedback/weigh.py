"""Which feedback counts: votes, corrections and comparisons, weighed before anything is learnt from them.

    one by one     consent, age of the account, ratings a day, echoes of the prompt
    as a pool      the share of one app, the share of one rater, agreement with the crowd

Each rule sees what the rules before it left. What is dropped keeps its reason (REASONS), and may come back in a later
round: nothing here is stored. Defences and their order after SCIENCE section 2; nothing is sybil-proof.
"""

import hashlib
import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal

from pipelines.feedback.caps import AUTO_FROM_PEOPLE, cap_level, cap_share
from pipelines.feedback.echo import echoes_its_prompt
from pipelines.feedback.tree import path_before
from pipelines.recipe import Select
from pipelines.records import FeedbackFate, FeedbackKind, RatedConversation, RatedMessage, Record

REASONS: Mapping[str, str] = {
    "no_consent": "no consent to training was given for its conversation",
    "young_account": "its account is too young; it counts in a later round",
    "over_daily_cap": "its account had already given as much that day as counts",
    "echo": "the answer only repeats what the prompt put into its mouth",
    "over_app_cap": "its app already gives the share that one app may",
    "over_user_cap": "its rater already gives the share that one person may",
    "disagrees_with_crowd": "its rater mostly disagrees with everybody else who rated the same answers",
}
# What counts as the crowd: one other person who disagrees is a difference of opinion.
_CROWD = 2
_SLACK = 1e-9

FeedbackKey = tuple[str, str, str, FeedbackKind]


@dataclass(frozen=True)
class Feedback:
    """One vote, correction or comparison, and where it stands; `message` and `other` as in FeedbackFate."""

    conversation: str
    message: str
    other: str
    rater: str
    kind: FeedbackKind
    value: Literal[1, -1]
    at: datetime
    since: datetime
    app: str
    consent: bool

    @property
    def key(self) -> FeedbackKey:
        return (self.message, self.other, self.rater, self.kind)

    @property
    def newest_first(self) -> tuple[float, FeedbackKey]:
        return (-self.at.timestamp(), self.key)

    def dropped(self, rule: str, weight: float = 1.0) -> FeedbackFate:
        return FeedbackFate(
            conversation=self.conversation,
            message=self.message,
            rater=self.rater,
            kind=self.kind,
            value=self.value,
            outcome="dropped",
            rule=rule,
            weight=weight,
            other=self.other,
        )


class VoteCap(Record):
    """How much of all feedback one rater may give: a share, and the pieces it came to; None where no cap held."""

    people: int
    share: float | None
    count: int | None
    why: str

    @property
    def active(self) -> bool:
        return self.count is not None


@dataclass(frozen=True)
class Weighed:
    """What counts. `weights` (above 0, at most 1) has every piece that does, `dropped` every one that does not.

    The candidates hold only what counts, but for one thing: where nothing that counts speaks of an answer, a down that
    was dropped still keeps it from being learnt on satisfaction alone.
    """

    candidates: tuple[RatedConversation, ...]
    weights: Mapping[FeedbackKey, float]
    dropped: tuple[FeedbackFate, ...]
    cap: VoteCap


def weigh(candidates: Iterable[RatedConversation], select: Select, now: datetime) -> Weighed:
    """The feedback that counts in a round at `now`, with a weight each, and the reason against every other piece.

    Messages that come with counts only, without ratings, stay as they are. Order of input does not matter.
    """
    given = sorted(candidates, key=lambda candidate: candidate.conversation)
    left = [piece for candidate in given for piece in pieces_of(candidate)]
    fates: list[FeedbackFate] = []

    def drop(rule: str, out: set[FeedbackKey], weights: Mapping[str, float] | None = None) -> None:
        nonlocal left
        fates.extend(piece.dropped(rule, (weights or {}).get(piece.rater, 1.0)) for piece in left if piece.key in out)
        left = [piece for piece in left if piece.key not in out]

    rule = select.feedback
    drop("no_consent", {piece.key for piece in left if not piece.consent})
    age = timedelta(days=rule.min_account_days)
    drop("young_account", {piece.key for piece in left if now - piece.since < age})
    drop("over_daily_cap", _over_daily_cap(left, rule.per_day))
    drop("echo", _echoes(left, given) if rule.echo else set())
    drop("over_app_cap", _over_app_cap(left, rule.per_app))
    cap = vote_cap(Counter(piece.rater for piece in left), select.per_user.max_votes)
    drop("over_user_cap", _beyond(left, "rater", cap.count))
    heard = _agreement(left, given, rule.min_overlap)
    unheard = {rater for rater, weight in heard.items() if weight < rule.min_weight}
    drop("disagrees_with_crowd", {piece.key for piece in left if piece.rater in unheard}, heard)
    weights = {piece.key: heard.get(piece.rater, 1.0) for piece in left}
    counting = frozenset(weights)
    fates.sort(key=fate_order)
    return Weighed(tuple(_reduced(candidate, counting) for candidate in given), weights, tuple(fates), cap)


def pieces_of(candidate: RatedConversation) -> Iterator[Feedback]:
    """Every vote, correction and comparison of a conversation; corrections that do not count are left out."""
    at_home = partial(
        Feedback, conversation=candidate.conversation, app=candidate.app, consent=candidate.consent is True
    )
    for message in candidate.messages:
        name = message.key.message
        for rating in message.ratings:
            yield at_home(
                message=name,
                other="",
                rater=rating.rater,
                kind="vote",
                value=rating.value,
                at=rating.at,
                since=rating.since,
            )
        if message.corrects is not None and message.corrects.counts:
            by = message.corrects
            yield at_home(
                message=by.of, other=name, rater=by.rater, kind="correction", value=1, at=by.at, since=by.since
            )
    for one in candidate.comparisons:
        yield at_home(
            message=one.chosen,
            other=one.rejected,
            rater=one.rater,
            kind="comparison",
            value=1,
            at=one.at,
            since=one.since,
        )


def vote_cap(given: Mapping[str, int], wanted: Literal["auto"] | float) -> VoteCap:
    """The cap on one rater, `given` how many pieces each gave: the fixed point of docs/decisions/person-cap.md."""
    people = len(given)
    share = cap_share(wanted, people)
    if share is not None:
        count = math.floor(cap_level(list(given.values()), share) + _SLACK)
        why = f"one rater may give {count} of {sum(given.values())}: at most {100 * share:.2g} % of what counts, for {people} raters"
        return VoteCap(people=people, share=share, count=count, why=why)
    if wanted == "auto" and people < AUTO_FROM_PEOPLE:
        why = f"no cap: {people} raters are fewer than the {AUTO_FROM_PEOPLE} that `max_votes: auto` starts from"
    elif wanted == 1:
        why = "no cap: the recipe allows one rater everything"
    else:
        why = f"no cap: {people} raters are too few for a share of {wanted}"
    return VoteCap(people=people, share=None, count=None, why=why)


def without(candidates: Iterable[RatedConversation], raters: frozenset[str]) -> tuple[RatedConversation, ...]:
    """The same conversations as if these raters had given no feedback at all; their own texts stay."""
    kept = []
    for candidate in candidates:
        messages = tuple(_without(message, raters) for message in candidate.messages)
        comparisons = tuple(one for one in candidate.comparisons if one.rater not in raters)
        kept.append(candidate.model_copy(update={"messages": messages, "comparisons": comparisons}))
    return tuple(kept)


def fate_order(fate: FeedbackFate) -> tuple[str, str, str, str, str]:
    """The order in which fates are written."""
    return (fate.conversation, fate.message, fate.other, fate.rater, fate.kind)


# ---- the rules ----------------------------------------------------------------------------------------------


def _over_daily_cap(left: Sequence[Feedback], per_day: int | None) -> set[FeedbackKey]:
    """Of everything that an account gave on one day (UTC) the earliest count."""
    if per_day is None:
        return set()
    days: dict[tuple[str, str], list[Feedback]] = defaultdict(list)
    for piece in left:
        days[piece.rater, _day(piece.at)].append(piece)
    earliest = (sorted(pieces, key=lambda piece: (piece.at, piece.key)) for pieces in days.values())
    return {piece.key for pieces in earliest for piece in pieces[per_day:]}


def _echoes(left: Sequence[Feedback], candidates: Sequence[RatedConversation]) -> set[FeedbackKey]:
    """What speaks for answers that say nothing of their own: up-votes, corrections and comparisons."""
    praised: dict[str, list[FeedbackKey]] = defaultdict(list)
    for piece in left:
        if piece.value > 0:
            praised[piece.other if piece.kind == "correction" else piece.message].append(piece.key)
    echoing: set[FeedbackKey] = set()
    for candidate in candidates:
        messages = {message.key.message: message for message in candidate.messages}
        for name in praised.keys() & messages.keys():
            if echoes_its_prompt(messages[name], path_before(messages, messages[name])):
                echoing.update(praised[name])
    return echoing


def _over_app_cap(left: Sequence[Feedback], share: float) -> set[FeedbackKey]:
    """What apps give beyond their share of what then remains; never below an even share, none for a single app."""
    given = Counter(piece.app for piece in left)
    share = max(share, 1 / max(1, len(given)))
    if share >= 1:
        return set()
    return _beyond(left, "app", math.floor(cap_level(list(given.values()), share) + _SLACK))


def _beyond(left: Sequence[Feedback], whose: Literal["app", "rater"], count: int | None) -> set[FeedbackKey]:
    """All but the newest `count` pieces of each; an app's raters take turns, so that no flood fills its share."""
    if count is None:
        return set()
    turns: Counter[tuple[str, str]] = Counter()
    queue: dict[str, list[tuple[int, float, FeedbackKey]]] = defaultdict(list)
    for piece in sorted(left, key=lambda piece: piece.newest_first):
        owner = piece.app if whose == "app" else piece.rater
        age, key = piece.newest_first
        queue[owner].append((turns[owner, piece.rater], age, key))
        turns[owner, piece.rater] += 1
    return {key for pieces in queue.values() for _, _, key in sorted(pieces)[count:]}


def _agreement(left: Sequence[Feedback], candidates: Sequence[RatedConversation], min_overlap: int) -> dict[str, float]:
    """The weight of each rater who disagreed with the crowd: (agreed + 1) / (overlapping + 2), Laplace's rule.

    The crowd of an item are at least two others, not tied. Agreement never raises a weight, and everybody's vote counts
    the same in the crowd: a scheme that pays for agreement pays sock puppets first.
    """
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    items = _items(candidates)
    for piece in left:
        if piece.kind == "vote":
            votes[items[piece.message]][piece.rater] += piece.value
        elif piece.kind == "comparison":
            first, second = sorted((piece.message, piece.other))
            votes[f"{first}/{second}"][piece.rater] += 1 if piece.message == first else -1
    overlapping: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    for given in votes.values():
        signs = {rater: (value > 0) - (value < 0) for rater, value in given.items() if value}
        total = sum(signs.values())
        for rater, sign in signs.items():
            others = total - sign
            if len(signs) > _CROWD and others:
                overlapping[rater] += 1
                agreed[rater] += (others > 0) == (sign > 0)
    return {
        rater: (agreed[rater] + 1) / (count + 2)
        for rater, count in overlapping.items()
        if count >= min_overlap and agreed[rater] < count
    }


def _items(candidates: Sequence[RatedConversation]) -> dict[str, str]:
    """What was rated, by message: the same answer after the same words is one item, whoever's conversation it is in."""
    items: dict[str, str] = {}
    for candidate in candidates:
        messages = {message.key.message: message for message in candidate.messages}
        for message in candidate.messages:
            if message.ratings:
                turns = (*path_before(messages, message), message)
                said = "\n".join(f"{turn.role}: {_folded(turn.text)}" for turn in turns if turn.role != "system")
                items[message.key.message] = hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()
    return items


# ---- what is left -------------------------------------------------------------------------------------------


def _reduced(candidate: RatedConversation, counting: frozenset[FeedbackKey]) -> RatedConversation:
    messages = tuple(_reduced_message(message, counting) for message in candidate.messages)
    comparisons = tuple(
        one for one in candidate.comparisons if (one.chosen, one.rejected, one.rater, "comparison") in counting
    )
    return candidate.model_copy(update={"messages": messages, "comparisons": comparisons})


def _reduced_message(message: RatedMessage, counting: frozenset[FeedbackKey]) -> RatedMessage:
    name, by = message.key.message, message.corrects
    changes: dict[str, object] = {}
    stands = by is not None and by.counts and (by.of, name, by.rater, "correction") in counting
    if message.ratings:
        kept = tuple(one for one in message.ratings if (name, "", one.rater, "vote") in counting)
        ups, downs = (sum(one.value == side for one in kept) for side in (1, -1))
        if not (ups or downs or stands):  # a doubt is enough against an answer that nobody who counts speaks for
            downs = int(any(one.value < 0 for one in message.ratings))
        changes |= {"ratings": kept, "up": ups, "down": downs}
    if by is not None and by.counts and not stands:
        changes["corrects"] = by.model_copy(update={"counts": False})
    return message.model_copy(update=changes) if changes else message


def _without(message: RatedMessage, raters: frozenset[str]) -> RatedMessage:
    changes: dict[str, object] = {}
    gone = [one for one in message.ratings if one.rater in raters]
    if gone:
        kept = tuple(one for one in message.ratings if one.rater not in raters)
        changes |= {
            "ratings": kept,
            "up": message.up - sum(one.value > 0 for one in gone),
            "down": message.down - sum(one.value < 0 for one in gone),
        }
    if message.corrects is not None and message.corrects.rater in raters:
        changes["corrects"] = message.corrects.model_copy(update={"counts": False})
    return message.model_copy(update=changes) if changes else message


def _day(at: datetime) -> str:
    return at.astimezone(UTC).date().isoformat()


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())
