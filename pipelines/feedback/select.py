"""Selection: which conversations a round may learn from or measure on, and one reason for every other one.

one by one      consent, rating, path through the tree, flaws of each answer
in clusters     the newest answer of a prompt wins; older ones are superseded, copies duplicates
as a pool       contamination by suites, the share of one person, questions that training already holds

RULES are asked in their order, each of what the rules before it left. A lesson is read once, one at a time; what stays
in memory of all of them are facts without text (pipelines/feedback/lesson_facts.py).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.artifacts import digest_of
from pipelines.errors import DataError
from pipelines.feedback.caps import cap_level, cap_share
from pipelines.feedback.contradicted import contradicted
from pipelines.feedback.held_back import is_unreviewed
from pipelines.feedback.lesson import NAMED_FLAWS, Flaw, Lesson, lesson_of
from pipelines.feedback.lesson_facts import LessonFacts, facts_of
from pipelines.feedback.rules import Rule, first_against
from pipelines.feedback.shelf import Lazy
from pipelines.feedback.tree import net_votes
from pipelines.recipe import PerUser, Select
from pipelines.records import RatedConversation, RatedMessage, Record, SnapshotItem, Turn, TurnKey

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
class LessonCase:
    """The argument of a rule that looks at one conversation at a time."""

    lesson: Lesson
    select: Select
    renders: Renders


@dataclass(frozen=True)
class SelectionPool:
    """The argument of a rule that compares: all lessons, newest first, the reasons so far, and the cap once there is one.

    `candidates` are the conversations of the lessons, to be read again.
    """

    lessons: tuple[LessonFacts, ...]
    candidates: Sequence[RatedConversation]
    select: Select
    find_contaminated: FindContaminated
    reasons: Mapping[str, str]
    cap: UserCap | None = None

    @property
    def left(self) -> list[LessonFacts]:
        """The lessons that no rule has rejected, newest first."""
        return [lesson for lesson in self.lessons if lesson.name not in self.reasons]


@dataclass(frozen=True)
class Rejection:
    """The verdict of a rule: the conversations that go, lessons that stay with less to train, and a cap if it set one."""

    names: Set[str]
    shortened: Mapping[str, LessonFacts] = field(default_factory=dict)
    cap: UserCap | None = None


def select(
    candidates: Sequence[RatedConversation],
    rules: Select,
    *,
    count_tokens: Callable[[str], int],
    find_contaminated: FindContaminated,
    renders: Renders = renders_always,
) -> tuple[Sequence[SnapshotItem], UserCap | None]:
    """One item per candidate, oldest first, and the per-person cap that held (None: too few people for one).

    The same candidates in any order give the same items. An item is made when it is asked for.

    Raises:
        DataError: one prompt cluster stands in two parts, so nothing could be held out safely.
    """
    cases = (LessonCase(lesson_of(candidate, rules, count_tokens), rules, renders) for candidate in candidates)
    lessons = [facts_of(case.lesson, place, first_against(LESSON_RULES, case)) for place, case in enumerate(cases)]
    _refuse_split_clusters(lessons)
    reasons = {lesson.name: lesson.reason for lesson in lessons if lesson.reason}
    lessons.sort(key=lambda one: one.newest_first)
    pool = SelectionPool(tuple(lessons), candidates, rules, find_contaminated, reasons)
    for rule in POOL_RULES:
        rejection = rule.rejects(pool)
        pool = replace(
            pool,
            lessons=tuple(rejection.shortened.get(lesson.name, lesson) for lesson in pool.lessons),
            reasons={**dict.fromkeys(rejection.names, rule.name), **pool.reasons},
            cap=rejection.cap or pool.cap,
        )
    oldest_first = sorted(pool.lessons, key=lambda one: (one.occurred_at, one.name))
    return Lazy(oldest_first, lambda one: _item(one, pool.reasons.get(one.name), candidates)), pool.cap


def user_cap(tokens: Mapping[str, int], rule: PerUser) -> UserCap | None:
    """The largest number of tokens per person at which nobody exceeds the share of what then remains.

    The share is the recipe's (auto: 0.005), but never below 3 / people, so that it bites on outliers only. None
    below 20 people under `auto`, and where the share allows everything.
    """
    share = cap_share(rule.max_share, len(tokens))
    if share is None:
        return None
    return UserCap(people=len(tokens), share=share, tokens=cap_level(list(tokens.values()), share))


def _refuse_split_clusters(lessons: Sequence[LessonFacts]) -> None:
    parts: dict[str, str] = {}
    for one in lessons:
        if parts.setdefault(one.cluster, one.part) != one.part:
            raise DataError(
                f"prompt cluster {one.cluster} stands in the parts {parts[one.cluster]} and {one.part}; it must be in one"
            )


# ---- the rules that look at one conversation ------------------------------------------------------------------


def _is_unreviewed(case: LessonCase) -> bool:
    return is_unreviewed(case.lesson.candidate.review, case.select)


def _is_foreign(case: LessonCase) -> bool:
    return case.select.language.primary not in (None, case.lesson.candidate.language)


def _is_unrated(case: LessonCase) -> bool:
    lesson = case.lesson
    return lesson.candidate.satisfaction is None and not any(m.up or m.down or m.corrects for m in lesson.answers)


def _is_disliked(case: LessonCase) -> bool:
    return not case.lesson.liked and not any(net_votes(message) > 0 for message in case.lesson.answers)


def _is_unrendered(case: LessonCase) -> bool:
    """Rules that compare train fewer of its answers, which no template minds."""
    marked = zip(case.lesson.path, case.lesson.trained, strict=True)
    return not case.renders([turn.turn(good) for turn, good in marked])


def _all_share(flaw: Flaw) -> Rule[LessonCase, bool]:
    return Rule(flaw.name, f"every answer {flaw.sentence}", lambda case: case.lesson.common_flaw == flaw.name)


LESSON_RULES: tuple[Rule[LessonCase, bool], ...] = (
    Rule("dropped_by_reviewer", "a reviewer dropped it", lambda case: case.lesson.candidate.review == "dropped"),
    Rule("not_reviewed", "no reviewer has seen it yet, and the recipe asks for that", _is_unreviewed),
    Rule("no_consent", "no consent to training was given", lambda case: case.lesson.candidate.consent is not True),
    Rule("other_language", "not in the recipe's primary language", _is_foreign),
    Rule("no_answer", "holds no answer of the assistant", lambda case: not case.lesson.path),
    Rule("unrated", "nobody rated it, or no rating of it counts", _is_unrated),
    Rule("low_satisfaction", "rated below the minimum, and no answer was voted up", _is_disliked),
    *(_all_share(flaw) for flaw in NAMED_FLAWS),
    Rule("all_turns_flawed", "no answer is good enough to learn from", lambda case: not any(case.lesson.trained)),
    Rule("cannot_be_rendered", "the base model's chat template cannot render it", _is_unrendered),
)


# ---- the rules that compare conversations ---------------------------------------------------------------------


def _duplicates(pool: SelectionPool) -> Rejection:
    """One record per prompt+answer cluster: the newest."""
    pairs: set[bytes] = set()
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
            if lesson.cluster in prompts:
                names.add(lesson.name)
            prompts.add(lesson.cluster)
    shortened = _without_old_answers([lesson for lesson in pool.left if lesson.name not in names])
    return Rejection(names | _untrained(shortened), shortened)


def _without_old_answers(newest_first: Sequence[LessonFacts]) -> dict[str, LessonFacts]:
    """The training records that answer a question otherwise than a newer one does, those answers no longer trained."""
    train = {one.name: one for one in newest_first if one.part == "train"}
    old = contradicted((name, one.answers) for name, one in train.items())
    return {
        name: replace(
            train[name], trained=tuple(good and place not in places for place, good in enumerate(train[name].trained))
        )
        for name, places in old.items()
    }


def _contaminated(pool: SelectionPool) -> Rejection:
    """The whole pool at once, after the clusters: many copies of one pasted item must not look like a template."""
    left = pool.left

    def text_of(lesson: LessonFacts) -> str:
        return "\n".join(message.said for message in lesson.path_in(pool.candidates[lesson.place]))

    items = pool.find_contaminated(Lazy(left, text_of))
    return Rejection({one.name for one, item in zip(left, items, strict=True) if item})


def _over_user_cap(pool: SelectionPool) -> Rejection:
    """The training records that do not fit, with what is over the cap no longer trained; people's newest fill theirs.

    A person's own record is over it as a whole. Of a corrector only the correction is: nobody may push out what others
    wrote by correcting it.
    """
    train = [lesson for lesson in pool.left if lesson.part == "train"]
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
                good and one.person not in full and one.writer(place) not in full
                for place, good in enumerate(one.trained)
            )
            one = shortened[one.name] = replace(one, trained=tuple(left))
        filled.update(one.tokens_by_writer)
    return Rejection(_untrained(shortened), shortened, cap)


def _overlaps_train(pool: SelectionPool) -> Rejection:
    """Kept-apart records whose prompts all stand, word for word, among those of longer training conversations.

    Parts follow the cluster of all user turns together, so one question inside a longer conversation can be trained
    on while the same question alone is held out. It stays out of training, and no longer measures.
    """
    trained = {prompt for one in pool.left if one.part == "train" for prompt in one.prompts}
    apart = (one for one in pool.left if one.part != "train")
    return Rejection({one.name for one in apart if all(prompt in trained for prompt in one.prompts)})


def _untrained(lessons: Mapping[str, LessonFacts]) -> set[str]:
    return {name for name, lesson in lessons.items() if not any(lesson.trained)}


POOL_RULES: tuple[Rule[SelectionPool, Rejection], ...] = (
    Rule("duplicate", "a newer copy of the same prompt and answer is used", _duplicates),
    Rule("superseded", "a newer answer to the same prompt is used", _superseded),
    Rule("contaminated", "repeats an item of the recipe's suites", _contaminated),
    Rule("over_user_cap", "its person already fills the share that one person may", _over_user_cap),
    Rule("overlaps_train", "kept apart, but its prompts also stand in longer training conversations", _overlaps_train),
)
# The names of both kinds and what a person reads of each, in the order in which they are asked.
RULES: tuple[Rule[Any, Any], ...] = (*LESSON_RULES, *POOL_RULES)


# ---- what comes out -----------------------------------------------------------------------------------------


def _item(lesson: LessonFacts, reason: str | None, candidates: Sequence[RatedConversation]) -> SnapshotItem:
    month = lesson.occurred_at.strftime("%Y-%m")
    if reason is not None:
        return SnapshotItem(
            conversation=lesson.name,
            person=lesson.person,
            outcome="left_out",
            reason=reason,
            part=lesson.part,
            month=month,
        )
    candidate = candidates[lesson.place]
    path = lesson.path_in(candidate)
    turns = tuple(
        TurnKey(key=message.key, role=message.role, trained=good)
        for message, good in zip(path, lesson.trained, strict=True)
    )
    return SnapshotItem(
        conversation=lesson.name,
        person=lesson.person,
        outcome="used" if lesson.part == "train" else "held_out",
        reason=lesson.part,
        part=lesson.part,
        source="replay" if lesson.seen else "new",
        month=month,
        tokens=lesson.tokens,
        turns=turns,
        digest=digest_of([turn.model_dump(mode="json") for turn in turns]),
        written=_written(lesson, path),
        stratum=f"{candidate.language}/{candidate.topic}",
        served_by=next(
            (m.served_by for m, good in zip(reversed(path), reversed(lesson.trained), strict=True) if good), ""
        ),
    )


def _written(lesson: LessonFacts, path: Sequence[RatedMessage]) -> dict[str, int]:
    """Trained tokens of corrections by their writers, the conversation's own person left out."""
    tokens: Counter[str] = Counter()
    for message, count, good in zip(path, lesson.counts, lesson.trained, strict=True):
        if good and message.corrects is not None and message.corrects.rater != lesson.person:
            tokens[message.corrects.rater] += count
    return dict(sorted(tokens.items()))
