"""Selection: which conversations a round may learn from or measure on, and one reason for every other one.

one by one      consent, rating, path through the tree, flaws of each answer
in clusters     the newest answer of a prompt wins; older ones are superseded, copies duplicates
as a pool       contamination by suites, the share of one person, questions that training already holds

RULES are asked in their order, each of what the rules before it left.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from pipelines.artifacts import digest_of
from pipelines.errors import DataError
from pipelines.feedback.caps import cap_level, cap_share
from pipelines.feedback.contradicted import answers_of, contradicted
from pipelines.feedback.lesson import NAMED_FLAWS, Flaw, Lesson, lesson_of
from pipelines.feedback.rules import Rule
from pipelines.feedback.tree import net_votes
from pipelines.recipe import PerUser, Select
from pipelines.records import Outcome, RatedConversation, Record, SnapshotItem, Turn, TurnKey
from pipelines.text import fold

# For each text of the whole pool, the name of the suite item that stands in it, or None.
FindContaminated = Callable[[Sequence[str]], Sequence[str | None]]
# Whether the base model's chat template takes these turns.
Renders = Callable[[Sequence[Turn]], bool]


def renders_always(turns: Sequence[Turn]) -> bool:
    """For where no model is asked."""
    return True


class UserCap(Record):
    """How much of the user part one person may fill: a share, and the trained tokens it came to."""

    people: int
    share: float
    tokens: float


@dataclass(frozen=True)
class SelectionPool:
    """The argument of a rule: all lessons, newest first, the reasons that stand so far, and the cap once there is one."""

    lessons: tuple[Lesson, ...]
    select: Select
    find_contaminated: FindContaminated
    renders: Renders
    reasons: Mapping[str, str] = field(default_factory=dict)
    cap: UserCap | None = None

    @property
    def left(self) -> list[Lesson]:
        """The lessons that no rule has rejected, newest first."""
        return [lesson for lesson in self.lessons if lesson.name not in self.reasons]


@dataclass(frozen=True)
class Rejection:
    """The verdict of a rule: the conversations that go, lessons that stay with less to train, and a cap if it set one."""

    names: Set[str]
    shortened: Mapping[str, Lesson] = field(default_factory=dict)
    cap: UserCap | None = None


def select(
    candidates: Iterable[RatedConversation],
    rules: Select,
    *,
    count_tokens: Callable[[str], int],
    find_contaminated: FindContaminated,
    renders: Renders = renders_always,
) -> tuple[list[SnapshotItem], UserCap | None]:
    """One item per candidate, oldest first, and the per-person cap that held (None: too few people for one).

    The same candidates in any order give the same items.

    Raises:
        DataError: one prompt cluster stands in two parts, so nothing could be held out safely.
    """
    lessons = [lesson_of(candidate, rules, count_tokens) for candidate in candidates]
    _refuse_split_clusters(lessons)
    pool = SelectionPool(tuple(sorted(lessons, key=lambda one: one.newest_first)), rules, find_contaminated, renders)
    for rule in RULES:
        rejection = rule.rejects(pool)
        pool = replace(
            pool,
            lessons=tuple(rejection.shortened.get(lesson.name, lesson) for lesson in pool.lessons),
            reasons={**dict.fromkeys(rejection.names, rule.name), **pool.reasons},
            cap=rejection.cap or pool.cap,
        )
    oldest_first = sorted(pool.lessons, key=lambda one: (one.candidate.occurred_at, one.name))
    return [_item(lesson, pool.reasons.get(lesson.name)) for lesson in oldest_first], pool.cap


def user_cap(tokens: Mapping[str, int], rule: PerUser) -> UserCap | None:
    """The largest number of tokens per person at which nobody exceeds the share of what then remains.

    The share is the recipe's (auto: 0.005), but never below 3 / people, so that it bites on outliers only. None
    below 20 people under `auto`, and where the share allows everything.
    """
    share = cap_share(rule.max_share, len(tokens))
    if share is None:
        return None
    return UserCap(people=len(tokens), share=share, tokens=cap_level(list(tokens.values()), share))


def _refuse_split_clusters(lessons: Sequence[Lesson]) -> None:
    parts: dict[str, str] = {}
    for one in lessons:
        cluster, part = one.candidate.prompt_cluster, one.candidate.part
        if parts.setdefault(cluster, part) != part:
            raise DataError(
                f"prompt cluster {cluster} stands in the parts {parts[cluster]} and {part}; it must be in one"
            )


# ---- the rules ----------------------------------------------------------------------------------------------


def _each(rejects: Callable[[Lesson, SelectionPool], bool]) -> Callable[[SelectionPool], Rejection]:
    """A rule that looks at one conversation at a time."""
    return lambda pool: Rejection({lesson.name for lesson in pool.left if rejects(lesson, pool)})


def _is_foreign(lesson: Lesson, pool: SelectionPool) -> bool:
    return pool.select.language.primary not in (None, lesson.candidate.language)


def _is_unrated(lesson: Lesson, pool: SelectionPool) -> bool:
    return lesson.candidate.satisfaction is None and not any(m.up or m.down or m.corrects for m in lesson.answers)


def _is_disliked(lesson: Lesson, pool: SelectionPool) -> bool:
    return not lesson.liked and not any(net_votes(message) > 0 for message in lesson.answers)


def _is_unrendered(lesson: Lesson, pool: SelectionPool) -> bool:
    """Later rules train fewer of its answers, which no template minds."""
    marked = zip(lesson.path, lesson.trained, strict=True)
    return not pool.renders([turn.turn(good) for turn, good in marked])


def _all_share(flaw: Flaw) -> Rule[SelectionPool, Rejection]:
    return Rule(flaw.name, f"every answer {flaw.sentence}", _each(lambda lesson, pool: lesson.common_flaw == flaw.name))


def _duplicates(pool: SelectionPool) -> Rejection:
    """One record per prompt+answer cluster: the newest."""
    pairs: set[tuple[str, ...]] = set()
    names = set()
    for lesson in pool.left:
        if lesson.pair in pairs:
            names.add(lesson.name)
        pairs.add(lesson.pair)
    return Rejection(names)


def _superseded(pool: SelectionPool) -> Rejection:
    """Of each prompt cluster all but the newest, and records all of whose answers newer ones contradict.

    A duplicate stands for its prompt too. Training records of which an answer is left stay, with that one trained.
    """
    prompts: set[str] = set()
    names = set()
    for lesson in pool.lessons:
        if pool.reasons.get(lesson.name) in (None, "duplicate"):
            if lesson.candidate.prompt_cluster in prompts:
                names.add(lesson.name)
            prompts.add(lesson.candidate.prompt_cluster)
    shortened = _without_old_answers([lesson for lesson in pool.left if lesson.name not in names])
    return Rejection(names | _untrained(shortened), shortened)


def _without_old_answers(newest_first: Sequence[Lesson]) -> dict[str, Lesson]:
    """The training records that answer a question otherwise than a newer one does, those answers no longer trained."""
    train = {one.name: one for one in newest_first if one.candidate.part == "train"}
    old = contradicted(answers_of(name, one.path, one.trained) for name, one in train.items())
    return {
        name: replace(
            train[name], trained=tuple(good and place not in places for place, good in enumerate(train[name].trained))
        )
        for name, places in old.items()
    }


def _contaminated(pool: SelectionPool) -> Rejection:
    """The whole pool at once, after the clusters: many copies of one pasted item must not look like a template."""
    left = pool.left
    items = pool.find_contaminated(["\n".join(message.said for message in one.path) for one in left])
    return Rejection({one.name for one, item in zip(left, items, strict=True) if item})


def _over_user_cap(pool: SelectionPool) -> Rejection:
    """The training records that do not fit, with what is over the cap no longer trained; people's newest fill theirs.

    A person's own record is over it as a whole. Of a corrector only the correction is: nobody may push out what others
    wrote by correcting it.
    """
    train = [lesson for lesson in pool.left if lesson.candidate.part == "train"]
    totals: Counter[str] = Counter()
    for lesson in train:
        totals.update(lesson.tokens_by_writer)
    cap = user_cap(totals, pool.select.per_user)
    if cap is None:
        return Rejection(frozenset())
    filled: Counter[str] = Counter()
    shortened = {}
    for one in train:
        full = {writer for writer, tokens in one.tokens_by_writer.items() if filled[writer] + tokens > cap.tokens}
        if full:
            left = (
                good and one.candidate.person not in full and writer not in full
                for good, writer in zip(one.trained, one.writers, strict=True)
            )
            one = shortened[one.name] = replace(one, trained=tuple(left))
        filled.update(one.tokens_by_writer)
    return Rejection(_untrained(shortened), shortened, cap)


def _overlaps_train(pool: SelectionPool) -> Rejection:
    """Kept-apart records whose prompts all stand, word for word, among those of longer training conversations.

    Parts follow the cluster of all user turns together, so one question inside a longer conversation can be trained
    on while the same question alone is held out. It stays out of training, and no longer measures.
    """
    trained = {prompt for one in pool.left if one.candidate.part == "train" for prompt in _prompts(one)}
    apart = (one for one in pool.left if one.candidate.part != "train")
    return Rejection({one.name for one in apart if all(prompt in trained for prompt in _prompts(one))})


def _prompts(lesson: Lesson) -> list[str]:
    return [fold(message.text, "NFKC_casefold") for message in lesson.path if message.role == "user"]


def _untrained(lessons: Mapping[str, Lesson]) -> set[str]:
    return {name for name, lesson in lessons.items() if not any(lesson.trained)}


RULES: tuple[Rule[SelectionPool, Rejection], ...] = (
    Rule(
        "no_consent",
        "no consent to training was given",
        _each(lambda lesson, pool: lesson.candidate.consent is not True),
    ),
    Rule("other_language", "not in the recipe's primary language", _each(_is_foreign)),
    Rule("no_answer", "holds no answer of the assistant", _each(lambda lesson, pool: not lesson.path)),
    Rule("unrated", "nobody rated it, or no rating of it counts", _each(_is_unrated)),
    Rule("low_satisfaction", "rated below the minimum, and no answer was voted up", _each(_is_disliked)),
    *(_all_share(flaw) for flaw in NAMED_FLAWS),
    Rule(
        "all_turns_flawed",
        "no answer is good enough to learn from",
        _each(lambda lesson, pool: not any(lesson.trained)),
    ),
    Rule("cannot_be_rendered", "the base model's chat template cannot render it", _each(_is_unrendered)),
    Rule("duplicate", "a newer copy of the same prompt and answer is used", _duplicates),
    Rule("superseded", "a newer answer to the same prompt is used", _superseded),
    Rule("contaminated", "repeats an item of the recipe's suites", _contaminated),
    Rule("over_user_cap", "its person already fills the share that one person may", _over_user_cap),
    Rule("overlaps_train", "kept apart, but its prompts also stand in longer training conversations", _overlaps_train),
)


# ---- what comes out -----------------------------------------------------------------------------------------


def _item(lesson: Lesson, reason: str | None) -> SnapshotItem:
    candidate = lesson.candidate
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
        for message, good in zip(lesson.path, lesson.trained, strict=True)
    )
    return SnapshotItem(
        conversation=candidate.conversation,
        person=candidate.person,
        outcome=outcome,
        reason=candidate.part,
        part=candidate.part,
        source="replay" if candidate.seen else "new",
        month=month,
        tokens=lesson.tokens,
        turns=turns,
        digest=digest_of([turn.model_dump(mode="json") for turn in turns]),
        written=_written(lesson),
    )


def _written(lesson: Lesson) -> dict[str, int]:
    """Trained tokens of corrections by their writers, the conversation's own person left out."""
    tokens: Counter[str] = Counter()
    for message, count, good in zip(lesson.path, lesson.counts, lesson.trained, strict=True):
        if good and message.corrects is not None and message.corrects.rater != lesson.candidate.person:
            tokens[message.corrects.rater] += count
    return dict(sorted(tokens.items()))
