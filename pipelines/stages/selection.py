"""Selection: which conversations a round may learn from or measure on, and one reason for every other one.

    one by one      consent, rating, path through the tree, flaws of each answer
    in clusters     the newest answer of a prompt wins; older ones are superseded, copies duplicates
    as a pool       contamination by suites, the share of one person, questions that training already holds
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.artifacts import digest_of
from pipelines.caps import cap_level, cap_share
from pipelines.errors import DataError
from pipelines.recipe import PerUser, Select
from pipelines.records import Candidate, Outcome, RatedMessage, Record, SnapshotItem, TurnKey
from pipelines.tree import net_votes, newest_corrections, originals_of

REASONS: Mapping[str, str] = {
    "train": "used for training",
    "dev": "kept apart to choose settings",
    "heldout": "kept apart to measure the result",
    "no_consent": "no consent to training was given",
    "other_language": "not in the recipe's primary language",
    "no_answer": "holds no answer of the assistant",
    "unrated": "nobody rated it, or no rating of it counts",
    "low_satisfaction": "rated below the minimum, and no answer was voted up",
    "language_mixed": "every answer mixes languages",
    "response_too_short": "every answer is shorter than allowed",
    "response_too_long": "every answer is longer than allowed",
    "all_turns_flawed": "no answer is good enough to learn from",
    "contaminated": "repeats an item of the recipe's suites",
    "duplicate": "a newer copy of the same prompt and answer is used",
    "superseded": "a newer answer to the same prompt is used",
    "over_user_cap": "its person already fills the share that one person may",
    "overlaps_train": "kept apart, but its prompts also stand in longer training conversations",
}
# For each text of the whole pool, the name of the suite item that stands in it, or None.
FindContaminated = Callable[[Sequence[str]], Sequence[str | None]]
_NAMED_FLAWS = {"language_mixed", "response_too_short", "response_too_long"}


class UserCap(Record):
    """How much of the user part one person may fill: a share, and the trained tokens it came to."""

    people: int
    share: float
    tokens: float


@dataclass(frozen=True)
class _Judged:
    """A candidate with the one path that would be learnt, and the reason against it, if any."""

    candidate: Candidate
    path: tuple[RatedMessage, ...]
    counts: tuple[int, ...]
    trained: tuple[bool, ...]
    reason: str | None

    @property
    def tokens(self) -> int:
        return sum(count for count, good in zip(self.counts, self.trained, strict=True) if good)

    @property
    def newest_first(self) -> tuple[float, str]:
        """A correction makes a conversation as new as itself."""
        times = [self.candidate.occurred_at, *(message.corrects.at for message in self.path if message.corrects)]
        return (-max(times).timestamp(), self.candidate.conversation)

    @property
    def pair(self) -> tuple[str, ...]:
        """What prompt and answers it stands for: a corrected answer is another one than its cluster was made from."""
        return (self.candidate.pair_cluster, *(message.key.message for message in self.path if message.corrects))


def select(
    candidates: Iterable[Candidate],
    rules: Select,
    *,
    count_tokens: Callable[[str], int],
    find_contaminated: FindContaminated,
) -> tuple[list[SnapshotItem], UserCap | None]:
    """One item per candidate, oldest first, and the per-person cap that held (None: too few people for one).

    The same candidates in any order give the same items.

    Raises:
        DataError: one prompt cluster stands in two parts, so nothing could be held out safely.
    """
    judged = [_judge(candidate, rules, count_tokens) for candidate in candidates]
    _refuse_split_clusters(judged)
    reasons = {one.candidate.conversation: one.reason for one in judged if one.reason}
    good = sorted((one for one in judged if one.reason is None), key=lambda one: one.newest_first)
    reasons |= _settle_clusters(good)
    corrected = _without_old_answers([one for one in good if one.candidate.conversation not in reasons])
    judged, good = ([corrected.get(one.candidate.conversation, one) for one in those] for those in (judged, good))
    reasons |= {one.candidate.conversation: "superseded" for one in corrected.values() if not any(one.trained)}
    # after the clusters: many copies of one pasted item must not look like a template
    reasons |= _contaminated([one for one in good if one.candidate.conversation not in reasons], find_contaminated)
    train = [one for one in good if one.candidate.part == "train" and one.candidate.conversation not in reasons]
    cap = user_cap(_tokens_per_person(train), rules.per_user)
    reasons |= _over_cap(train, cap)
    reasons |= _overlaps(good, reasons)
    ordered = sorted(judged, key=lambda one: (one.candidate.occurred_at, one.candidate.conversation))
    return [_item(one, reasons.get(one.candidate.conversation)) for one in ordered], cap


def user_cap(tokens: Mapping[str, int], rule: PerUser) -> UserCap | None:
    """The largest number of tokens per person at which nobody exceeds the share of what then remains.

    The share is the recipe's (auto: 0.005), but never below 3 / people, so that it bites on outliers only. None
    below 20 people under `auto`, and where the share allows everything.
    """
    share = cap_share(rule.max_share, len(tokens))
    if share is None:
        return None
    return UserCap(people=len(tokens), share=share, tokens=cap_level(list(tokens.values()), share))


def _judge(candidate: Candidate, rules: Select, count_tokens: Callable[[str], int]) -> _Judged:
    path = best_path(candidate.messages)
    counts = [count_tokens(message.text) if message.role == "assistant" else 0 for message in path]
    liked = candidate.satisfaction is not None and candidate.satisfaction >= rules.min_satisfaction
    flaws = [_flaw(message, count, rules, liked) for message, count in zip(path, counts, strict=True)]
    trained = tuple(flaw is None for flaw in flaws)
    reason = _rating_reason(candidate, path, rules, liked) or _turns_reason(path, flaws)
    return _Judged(candidate, path, tuple(counts), trained, reason)


def best_path(messages: Sequence[RatedMessage]) -> tuple[RatedMessage, ...]:
    """From the root, at each fork the sibling with the most net votes, then a complete one, then the newest.

    The newest correction that counts stands in the place of what it corrects, as if voted up; what followed the
    corrected answer follows it. Corrections that do not count are on no path. Ends with an assistant turn; later
    unanswered questions are not part of it. Empty without one.
    """
    originals = originals_of(messages)
    standing = newest_corrections(messages)
    children: dict[str | None, list[tuple[int, bool, int]]] = {}
    places = {message.key.message: position for position, message in enumerate(messages)}
    for message in messages:
        if message.corrects and (originals[message.key.message] != message.key.message or not message.corrects.counts):
            continue
        shown = standing.get(message.key.message, message)
        rank = (net_votes(shown), shown.complete, places[shown.key.message])
        parent = originals.get(message.parent, message.parent) if message.parent else None
        children.setdefault(parent, []).append(rank)
    path: list[RatedMessage] = []
    place: str | None = None
    while place in children:
        best = messages[max(children.pop(place))[2]]
        path.append(best)
        place = originals[best.key.message]
    while path and path[-1].role != "assistant":
        path.pop()
    return tuple(path)


def _flaw(message: RatedMessage, tokens: int, rules: Select, liked: bool) -> str | None:
    """Why a turn gets no loss; None for a good answer. Without a good satisfaction only an up-vote speaks for it."""
    shortest, longest = rules.response_tokens
    votes = net_votes(message)
    checks = (
        ("not_an_answer", message.role != "assistant"),
        ("down_voted", votes < 0),
        ("not_voted_up", votes == 0 and not liked),
        ("incomplete", not message.complete),
        ("language_mixed", message.mixing > rules.language.max_mixing),
        ("response_too_short", tokens < shortest),
        ("response_too_long", tokens > longest),
    )
    return next((name for name, holds in checks if holds), None)


def _rating_reason(candidate: Candidate, path: Sequence[RatedMessage], rules: Select, liked: bool) -> str | None:
    primary = rules.language.primary
    checks = (
        ("no_consent", candidate.consent is not True),
        ("other_language", primary is not None and candidate.language != primary),
        ("no_answer", not path),
        ("unrated", candidate.satisfaction is None and not any(m.up or m.down or m.corrects for m in path)),
        ("low_satisfaction", not liked and not any(net_votes(m) > 0 for m in path)),
    )
    return next((name for name, holds in checks if holds), None)


def _turns_reason(path: Sequence[RatedMessage], flaws: Sequence[str | None]) -> str | None:
    """The common flaw of all answers if it has a name of its own, else `all_turns_flawed`; None if one is good."""
    named = {flaw for message, flaw in zip(path, flaws, strict=True) if message.role == "assistant"}
    if None in named:
        return None
    single = next(iter(named)) if len(named) == 1 else None
    return single if single in _NAMED_FLAWS else "all_turns_flawed"


def _refuse_split_clusters(judged: Sequence[_Judged]) -> None:
    parts: dict[str, str] = {}
    for one in judged:
        cluster, part = one.candidate.prompt_cluster, one.candidate.part
        if parts.setdefault(cluster, part) != part:
            raise DataError(f"prompt cluster {cluster} stands in the parts {parts[cluster]} and {part}; it must be in one")


def _settle_clusters(newest_first: Sequence[_Judged]) -> dict[str, str]:
    """One record per prompt+answer cluster and one per prompt cluster: the newest. Reasons for the others."""
    pairs: set[tuple[str, ...]] = set()
    prompts: set[str] = set()
    reasons = {}
    for one in newest_first:
        candidate = one.candidate
        if one.pair in pairs:
            reasons[candidate.conversation] = "duplicate"
        elif candidate.prompt_cluster in prompts:
            reasons[candidate.conversation] = "superseded"
        pairs.add(one.pair)
        prompts.add(candidate.prompt_cluster)
    return reasons


def _without_old_answers(newest_first: Sequence[_Judged]) -> dict[str, _Judged]:
    """The training records that answer a question otherwise than a newer one does, those answers no longer trained.

    Clusters compare whole conversations; a correction often comes in the middle of one. A question counts where it
    opened one of the two conversations: what never does ("and why?") may depend on what was said before.
    """
    newest: dict[str, tuple[str, bool]] = {}
    changed = {}
    for one in newest_first:
        if one.candidate.part != "train":
            continue
        answers = _answers(one)
        old = {place for place, question, opens in answers if _differs(one.path[place], newest.get(question), opens)}
        if old:
            kept = tuple(good and place not in old for place, good in enumerate(one.trained))
            changed[one.candidate.conversation] = replace(one, trained=kept)
        for place, question, opens in answers:
            if place not in old and (question not in newest or (opens and not newest[question][1])):
                newest[question] = (_folded(one.path[place].text), opens)
    return changed


def _answers(one: _Judged) -> list[tuple[int, str, bool]]:
    """(place of a trained answer, the question that it answers, whether that opens the conversation).

    An answer that says in much the same words what an answer voted down before it said wrongly answers the same question.
    """
    found = []
    question, opens, wrong = "", True, ""
    for place, message in enumerate(one.path):
        text = _folded(message.text)
        if message.role == "user" and not wrong:
            opens, question = question == "", text
        elif message.role == "assistant" and message.up < message.down:
            wrong = text
        elif message.role == "assistant":
            if one.trained[place] and (not wrong or _are_alike(wrong, text)):
                found.append((place, question, opens))
            wrong = ""
    return found


def _are_alike(one: str, other: str) -> bool:
    """Whether at least half the words of the shorter text stand in the longer one."""
    words = sorted((set(one.split()), set(other.split())), key=len)
    return 2 * len(words[0] & words[1]) >= len(words[0]) > 0


def _differs(answer: RatedMessage, newer: tuple[str, bool] | None, opens: bool) -> bool:
    return newer is not None and (opens or newer[1]) and newer[0] != _folded(answer.text)


def _contaminated(kept: Sequence[_Judged], find_contaminated: FindContaminated) -> dict[str, str]:
    found = find_contaminated(["\n".join(message.text for message in one.path) for one in kept])
    return {one.candidate.conversation: "contaminated" for one, item in zip(kept, found, strict=True) if item}


def _tokens_per_person(train: Sequence[_Judged]) -> dict[str, int]:
    tokens: Counter[str] = Counter()
    for one in train:
        tokens[one.candidate.person] += one.tokens
    return dict(tokens)


def _over_cap(newest_first: Sequence[_Judged], cap: UserCap | None) -> dict[str, str]:
    """A person's newest records fill the cap; what no longer fits is left out."""
    if cap is None:
        return {}
    filled: Counter[str] = Counter()
    reasons = {}
    for one in newest_first:
        person = one.candidate.person
        if filled[person] + one.tokens > cap.tokens:
            reasons[one.candidate.conversation] = "over_user_cap"
        else:
            filled[person] += one.tokens
    return reasons


def _overlaps(good: Sequence[_Judged], reasons: Mapping[str, str]) -> dict[str, str]:
    """Kept-apart records whose prompts all stand, word for word, among those of longer training conversations.

    Parts follow the cluster of all user turns together, so one question inside a longer conversation can be trained
    on while the same question alone is held out. It stays out of training, and no longer measures.
    """
    kept = [one for one in good if one.candidate.conversation not in reasons]
    trained = {_folded(m.text) for one in kept if one.candidate.part == "train" for m in one.path if m.role == "user"}
    return {
        one.candidate.conversation: "overlaps_train"
        for one in kept
        if one.candidate.part != "train" and all(_folded(m.text) in trained for m in one.path if m.role == "user")
    }


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _item(one: _Judged, reason: str | None) -> SnapshotItem:
    candidate = one.candidate
    month = candidate.occurred_at.strftime("%Y-%m")
    if reason is not None:
        return SnapshotItem(
            conversation=candidate.conversation, person=candidate.person, outcome="left_out", reason=reason,
            part=candidate.part, month=month,
        )  # fmt: skip
    outcome: Outcome = "used" if candidate.part == "train" else "held_out"
    turns = tuple(
        TurnKey(key=message.key, role=message.role, trained=good)
        for message, good in zip(one.path, one.trained, strict=True)
    )
    return SnapshotItem(
        conversation=candidate.conversation, person=candidate.person, outcome=outcome, reason=candidate.part,
        part=candidate.part, source="replay" if candidate.seen else "new", month=month, tokens=one.tokens,
        turns=turns, digest=digest_of([turn.model_dump(mode="json") for turn in turns]), written=_written(one),
    )  # fmt: skip


def _written(one: _Judged) -> dict[str, int]:
    """Trained tokens of corrections by their writers, the conversation's own person left out."""
    tokens: Counter[str] = Counter()
    for message, count, good in zip(one.path, one.counts, one.trained, strict=True):
        if good and message.corrects is not None and message.corrects.rater != one.candidate.person:
            tokens[message.corrects.rater] += count
    return dict(sorted(tokens.items()))
