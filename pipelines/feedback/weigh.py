"""The weighing of feedback: which votes, corrections and comparisons count, before anything is learnt from them.

    one by one     consent, age of the account, ratings a day, echoes of the prompt
    as a pool      the share of one app, the share of one rater, agreement with the crowd

RULES are asked in their order, each of what the rules before it left. What is dropped keeps its reason, and may come back
in a later round: nothing here is stored. Defences and their order after SCIENCE section 2; nothing is sybil-proof.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pipelines.feedback.caps import AUTO_FROM_PEOPLE, cap_level, cap_share
from pipelines.feedback.echo import echoes_its_prompt
from pipelines.feedback.held_back import is_unreviewed
from pipelines.feedback.pieces import Fate, Feedback, FeedbackKey, pieces_of
from pipelines.feedback.remainder import only_with
from pipelines.feedback.rules import Rule
from pipelines.feedback.shelf import Lazy, Shelf
from pipelines.feedback.tree import path_before
from pipelines.recipe import Select
from pipelines.records import RatedConversation, Record
from pipelines.text import fold

# What counts as the crowd: one other person who disagrees is a difference of opinion.
_CROWD = 2
_SLACK = 1e-9


class VoteCap(Record):
    """How much of all feedback one rater may give: a share, and the pieces it came to; None where no cap held."""

    people: int
    share: float | None
    count: int | None
    why: str

    @property
    def active(self) -> bool:
        """Whether a cap holds in this round."""
        return self.count is not None


@dataclass(frozen=True)
class WeighedFeedback:
    """What counts. `weights` (above 0, at most 1) has every piece that does, `dropped` every one that does not.

    The candidates hold only what counts, but for one thing: where nothing that counts speaks of an answer, a down that
    was dropped still keeps it from being learnt on satisfaction alone. They stand in the order of their names and are
    read anew whenever one is asked for; `rated` are the places of those with pieces that count.
    """

    candidates: Sequence[RatedConversation]
    rated: tuple[int, ...]
    pieces: tuple[Feedback, ...]
    weights: Mapping[FeedbackKey, float]
    dropped: tuple[Fate, ...]
    cap: VoteCap


@dataclass(frozen=True)
class FeedbackPool:
    """The argument of a rule: the feedback that earlier rules left, whole conversations, and what rules found so far.

    `cap` is None until a rule has set one; a rater without a weight weighs 1.
    """

    pieces: tuple[Feedback, ...]
    conversations: Shelf
    select: Select
    now: datetime
    cap: VoteCap | None = None
    rater_weights: Mapping[str, float] = field(default_factory=dict)

    def weight(self, piece: Feedback) -> float:
        """What this piece weighs, by its rater; 1 unless a rule lowers it."""
        return self.rater_weights.get(piece.rater, 1.0)


@dataclass(frozen=True)
class Rejection:
    """The verdict of a rule: the feedback that goes, and what the rule found for the rest, if it is one that does."""

    keys: Set[FeedbackKey]
    cap: VoteCap | None = None
    rater_weights: Mapping[str, float] = field(default_factory=dict)


def weigh(
    candidates: Iterable[RatedConversation], select: Select, now: datetime, folder: Path | None = None
) -> WeighedFeedback:
    """The feedback that counts in a round at `now`, with a weight each, and the reason against every other piece.

    Messages that come with counts only, without ratings, stay as they are. Order of input does not matter. What is too
    much for memory lies in `folder` meanwhile (pipelines/feedback/shelf.py).
    """
    pieces: list[Feedback] = []
    conversations = Shelf(_noting_pieces(candidates, pieces), folder)
    pieces.sort(key=lambda piece: piece.conversation)
    pool = FeedbackPool(tuple(pieces), conversations, select, now)
    fates: list[Fate] = []
    for rule in RULES:
        rejection = rule.rejects(pool)
        pool = replace(
            pool, cap=rejection.cap or pool.cap, rater_weights={**pool.rater_weights, **rejection.rater_weights}
        )
        fates += [Fate(one, "dropped", rule.name, pool.weight(one)) for one in pool.pieces if one.key in rejection.keys]
        pool = replace(pool, pieces=tuple(one for one in pool.pieces if one.key not in rejection.keys))
    assert pool.cap is not None
    weights = {piece.key: pool.weight(piece) for piece in pool.pieces}
    remainder = Lazy(conversations, lambda candidate: only_with(candidate, weights))
    rated = conversations.places_of({piece.conversation for piece in pool.pieces})
    return WeighedFeedback(
        remainder, tuple(rated), pool.pieces, weights, tuple(sorted(fates, key=lambda fate: fate.order)), pool.cap
    )


def _noting_pieces(candidates: Iterable[RatedConversation], pieces: list[Feedback]) -> Iterator[RatedConversation]:
    for candidate in candidates:
        pieces += pieces_of(candidate)
        yield candidate


def vote_cap(amounts: Mapping[str, int], wanted: Literal["auto"] | float) -> VoteCap:
    """The cap on one rater, `amounts` how many pieces each gave: the fixed point of docs/decisions/person-cap.md."""
    people = len(amounts)
    share = cap_share(wanted, people)
    if share is not None:
        count = math.floor(cap_level(list(amounts.values()), share) + _SLACK)
        why = f"one rater may give {count} of {sum(amounts.values())}: at most {100 * share:.2g} % of what counts, for {people} raters"
        return VoteCap(people=people, share=share, count=count, why=why)
    if wanted == "auto" and people < AUTO_FROM_PEOPLE:
        why = f"no cap: {people} raters are fewer than the {AUTO_FROM_PEOPLE} that `max_votes: auto` starts from"
    elif wanted == 1:
        why = "no cap: the recipe allows one rater everything"
    else:
        why = f"no cap: {people} raters are too few for a share of {wanted}"
    return VoteCap(people=people, share=None, count=None, why=why)


# ---- the rules ----------------------------------------------------------------------------------------------


def _each(rejects: Callable[[Feedback, FeedbackPool], bool]) -> Callable[[FeedbackPool], Rejection]:
    """A rule that looks at one piece at a time."""
    return lambda pool: Rejection({piece.key for piece in pool.pieces if rejects(piece, pool)})


def _is_no_person(piece: Feedback, pool: FeedbackPool) -> bool:
    return piece.source != "person"


def _is_young(piece: Feedback, pool: FeedbackPool) -> bool:
    return pool.now - piece.since < timedelta(days=pool.select.feedback.min_account_days)


def _over_daily_cap(pool: FeedbackPool) -> Rejection:
    """Of everything that an account gave on one day (UTC) the earliest count."""
    per_day = pool.select.feedback.per_day
    if per_day is None:
        return Rejection(frozenset())
    days: dict[tuple[str, str], list[Feedback]] = defaultdict(list)
    for piece in pool.pieces:
        days[piece.rater, _day(piece.at)].append(piece)
    earliest = (sorted(pieces, key=lambda piece: (piece.at, piece.key)) for pieces in days.values())
    return Rejection({piece.key for pieces in earliest for piece in pieces[per_day:]})


def _echoes(pool: FeedbackPool) -> Rejection:
    """What speaks for answers that say nothing of their own: up-votes, corrections and comparisons."""
    praised: dict[str, list[FeedbackKey]] = defaultdict(list)
    homes: set[str] = set()
    for piece in pool.pieces if pool.select.feedback.echo else ():
        if piece.value > 0:
            praised[piece.other if piece.kind == "correction" else piece.message].append(piece.key)
            homes.add(piece.conversation)
    echoing: set[FeedbackKey] = set()
    for candidate in pool.conversations.named(homes):
        messages = {message.key.message: message for message in candidate.messages}
        for name in praised.keys() & messages.keys():
            if echoes_its_prompt(messages[name], path_before(messages, messages[name])):
                echoing.update(praised[name])
    return Rejection(echoing)


def _over_app_cap(pool: FeedbackPool) -> Rejection:
    """What apps give beyond their share of what then remains; never below an even share, none for a single app."""
    amounts = Counter(piece.app for piece in pool.pieces)
    share = max(pool.select.feedback.per_app, 1 / max(1, len(amounts)))
    count = None if share >= 1 else math.floor(cap_level(list(amounts.values()), share) + _SLACK)
    return Rejection(_beyond(pool.pieces, "app", count))


def _over_user_cap(pool: FeedbackPool) -> Rejection:
    cap = vote_cap(Counter(piece.rater for piece in pool.pieces), pool.select.per_user.max_votes)
    return Rejection(_beyond(pool.pieces, "rater", cap.count), cap=cap)


def _disagrees_with_crowd(pool: FeedbackPool) -> Rejection:
    """Those whose weight falls below the recipe's least; the weights of the others count from here on."""
    rule = pool.select.feedback
    weights = _agreement(pool.pieces, pool.conversations, rule.min_overlap)
    keys = {piece.key for piece in pool.pieces if weights.get(piece.rater, 1.0) < rule.min_weight}
    return Rejection(keys, rater_weights=weights)


RULES: tuple[Rule[FeedbackPool, Rejection], ...] = (
    Rule(
        "dropped_by_reviewer",
        "a reviewer dropped its conversation",
        _each(lambda piece, pool: piece.review == "dropped"),
    ),
    Rule(
        "not_reviewed",
        "no reviewer has seen its conversation yet, and the recipe asks for that",
        _each(lambda piece, pool: is_unreviewed(piece.review, pool.select)),
    ),
    Rule(
        "no_consent",
        "no consent to training was given for its conversation",
        _each(lambda piece, pool: not piece.consent),
    ),
    Rule("not_a_person", "it is a judge's, or was inferred: no person gave it", _each(_is_no_person)),
    Rule("young_account", "its account is too young; it counts in a later round", _each(_is_young)),
    Rule("over_daily_cap", "its account had already given as much that day as counts", _over_daily_cap),
    Rule("echo", "the answer only repeats what the prompt put into its mouth", _echoes),
    Rule("over_app_cap", "its app already gives the share that one app may", _over_app_cap),
    Rule("over_user_cap", "its rater already gives the share that one person may", _over_user_cap),
    Rule(
        "disagrees_with_crowd",
        "its rater mostly disagrees with everybody else who rated the same answers",
        _disagrees_with_crowd,
    ),
)


# ---- what the rules count -----------------------------------------------------------------------------------


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


def _agreement(left: Sequence[Feedback], conversations: Shelf, min_overlap: int) -> dict[str, float]:
    """The weight of each rater who disagreed with the crowd: (agreed + 1) / (overlapping + 2), Laplace's rule.

    The crowd of an item are at least two others, not tied. Agreement never raises a weight, and everybody's vote counts
    the same in the crowd: a scheme that pays for agreement pays sock puppets first.
    """
    votes: dict[bytes | str, Counter[str]] = defaultdict(Counter)
    items = _items(conversations.named({piece.conversation for piece in left if piece.kind == "vote"}))
    for piece in left:
        if piece.kind == "vote":
            votes[items[piece.message]][piece.rater] += piece.value
        elif piece.kind == "comparison":
            first, second = sorted((piece.message, piece.other))
            votes[f"{first}/{second}"][piece.rater] += 1 if piece.message == first else -1
    overlapping: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    for votes_by_rater in votes.values():
        signs = {rater: (value > 0) - (value < 0) for rater, value in votes_by_rater.items() if value}
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


def _items(candidates: Iterable[RatedConversation]) -> dict[str, bytes]:
    """What was rated, by message: the same answer after the same words is one item, whoever's conversation it is in."""
    items: dict[str, bytes] = {}
    for candidate in candidates:
        messages = {message.key.message: message for message in candidate.messages}
        for message in candidate.messages:
            if message.ratings:
                turns = (*path_before(messages, message), message)
                transcript = "\n".join(
                    f"{turn.role}: {fold(turn.said, 'NFKC')}" for turn in turns if turn.role != "system"
                )
                items[message.key.message] = hashlib.sha256(transcript.encode("utf-8", "replace")).digest()
    return items


def _day(at: datetime) -> str:
    return at.astimezone(UTC).date().isoformat()
