"""The forecast of a preference stage: which method, how many steps, and warnings where a recipe leaves the evidence.

Limits are those of SCIENCE section 2 (TRL's KTO page, zephyr's DPO-QLoRA cards, a LoRA sweep).
"""

import math
from collections.abc import Iterable, Iterator, Mapping

from pipelines.feedback.method import Method, choose
from pipelines.recipe import Preference
from pipelines.records import RatedConversation, RatedMessage, Record

_LEARNING_RATES: Mapping[str, tuple[float, float]] = {"dpo": (2.5e-6, 1e-5), "kto": (5e-7, 1e-5), "bco": (5e-7, 1e-5)}
_SMALLEST_STEP = 4
_BATCHES: Mapping[str, tuple[int, int]] = {"dpo": (32, 256), "kto": (16, 128), "bco": (16, 128)}
_ENOUGH_PAIRS = 1000


class Thumbs(Record):
    """What feedback there is to learn from: pairs of rated siblings, good and bad answers (those of pairs among them)."""

    pairs: int
    good: int
    bad: int


class PreferencePlan(Record):
    """What a preference stage would be, and `why`; `method` "none" means that it would be left out."""

    method: Method
    why: str
    thumbs: Thumbs
    batch: int
    steps: int
    warmup_steps: int
    learning_rate: float

    @property
    def answers(self) -> int:
        """Answers that are read in all epochs, two of each pair."""
        pairs, single = 2 * self.thumbs.pairs, self.thumbs.good + self.thumbs.bad
        return {"none": 0, "dpo": pairs}.get(self.method, single)

    def line(self) -> str:
        """The forecast as a person reads it."""
        have = f"{self.thumbs.pairs} pairs, {self.thumbs.good} good and {self.thumbs.bad} bad answers before caps"
        if self.method == "none":
            return f"thumbs    {have}: no preference stage"
        run = f"{self.steps} steps of {self.batch}, {self.warmup_steps} of warm-up, rate {self.learning_rate:.2g}"
        return f"thumbs    {have}: {self.method}, {run}"


def count_thumbs(candidates: Iterable[RatedConversation]) -> Thumbs:
    """What stands in the training part today, by net votes; no rule on influence is applied."""
    pairs = good = bad = 0
    for candidate in candidates:
        if candidate.consent and candidate.part == "train":
            ups, downs = (_parents(candidate.messages, sign) for sign in (1, -1))
            good, bad = good + len(ups), bad + len(downs)
            pairs += sum(min(ups.count(parent), downs.count(parent)) for parent in set(ups))
    return Thumbs(pairs=pairs, good=good, bad=bad)


def plan_preference(rule: Preference, thumbs: Thumbs) -> PreferencePlan:
    """The stage that this feedback would give. Topics are not looked at, so `auto` says kto where it may become bco."""
    choice = choose(rule, pairs=thumbs.pairs, real_pairs=thumbs.pairs, good=thumbs.good, bad=thumbs.bad)
    examples = {"dpo": thumbs.pairs, "none": 0}.get(choice.method, thumbs.good + thumbs.bad)
    batch = rule.batch.per_device * rule.batch.accumulate
    steps = math.ceil(math.ceil(examples / batch) * rule.epochs)
    warmup = math.ceil(rule.warmup * steps) if rule.warmup < 1 else int(rule.warmup)
    return PreferencePlan(
        method=choice.method,
        why=choice.why,
        thumbs=thumbs,
        batch=batch,
        steps=steps,
        warmup_steps=warmup,
        learning_rate=rule.rate(steps),
    )


def preference_warnings(rule: Preference, plan: PreferencePlan, *, judged: bool) -> Iterator[str]:
    """Sentences on what is skipped, cannot work, or leaves the evidence; `judged` is False for models too small for it."""
    if plan.method == "none":
        if rule.method != "none":
            yield f"preferences would be left out: {plan.why.removeprefix('none: ')}"
        return
    if plan.steps and plan.warmup_steps >= plan.steps:
        yield (
            f"the preference stage's warm-up of {plan.warmup_steps} steps is longer than its run of {plan.steps}: use a "
            "share, such as `warmup: 0.1`"
        )
    if plan.method != "dpo" and rule.batch.per_device < _SMALLEST_STEP:
        yield (
            f"{rule.batch.per_device} answers at once are too few for {plan.method}, whose reference point is a mean over "
            f"them: set preference.batch.per_device to {_SMALLEST_STEP} or more"
        )
    if rule.evaluate_every != "auto" and rule.evaluate_every >= plan.steps > 1:
        yield (
            f"the stop rules look first after {rule.evaluate_every} steps, and the preference stage has {plan.steps}: they cannot "
            "end it early; use `evaluate_every: auto`"
        )
    if rule.anchors == 0:
        yield "no anchors go along with preferences: general skill falls (SCIENCE section 8, E4)"
    if plan.method == "dpo":
        yield from _dpo_warnings(rule, plan.thumbs)
    else:
        yield from _label_warnings(rule, plan)
    if judged:
        yield from _evidence(rule, plan)


def _parents(messages: Iterable[RatedMessage], sign: int) -> list[str | None]:
    """The parents of the answers whose net vote has this sign, one entry per answer."""
    return [one.parent for one in messages if one.role == "assistant" and sign * (one.up - one.down) > 0]


def _dpo_warnings(rule: Preference, thumbs: Thumbs) -> Iterator[str]:
    if thumbs.pairs < _ENOUGH_PAIRS:
        yield f"dpo on {thumbs.pairs} pairs: the evidence for it begins at {_ENOUGH_PAIRS:,}; kto learns from single answers too"
    if rule.nll_weight == 0:
        yield "dpo without an SFT term (nll_weight: 0) may make both answers less likely (trl issue 800)"


def _label_warnings(rule: Preference, plan: PreferencePlan) -> Iterator[str]:
    """What a named method does with labels that `auto` would find too rare, or too uneven."""
    few, many = sorted((plan.thumbs.good, plan.thumbs.bad))
    if plan.thumbs.good < rule.min_ups or plan.thumbs.bad < rule.min_downs:
        yield (
            f"{plan.method} on {plan.thumbs.good} good and {plan.thumbs.bad} bad answers, because the recipe names it: "
            f"`method: auto` asks for {rule.min_ups} and {rule.min_downs} (preference.min_ups, min_downs)"
        )
    if many > rule.max_boost * few:
        yield (
            f"{few} answers of one label against {many} of the other are not balanced: one counts at most "
            f"{rule.max_boost:g} times as much as one of the other (preference.max_boost)"
        )


def _evidence(rule: Preference, plan: PreferencePlan) -> Iterator[str]:
    low, high = _LEARNING_RATES[plan.method]
    if rule.learning_rate != "auto" and not low * 0.999 <= rule.learning_rate <= high * 1.001:
        side = "below" if rule.learning_rate < low else "above"
        yield f"preference learning rate {rule.learning_rate:g} is {side} what holds for {plan.method} ({low:g} to {high:g})"
    few, many = _BATCHES[plan.method]
    if not few <= plan.batch <= many:
        yield f"{plan.batch} examples a step are not {few} to {many}, which holds for {plan.method}"
