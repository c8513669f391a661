"""Selection: which conversations a round may learn from or measure on, and one reason for every other one.

one by one      consent, rating, path through the tree, flaws of each answer
in clusters     the newest answer of a prompt wins; older ones are superseded, copies duplicates
as a pool       contamination by suites, the share of one person, questions that training already holds
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.artifacts import digest_of
from pipelines.errors import DataError
from pipelines.feedback.caps import cap_level, cap_share
from pipelines.feedback.contradicted import answers_of, contradicted, folded
from pipelines.feedback.echo import echoes_its_prompt
from pipelines.feedback.tree import net_votes, newest_corrections, originals_of
from pipelines.recipe import PerUser, Select
from pipelines.records import Outcome, RatedConversation, RatedMessage, Record, SnapshotItem, TurnKey

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
    "echo": "every answer only repeats what its prompt put into its mouth",
    "all_turns_flawed": "no answer is good enough to learn from",
    "contaminated": "repeats an item of the recipe's suites",
    "duplicate": "a newer copy of the same prompt and answer is used",
    "superseded": "a newer answer to the same prompt is used",
    "over_user_cap": "its person already fills the share that one person may",
    "overlaps_train": "kept apart, but its prompts also stand in longer training conversations",
}
# For each text of the whole pool, the name of the suite item that stands in it, or None.
FindContaminated = Callable[[Sequence[str]], Sequence[str | None]]
_NAMED_FLAWS = {"echo", "language_mixed", "response_too_short", "response_too_long"}


class UserCap(Record):
    """How much of the user part one person may fill: a share, and the trained tokens it came to."""

    people: int
    share: float
    tokens: float


@dataclass(frozen=True)
class _Judged:
    """A candidate with the one path that would be learnt, and the reason against it, if any."""

    candidate: RatedConversation
    path: tuple[RatedMessage, ...]
    counts: tuple[int, ...]
    trained: tuple[bool, ...]
    reason: str | None

    @property
    def tokens(self) -> int:
        return sum(count for count, good in zip(self.counts, self.trained, strict=True) if good)

    @property
    def tokens_by_writer(self) -> Mapping[str, int]:
        """Trained tokens by whom they are counted against: what a corrector wrote is the corrector's."""
        tokens: Counter[str] = Counter()
        for writer, count, good in zip(self.writers, self.counts, self.trained, strict=True):
            if good:
                tokens[writer] += count
        return tokens

    @property
    def writers(self) -> tuple[str, ...]:
        return tuple(message.corrects.rater if message.corrects else self.candidate.person for message in self.path)

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
    candidates: Iterable[RatedConversation],
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
    masked = _without_old_answers([one for one in good if one.candidate.conversation not in reasons])
    judged, good = ([masked.get(one.candidate.conversation, one) for one in those] for those in (judged, good))
    reasons |= {name: "superseded" for name, one in masked.items() if not any(one.trained)}
    # after the clusters: many copies of one pasted item must not look like a template
    reasons |= _contaminated([one for one in good if one.candidate.conversation not in reasons], find_contaminated)
    train = [one for one in good if one.candidate.part == "train" and one.candidate.conversation not in reasons]
    cap = user_cap(_tokens_per_person(train), rules.per_user)
    masked = _over_cap(train, cap)
    judged, good = ([masked.get(one.candidate.conversation, one) for one in those] for those in (judged, good))
    reasons |= {name: "over_user_cap" for name, one in masked.items() if not any(one.trained)}
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


def _judge(candidate: RatedConversation, rules: Select, count_tokens: Callable[[str], int]) -> _Judged:
    path = best_path(candidate.messages)
    counts = [count_tokens(message.text) if message.role == "assistant" else 0 for message in path]
    liked = candidate.satisfaction is not None and candidate.satisfaction >= rules.min_satisfaction
    flaws = [_flaw(message, count, rules, liked) for message, count in zip(path, counts, strict=True)]
    if rules.feedback.echo:  # last, and of good answers only: it is the slowest to tell
        flaws = [flaw or ("echo" if echoes_its_prompt(path[n], path[:n]) else None) for n, flaw in enumerate(flaws)]
    trained = tuple(flaw is None for flaw in flaws)
    reason = _rating_reason(candidate, path, rules, liked) or _turns_reason(path, flaws)
    return _Judged(candidate, path, tuple(counts), trained, reason)


def best_path(messages: Sequence[RatedMessage]) -> tuple[RatedMessage, ...]:
    """From the root, at each fork the sibling with the most net votes, then the one whose branch has the answer with the
    most, then a complete one, then the newest. Turns of the user have no votes, so their branch decides.

    The newest correction that counts stands in the place of what it corrects, as if voted up; what followed the
    corrected answer follows it. Corrections that do not count are on no path. Ends with an assistant turn; later
    unanswered questions are not part of it. Empty without one.
    """
    originals = originals_of(messages)
    standing = newest_corrections(messages)
    ages = {message.key.message: position for position, message in enumerate(messages)}
    parents: dict[str, str | None] = {}
    shown: dict[str, RatedMessage] = {}
    for message in messages:
        name = message.key.message
        if message.corrects and (originals[name] != name or not message.corrects.counts):
            continue
        shown[name] = standing.get(name, message)
        parents[name] = originals.get(message.parent, message.parent) if message.parent else None
    best = _best_votes(shown, parents)
    children: dict[str | None, list[tuple[int, bool, int, bool, int]]] = {}
    for name, message in shown.items():
        rank = (net_votes(message), name in best, best.get(name, 0), message.complete, ages[message.key.message])
        children.setdefault(parents[name], []).append(rank)
    path: list[RatedMessage] = []
    place: str | None = None
    while place in children:
        taken = messages[max(children.pop(place))[-1]]
        path.append(taken)
        place = originals[taken.key.message]
    while path and path[-1].role != "assistant":
        path.pop()
    return tuple(path)


def _best_votes(shown: Mapping[str, RatedMessage], parents: Mapping[str, str | None]) -> dict[str, int]:
    """For each message with an answer in its branch, itself included, the most net votes of one."""
    best: dict[str, int] = {}
    answers = [name for name, message in shown.items() if message.role == "assistant"]
    for answer in sorted(answers, key=lambda name: -net_votes(shown[name])):
        place: str | None = answer
        while (
            place is not None and place in shown and place not in best
        ):  # who already has one has a better one, and so have its parents
            best[place] = net_votes(shown[answer])
            place = parents[place]
    return best


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


def _rating_reason(
    candidate: RatedConversation, path: Sequence[RatedMessage], rules: Select, liked: bool
) -> str | None:
    primary = rules.language.primary
    answers = [message for message in path if message.role == "assistant"]
    checks = (
        ("no_consent", candidate.consent is not True),
        ("other_language", primary is not None and candidate.language != primary),
        ("no_answer", not path),
        ("unrated", candidate.satisfaction is None and not any(m.up or m.down or m.corrects for m in answers)),
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
            raise DataError(
                f"prompt cluster {cluster} stands in the parts {parts[cluster]} and {part}; it must be in one"
            )


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
    """The training records that answer a question otherwise than a newer one does, those answers no longer trained."""
    train = {one.candidate.conversation: one for one in newest_first if one.candidate.part == "train"}
    old = contradicted(answers_of(name, one.path, one.trained) for name, one in train.items())
    return {
        name: replace(one, trained=tuple(good and place not in old[name] for place, good in enumerate(one.trained)))
        for name, one in train.items()
        if name in old
    }


def _contaminated(kept: Sequence[_Judged], find_contaminated: FindContaminated) -> dict[str, str]:
    found = find_contaminated(["\n".join(message.text for message in one.path) for one in kept])
    return {one.candidate.conversation: "contaminated" for one, item in zip(kept, found, strict=True) if item}


def _tokens_per_person(train: Sequence[_Judged]) -> dict[str, int]:
    tokens: Counter[str] = Counter()
    for one in train:
        tokens.update(one.tokens_by_writer)
    return dict(tokens)


def _over_cap(newest_first: Sequence[_Judged], cap: UserCap | None) -> dict[str, _Judged]:
    """The records that do not fit, with what is over the cap no longer trained; people's newest records fill theirs.

    A person's own record is over it as a whole. Of a corrector only the correction is: nobody may push out what others
    wrote by correcting it.
    """
    if cap is None:
        return {}
    filled: Counter[str] = Counter()
    masked = {}
    for one in newest_first:
        person, written = one.candidate.person, one.tokens_by_writer
        full = {writer for writer, tokens in written.items() if filled[writer] + tokens > cap.tokens}
        if full:
            left = (
                good and person not in full and writer not in full
                for good, writer in zip(one.trained, one.writers, strict=True)
            )
            one = masked[one.candidate.conversation] = replace(one, trained=tuple(left))
        filled.update(one.tokens_by_writer)
    return masked


def _overlaps(good: Sequence[_Judged], reasons: Mapping[str, str]) -> dict[str, str]:
    """Kept-apart records whose prompts all stand, word for word, among those of longer training conversations.

    Parts follow the cluster of all user turns together, so one question inside a longer conversation can be trained
    on while the same question alone is held out. It stays out of training, and no longer measures.
    """
    kept = [one for one in good if one.candidate.conversation not in reasons]
    trained = {folded(m.text) for one in kept if one.candidate.part == "train" for m in one.path if m.role == "user"}
    return {
        one.candidate.conversation: "overlaps_train"
        for one in kept
        if one.candidate.part != "train" and all(folded(m.text) in trained for m in one.path if m.role == "user")
    }


def _item(one: _Judged, reason: str | None) -> SnapshotItem:
    candidate = one.candidate
    month = candidate.occurred_at.strftime("%Y-%m")
    if reason is not None:
        return SnapshotItem(
            conversation=candidate.conversation,
            person=candidate.person,
            outcome="left_out",
            reason=reason,
            part=candidate.part,
            month=month,
        )
    outcome: Outcome = "used" if candidate.part == "train" else "held_out"
    turns = tuple(
        TurnKey(key=message.key, role=message.role, trained=good)
        for message, good in zip(one.path, one.trained, strict=True)
    )
    return SnapshotItem(
        conversation=candidate.conversation,
        person=candidate.person,
        outcome=outcome,
        reason=candidate.part,
        part=candidate.part,
        source="replay" if candidate.seen else "new",
        month=month,
        tokens=one.tokens,
        turns=turns,
        digest=digest_of([turn.model_dump(mode="json") for turn in turns]),
        written=_written(one),
    )


def _written(one: _Judged) -> dict[str, int]:
    """Trained tokens of corrections by their writers, the conversation's own person left out."""
    tokens: Counter[str] = Counter()
    for message, count, good in zip(one.path, one.counts, one.trained, strict=True):
        if good and message.corrects is not None and message.corrects.rater != one.candidate.person:
            tokens[message.corrects.rater] += count
    return dict(sorted(tokens.items()))
