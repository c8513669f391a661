"""The choice of the preference loss by what a round has to learn from, with the reason in a sentence."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Literal, TypeVar

from pipelines.feedback.weigh import RULES as WEIGHING_RULES
from pipelines.recipe import Preference
from pipelines.records import FeedbackFate, PreferenceExample, PreferenceItem, Record, SnapshotItem

Method = Literal["dpo", "kto", "bco", "none"]
# What becomes of the votes on a lone bad answer at the snapshot, which cannot know yet whether a fresh one will do.
RESAMPLED_FROM = ("lone", "pairs_only")
# What weighing dropped SFT never saw either.
_UNWEIGHED = frozenset(rule.name for rule in WEIGHING_RULES)
_Item = TypeVar("_Item", PreferenceItem, PreferenceExample)


class Choice(Record):
    """The method, why, and what it was chosen by: training items only; `good` and `bad` with both halves of pairs.

    `topic_shift` is the total variation, 0 to 1, between the topics of good and of bad answers.
    """

    method: Method
    why: str
    counts: Mapping[str, int]
    topic_shift: float


def as_labelled(items: Iterable[_Item]) -> list[_Item]:
    """Each pair as a good and a bad answer of half the name, the others as they are: what KTO and BCO read."""
    labelled: list[_Item] = []
    for item in items:
        if item.kind == "labelled":
            labelled.append(item)
        else:
            labelled += [_half(item, "good"), _half(item, "bad")]
    return labelled


def choose_method(items: Iterable[PreferenceItem], rule: Preference) -> Choice:
    """The method for these items, which are read once.

    Real pairs are those that people made: a resampled one does not count towards `min_pairs`.
    """
    pairs: Counter[bool] = Counter()
    good: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    for item in items:
        if item.part == "train":
            pairs[item.source != "resample"] += item.kind == "pair"
            good[item.topic] += item.chosen is not None
            bad[item.topic] += item.rejected is not None
    return choose(
        rule,
        pairs=pairs.total(),
        real_pairs=pairs[True],
        good=good.total(),
        bad=bad.total(),
        shift=topic_shift(good, bad),
    )


def choose(rule: Preference, *, pairs: int, real_pairs: int, good: int, bad: int, shift: float = 0.0) -> Choice:
    """The method for so many pairs and answers, those of pairs among them: the one chooser of forecast and round.

    `auto` follows the recipe's thresholds; a named method is obeyed where it has something to read.
    """
    counts = {"pairs": pairs, "real_pairs": real_pairs, "good": good, "bad": bad}
    method, why = _auto(counts, shift, rule) if rule.method == "auto" else _named(counts, rule.method)
    return Choice(method=method, why=why, counts=counts, topic_shift=round(shift, 6))


def deciding(preference: Preference | None) -> Preference | None:
    """What of a recipe's section decides on the method, the rest at its defaults: a change there needs no new snapshot."""
    if preference is None:
        return None
    return Preference(
        **preference.model_dump(include={"method", "min_pairs", "min_downs", "min_ups", "max_topic_shift"})
    )


def settle_fates(fates: Iterable[FeedbackFate], method: Method, learnt: Container[str]) -> Iterator[FeedbackFate]:
    """The fates once the method is known: what speaks for an answer that SFT learns is a rating, else its loss reads it or not.

    DPO reads pairs only, and `none` nothing. SFT reads ups and corrections, whatever preferences made of them: only what
    weighing dropped it never saw: `learnt` are the answers that it trains (message ids). `resample_fates` has the last
    word on lone bad answers.
    """
    return (_settle(fate, method, learnt) for fate in fates)


def answers_learnt(item: SnapshotItem) -> Iterator[str]:
    """The answers of this record that SFT trains, by message id."""
    return (turn.key.message for turn in item.turns if turn.trained and item.outcome == "used")


def resample_fates(fates: Iterable[FeedbackFate], answers: Container[str]) -> Iterator[FeedbackFate]:
    """The fates once fresh answers stand against these bad ones (message ids): the down-votes on them taught a pair."""
    return (
        fate.model_copy(update={"outcome": "used", "rule": "resample"})
        if fate.kind == "vote" and fate.value < 0 and fate.message in answers and fate.rule in RESAMPLED_FROM
        else fate
        for fate in fates
    )


def _settle(fate: FeedbackFate, method: Method, learnt: Container[str]) -> FeedbackFate:
    read = method in ("kto", "bco") or (method == "dpo" and fate.rule != "lone")
    used = fate.outcome == "used"
    if (used and read) or fate.outcome == "held_out" or fate.rule in _UNWEIGHED:
        return fate
    if spoken_for(fate) in learnt:
        return fate.model_copy(update={"outcome": "used", "rule": "rating"})
    if not used:
        return fate
    return fate.model_copy(
        update={"outcome": "dropped", "rule": "pairs_only" if method == "dpo" else "no_preference_stage"}
    )


def spoken_for(fate: FeedbackFate) -> str | None:
    """The answer that feedback may have made SFT learn. A down keeps one out, and SFT does not read comparisons."""
    if fate.kind == "correction":
        return fate.other
    return fate.message if fate.kind == "vote" and fate.value > 0 else None


def topic_shift(good: Counter[str], bad: Counter[str]) -> float:
    """Half the sum of the differences between the shares of topics, of which these are counts; 0 where a side is empty."""
    wholes = (good.total(), bad.total())
    if not all(wholes):
        return 0.0
    return sum(abs(good[topic] / wholes[0] - bad[topic] / wholes[1]) for topic in good | bad) / 2


def _auto(counts: Mapping[str, int], shift: float, rule: Preference) -> tuple[Method, str]:
    real, good, bad = counts["real_pairs"], counts["good"], counts["bad"]
    if real >= rule.min_pairs:
        return "dpo", f"DPO: {real} real pairs, and it needs {rule.min_pairs}"
    if bad < rule.min_downs:
        return (
            "none",
            f"none: {bad} bad answers, and the recipe asks for {rule.min_downs} (preference.min_downs; {real} real pairs)",
        )
    if good < rule.min_ups:
        return (
            "none",
            f"none: {good} good answers, and the recipe asks for {rule.min_ups} (preference.min_ups; {real} real pairs)",
        )
    if not good or not bad:
        return "none", f"none: {good} good and {bad} bad answers, and it takes both"
    numbers = f"{good} good and {bad} bad answers, {real} real pairs of the {rule.min_pairs} that DPO needs"
    moved = f"their topics differ by {shift:.2f}, {rule.max_topic_shift:g} is the limit"
    if shift > rule.max_topic_shift:
        return "bco", f"BCO: {numbers}; good and bad answers come from different topics ({moved})"
    return "kto", f"KTO: {numbers}; {moved}"


def _named(counts: Mapping[str, int], method: Method) -> tuple[Method, str]:
    pairs, good, bad = counts["pairs"], counts["good"], counts["bad"]
    if method == "none":
        return "none", "none: the recipe says so"
    if method == "dpo":
        if pairs == 0:
            return "none", f"none: the recipe asks for DPO, and there are no pairs ({good} good and {bad} bad answers)"
        return "dpo", f"DPO: the recipe says so; {pairs} pairs"
    if not good or not bad:
        return (
            "none",
            f"none: the recipe asks for {method.upper()}, which takes good and bad answers; there are {good} and {bad}",
        )
    return method, f"{method.upper()}: the recipe says so; {good} good and {bad} bad answers"


def _half(item: _Item, side: Literal["good", "bad"]) -> _Item:
    gone = "rejected" if side == "good" else "chosen"
    return item.model_copy(update={"id": f"{item.id}/{side}", "kind": "labelled", gone: None})
