"""The gate: a pure function from item scores to pass, fail or inconclusive, with every reason in words.

    decide(scores, rules).outcome                    "fail"
    decide(scores, rules).reasons[0]
        "tiny_math (exact_match) against the origin: 68.2 where it has 75.0, difference -6.8 points (bounds -9.1 to
         -4.6 at 95 % one-sided, 600 items), beyond the margin of 3.0 and surely below 0: fail"

Decision "Three verdicts" and "Two baselines" of docs/decisions; derived from Miller 2024 (arXiv:2411.00640).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from pipelines.errors import RecipeError, SuiteError
from pipelines.gate.change import Change
from pipelines.gate.finding import Finding
from pipelines.gate.judge import Outcome, judge_gain, judge_margin
from pipelines.gate.language_guard import language_findings
from pipelines.gate.preference_guard import PREFERENCE, preference_findings
from pipelines.gate.regression_guard import regression_findings
from pipelines.gate.served import served_findings
from pipelines.gate.slices import Slice, slice_words, worst_slices
from pipelines.gate.statistics import (
    MIN_GRADED,
    MIN_ITEMS,
    Interval,
    alpha_for,
    min_items,
    paired_interval,
    upper_bound_of_share,
)
from pipelines.recipe import APART, CORRECTIONS, GUARD_SUITE, HELDOUT, GateRule, Stops
from pipelines.records import Record
from pipelines.suites.scores import (
    PERPLEXITY,
    BaselineName,
    GateInput,
    ItemScore,
    ModelScores,
    SuiteScores,
    paired_values,
    shown_difference,
    shown_score,
)

Criterion = Literal["margin", "min_gain", "older", "own", "floor_below_origin", "floor", "guard", "change", "cost"]
BASELINES: tuple[BaselineName, ...] = ("champion", "origin")
CANDIDATE = "candidate"  # stands where a suite's name does, for what is judged of its weights
# Older held-out answers, and those that a baseline wrote itself, must be non-inferior to it; taken when the rule gives no
# margin of its own.
OLDER_MARGIN_POINTS = 2.0


class Check(Record):
    """One criterion judged. Scores, difference and bounds are percentage points; `needed` is a number of items.

    Of a perplexity the scores are perplexities, and a difference is by how many percent it is lower. `slices` are the
    strata that lost most, where the check did not pass. `metric` is None in checks of earlier versions.
    """

    suite: str
    criterion: Criterion
    outcome: Outcome
    reason: str
    baseline: BaselineName | None = None
    candidate: float | None = None
    reference: float | None = None
    difference: float | None = None
    lower: float | None = None
    upper: float | None = None
    n: int | None = None
    needed: int | None = None
    slices: tuple[Slice, ...] = ()
    metric: str | None = None


class Verdict(Record):
    """The gate's decision: fail if any check fails, else inconclusive if any is, else pass."""

    outcome: Outcome
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The sentences of the checks that did not pass, worst first; all of them if every check passed."""
        order: tuple[Outcome, ...] = ("fail", "inconclusive")
        problems = [check.reason for kind in order for check in self.checks if check.outcome == kind]
        return tuple(problems or [check.reason for check in self.checks])

    @property
    def failed_suites(self) -> tuple[str, ...]:
        """The suites with a failed check, each once."""
        return tuple(dict.fromkeys(check.suite for check in self.checks if check.outcome == "fail"))


def decide(
    scores: GateInput, rules: Sequence[GateRule], stops: Stops | None = None, change: Change | None = None
) -> Verdict:
    """The verdict on a candidate, from item scores alone; the same input gives the same verdict.

    Args:
        stops: the recipe's stop rules, if a preference stage ran; they become a guard. None: there was no such stage.
        change: how the export differs from the origin; None where that was not measured.

    Raises:
        SuiteError: a rule names a suite or metric that was not measured, or on other items than the baseline.
        RecipeError: there is no rule at all.
    """
    if not rules:
        raise RecipeError("the recipe has no gates; a candidate without a gate is never promoted")
    alpha = alpha_for(scores.attempt, scores.max_attempts)
    checks = [check for rule in rules if rule.suite != GUARD_SUITE for check in _checks(scores, rule, alpha)]
    checks += _language(scores, alpha, required=any(rule.suite == GUARD_SUITE for rule in rules))
    if not any(rule.suite == CORRECTIONS for rule in rules):
        checks += _guard(CORRECTIONS, regression_findings(scores, alpha))
    checks += _guard(PREFERENCE, preference_findings(scores, stops, alpha)) if stops else []
    checks += [_of_candidate(criterion, finding) for criterion, finding in served_findings(scores, change)]
    return Verdict(outcome=_overall(checks), checks=tuple(checks))


def check_floors(origin: ModelScores, rules: Sequence[GateRule]) -> None:
    """Raise RecipeError, before any training, if the measured origin itself misses an absolute floor."""
    for rule in rules:
        if rule.floor is None:
            continue
        scores = origin.suite(rule.suite, rule.metric)
        measured = 100 * scores.mean
        if measured < rule.floor:
            raise RecipeError(
                f"the gate on suite '{rule.suite}' has a floor of {rule.floor:.1f}, but the origin itself measures "
                f"{measured:.1f} on {len(scores.items)} items; lower the floor or use floor_below_origin"
            )


def _checks(scores: GateInput, rule: GateRule, alpha: float) -> Iterator[Check]:
    if rule.suite in APART and not any(entry.suite == rule.suite for entry in scores.candidate.suites):
        what = {HELDOUT: "answers to compare", CORRECTIONS: "corrections"}.get(rule.suite, "pairs")
        reason = f"{rule.suite}: there are no held-out {what}, at least {MIN_GRADED} are needed: inconclusive"
        yield Check(
            suite=rule.suite, criterion="min_gain", outcome="inconclusive", reason=reason, n=0, needed=MIN_GRADED
        )
        return
    if rule.margin is not None:
        for name in BASELINES:
            yield _margin_check(_pair(scores, rule, name, alpha), getattr(rule.margin, name))
    if rule.min_gain is not None:
        yield from _gain_checks(scores, rule, rule.min_gain, alpha)
    if rule.floor_below_origin is not None:
        yield _floor_below_origin_check(_pair(scores, rule, "origin", alpha), rule.floor_below_origin)
    if rule.floor is not None:
        yield _floor_check(scores.candidate.suite(rule.suite, rule.metric), rule.floor, alpha)


class _Pair(NamedTuple):
    """Candidate and one baseline on the same items of one suite."""

    suite: str
    metric: str
    baseline: BaselineName
    items: str
    candidate: float
    reference: float
    interval: Interval
    alpha: float
    slices: tuple[Slice, ...] = ()

    def check(self, criterion: Criterion, outcome: Outcome, detail: str, needed: int | None = None) -> Check:
        figures = (self.interval.difference, self.interval.lower, self.interval.upper)
        difference, low, high = (shown_difference(self.metric, figure) for figure in figures)
        unit = "% lower" if self.metric == PERPLEXITY else "points"
        candidate, reference = (shown_score(self.metric, mean) for mean in (self.candidate, self.reference))
        slices = () if outcome == "pass" else self.slices
        reason = (
            f"{self.suite} ({self.metric}) against the {self.baseline}: {candidate:.1f} where it has "
            f"{reference:.1f}, difference {difference:+.1f} {unit} (bounds "
            f"{low:+.1f} to {high:+.1f} at {100 * (1 - self.alpha):.3g} % one-sided, {self.interval.n} "
            f"{self.items}); {detail}{slice_words(slices)}: {outcome}"
        )
        return Check(
            suite=self.suite,
            criterion=criterion,
            outcome=outcome,
            reason=reason,
            baseline=self.baseline,
            candidate=candidate,
            reference=reference,
            difference=difference,
            lower=low,
            upper=high,
            n=self.interval.n,
            needed=needed,
            slices=slices,
            metric=self.metric,
        )


def _pair(
    scores: GateInput,
    rule: GateRule,
    name: BaselineName,
    alpha: float,
    items: str = "items",
    asks: Callable[[ItemScore], bool] | None = None,
) -> _Pair:
    """Candidate and baseline on a suite; `items` are what it is asked of in words, chosen by `asks`."""
    candidate = scores.candidate.suite(rule.suite, rule.metric)
    baseline = scores.baseline(name).suite(rule.suite, candidate.metric)
    new, old, clusters = paired_values(candidate, baseline, asks=asks)
    nothing = Interval(0.0, -1.0, 1.0, 0, 1.0)
    interval = paired_interval(new, old, alpha=alpha, clusters=clusters) if new else nothing
    slices = worst_slices(candidate, baseline, alpha) if asks is None else ()
    count = max(1, len(new))
    return _Pair(rule.suite, candidate.metric, name, items, sum(new) / count, sum(old) / count, interval, alpha, slices)


def _margin_check(pair: _Pair, points: float) -> Check:
    outcome, needed = judge_margin(pair.interval, points / 100, pair.alpha)
    if pair.interval.n < min_items(points / 100):
        detail = f"a margin of {points:.1f} needs at least {min_items(points / 100)} items"
    elif outcome == "pass":
        detail = f"surely inside the margin of {points:.1f}"
    elif outcome == "fail":
        detail = f"beyond the margin of {points:.1f} and surely below 0"
    else:
        detail = f"too few items to tell at a margin of {points:.1f}{_about(needed)}"
    return pair.check("margin", outcome, detail, needed)


def _gain_checks(scores: GateInput, rule: GateRule, gain: float, alpha: float) -> Iterator[Check]:
    """Superior to the origin, and to the champion on new data; what a baseline wrote itself, and older data, only hold.

    No model beats another at that one's own words, so on those a gain would say nothing.
    """

    def pair(name: BaselineName, items: str, asks: Callable[[ItemScore], bool]) -> _Pair:
        return _pair(scores, rule, name, alpha, items, asks)

    asked = (
        pair("origin", "items", lambda item: "origin" not in item.own),
        pair("champion", "items of new data", lambda item: item.fresh and "champion" not in item.own),
    )
    held: tuple[tuple[_Pair, Criterion], ...] = (
        (pair("champion", "items of older data", lambda item: not item.fresh and "champion" not in item.own), "older"),
        (pair("champion", "answers of its own", lambda item: "champion" in item.own), "own"),
        (pair("origin", "answers of its own", lambda item: "origin" in item.own), "own"),
    )
    by_themselves = any(one.interval.n >= MIN_GRADED for one, criterion in held if criterion == "own")
    for one in asked:
        if one.interval.n or not by_themselves:
            outcome, needed = judge_gain(one.interval, gain / 100, alpha)
            yield one.check("min_gain", outcome, f"a gain surely above {gain:.1f} is asked{_about(needed)}", needed)
    points = rule.margin.champion if rule.margin else OLDER_MARGIN_POINTS
    for one, criterion in held:
        if one.interval.n:
            outcome, needed = judge_gain(one.interval, -points / 100, alpha)
            yield one.check(criterion, outcome, f"a loss surely below {points:.1f} is asked{_about(needed)}", needed)


def _floor_below_origin_check(pair: _Pair, points: float) -> Check:
    """A score at or above the floor passes; one below it fails if it is surely below the origin too."""
    few, below = _few(pair.suite, pair.interval.n), pair.interval.difference < -points / 100
    outcome: Outcome = "inconclusive" if few or below else "pass"
    if below and not few and pair.interval.upper < 0:
        outcome = "fail"
    detail = f"{'below' if below else 'above'} the floor, {points:.1f} under the origin{_asked(few)}"
    return pair.check("floor_below_origin", outcome, detail, few)


def _floor_check(candidate: SuiteScores, floor: float, alpha: float) -> Check:
    """A score at or above the floor passes; one whose upper bound lies below it fails."""
    score, n = candidate.mean, len(candidate.items)
    few = _few(candidate.suite, n)
    outcome: Outcome = "pass" if 100 * score >= floor and not few else "inconclusive"
    if not few and 100 * upper_bound_of_share(score * n, n, alpha) < floor:
        outcome = "fail"
    said = f"{100 * score:.1f} on {n} items, floor {floor:.1f}{_asked(few)}"
    return Check(
        suite=candidate.suite,
        criterion="floor",
        outcome=outcome,
        reason=f"{candidate.suite} ({candidate.metric}): {said}: {outcome}",
        candidate=100 * score,
        n=n,
        needed=few,
        metric=candidate.metric,
    )


def _few(suite: str, n: int) -> int | None:
    """How many items a floor needs, if these are fewer."""
    needed = MIN_GRADED if suite == HELDOUT else MIN_ITEMS
    return needed if n < needed else None


def _asked(few: int | None) -> str:
    return f"; a floor needs at least {few} items" if few else ""


def _language(scores: GateInput, alpha: float, *, required: bool) -> list[Check]:
    """The language guard; it holds whenever it was measured, and must be measured when a rule asks for it."""
    candidate, origin = scores.candidate.language, scores.origin.language
    if candidate is None or origin is None:
        if required:
            raise SuiteError("a gate asks for the suite 'language', but it was not measured: add it to evaluate.suites")
        return []
    return _guard(GUARD_SUITE, language_findings(candidate, origin, alpha))


def _guard(suite: str, findings: Sequence[Finding]) -> list[Check]:
    """One check per finding of a guard."""
    return [
        Check(
            suite=suite,
            criterion="guard",
            outcome=finding.outcome,
            baseline=finding.baseline,
            n=finding.n,
            needed=finding.needed,
            reason=f"{suite} against the {finding.baseline}: {finding.sentence}: {finding.outcome}",
        )
        for finding in findings
    ]


def _of_candidate(criterion: Criterion, finding: Finding) -> Check:
    """The check of what is judged of the candidate's weights and file, not of a suite."""
    reason = f"{CANDIDATE}: {finding.sentence}: {finding.outcome}"
    return Check(suite=CANDIDATE, criterion=criterion, outcome=finding.outcome, reason=reason, n=finding.n)


def _overall(checks: Sequence[Check]) -> Outcome:
    outcomes = {check.outcome for check in checks}
    return "fail" if "fail" in outcomes else "inconclusive" if "inconclusive" in outcomes else "pass"


def _about(needed: int | None) -> str:
    return f" (about {needed:,} items would)" if needed else ""
