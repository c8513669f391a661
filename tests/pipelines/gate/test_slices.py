"""What the verdict says of parts of a suite, of answers that a baseline wrote itself, and of corrections by themselves."""

from collections.abc import Sequence
from itertools import count

import numpy as np
import pytest

from pipelines.gate.decide import Verdict, decide
from pipelines.gate.regression_guard import regression_findings
from pipelines.gate.slices import worst_slices
from pipelines.recipe import CORRECTIONS, PAIRS, GateRule, Margin, Metric
from pipelines.suites.scores import BaselineName, Cost, GateInput, ItemScore, ModelScores, SuiteScores

THREE = GateRule(suite="mmlu", margin=Margin(champion=3.0, origin=3.0))
GAIN = GateRule(suite="heldout", min_gain=0.0)
FORMS = count()


def suite(
    values: Sequence[float],
    name: str = "mmlu",
    metric: Metric = "acc",
    strata: Sequence[str] = ("",),
    own: tuple[BaselineName, ...] = (),
    owned: int = 0,
) -> SuiteScores:
    """Scores of which the first `owned` are of answers that `own` wrote."""
    items = tuple(
        ItemScore(id=str(i), value=value, stratum=strata[i % len(strata)], own=own if i < owned else ())
        for i, value in enumerate(values)
    )
    return SuiteScores(suite=name, metric=metric, items=items)


def against(candidate: SuiteScores, origin: SuiteScores, champion: SuiteScores | None = None) -> GateInput:
    models = (candidate, origin, champion or origin)
    forms = [f"form {next(FORMS)}" for _ in models]
    named = [ModelScores(form=form, suites=(one,)) for form, one in zip(forms, models, strict=True)]
    return GateInput(candidate=named[0], origin=named[1], champion=named[2] if champion else named[1])


def test_the_verdict_names_the_subject_that_broke() -> None:
    subjects = ("anatomy", "law", "logic", "optics", "ethics")
    origin = suite([1] * 600, strata=subjects)
    lost = suite([0 if i % 5 == 1 and i < 300 else 1 for i in range(600)], strata=subjects)  # half of law
    failed = decide(against(lost, origin), [THREE])
    assert failed.outcome == "fail" and "; most in law (-50.0 points, 120 items): fail" in failed.reasons[0]
    assert [one.name for one in failed.checks[0].slices] == ["law"]
    assert not decide(against(origin, origin.model_copy()), [THREE]).checks[0].slices


def test_a_slice_that_may_have_lost_by_chance_says_so() -> None:
    strata = tuple(f"subject {n}" for n in range(30))
    origin = suite([1] * 600, strata=strata)
    lost = suite([0 if i in (3, 33, 4) else 1 for i in range(600)], strata=strata)
    first, second = worst_slices(lost, origin, 0.05)
    assert first.sentence == "subject 3 (-10.0 points, 20 items; may be chance)" and second.name == "subject 4"
    assert worst_slices(suite([0] * 600), suite([1] * 600), 0.05) == (), "a suite of one stratum has no slices"


def heldout(values: Sequence[float], own: tuple[BaselineName, ...] = (), owned: int = 0) -> SuiteScores:
    return suite(values, "heldout", "rougeL", own=own, owned=owned)


def test_what_a_baseline_wrote_itself_is_only_asked_to_hold() -> None:
    """The champion's own answers are its ROUGE of 1: nobody gains there, and no loss of a point is one."""
    own: tuple[BaselineName, ...] = ("champion", "origin")
    before = heldout([1.0] * 40 + [0.2] * 40, own, 40)
    better = heldout([0.995] * 40 + [0.5] * 40, own, 40)
    verdict = decide(against(better, before), [GAIN])
    assert verdict.outcome == "pass"
    assert [(check.criterion, check.n) for check in verdict.checks] == [
        ("min_gain", 40),
        ("min_gain", 40),
        ("own", 40),
        ("own", 40),
    ]
    assert decide(against(heldout([0.5] * 40 + [0.5] * 40, own, 40), before), [GAIN]).outcome == "fail"
    plain = decide(against(heldout([0.5] * 40 + [0.3] * 40), heldout([1.0] * 40 + [0.2] * 40)), [GAIN])
    assert plain.outcome == "fail", "where nobody of ours wrote them, they count"


def test_own_answers_alone_ask_for_no_gain_and_too_few_are_no_verdict() -> None:
    for n, outcome in ((40, "pass"), (20, "inconclusive")):
        before = heldout([0.9] * n, ("champion", "origin"), n)
        verdict = decide(against(before.model_copy(), before), [GAIN])
        assert verdict.outcome == outcome


def corrections(right: int, n: int, name: str = CORRECTIONS) -> SuiteScores:
    return suite([1] * right + [0] * (n - right), name, "preferred")


@pytest.mark.parametrize(
    ("now", "before", "n", "outcome"),
    [
        (40, 40, 60, "pass"),
        (20, 40, 60, "fail"),
        (39, 40, 60, "pass"),  # one of sixty may be chance
        (0, 20, 20, "pass"),  # too few decide nothing
        (60, 10, 60, "pass"),
    ],
)
def test_corrections_hold_by_themselves_and_few_of_them_stand_in_nobodys_way(
    now: int, before: int, n: int, outcome: str
) -> None:
    scores = against(corrections(now, n), corrections(before, n))
    (finding,) = regression_findings(scores, 0.05)
    assert finding.outcome == outcome and f"of {n} held-out corrections" in finding.sentence
    with_suite = scores.model_copy(
        update={
            name: getattr(scores, name).model_copy(update={"suites": (suite([1] * 300), *getattr(scores, name).suites)})
            for name in ("origin", "champion", "candidate")
        }
    )
    verdict = decide(with_suite, [THREE])
    assert verdict.outcome == outcome and (outcome == "pass" or verdict.failed_suites == (CORRECTIONS,))


def test_a_recipe_may_gate_on_corrections_and_pairs_and_then_its_rule_decides() -> None:
    rule = GateRule(suite=CORRECTIONS, margin=Margin(champion=3.0, origin=3.0))
    few = decide(against(corrections(40, 60), corrections(40, 60)), [rule])
    assert few.outcome == "inconclusive" and {check.criterion for check in few.checks} == {"margin"}
    gain = GateRule(suite=PAIRS, min_gain=0.0)
    assert judged(corrections(50, 60, PAIRS), corrections(20, 60, PAIRS), gain).outcome == "pass"
    assert judged(corrections(20, 60, PAIRS), corrections(50, 60, PAIRS), gain).outcome == "fail"
    missing = decide(against(suite([1] * 300), suite([1] * 300)), [gain])
    assert "pairs: there are no held-out pairs, at least 30 are needed" in missing.reasons[0]


def judged(candidate: SuiteScores, origin: SuiteScores, rule: GateRule) -> Verdict:
    return decide(against(candidate, origin), [rule])


def test_corrections_seldom_fail_a_model_that_is_as_good() -> None:
    """200 pairs of equally good models that disagree on one correction in five: at most one in twenty fails."""
    random, failed = np.random.default_rng(0), 0
    for _ in range(200):
        n = int(random.integers(30, 200))
        truth = random.random(n) < 0.7
        now, then = (np.where(random.random(n) < 0.12, random.random(n) < 0.7, truth) for _ in range(2))
        scores = against(suite(now.astype(float), CORRECTIONS, "preferred"), suite(then.astype(float), CORRECTIONS))
        origin = scores.origin.model_copy(update={"suites": (suite(then.astype(float), CORRECTIONS, "preferred"),)})
        fair = scores.model_copy(update={"origin": origin, "champion": origin})
        failed += regression_findings(fair, 0.05)[0].outcome == "fail"
    assert failed <= 0.05 * 200


def with_cost(scores: GateInput, candidate: Cost, other: Cost) -> GateInput:
    costs = {"candidate": candidate, "origin": other, "champion": other}
    return scores.model_copy(
        update={name: getattr(scores, name).model_copy(update={"cost": cost}) for name, cost in costs.items()}
    )


COST = Cost(size_bytes=18_300_000, answers=8, answer_tokens=10.25, tokens_per_second=211.0, probes=(-1.5, -2.0))


def test_the_verdict_shows_what_serving_costs_and_proves_that_something_else_is_served() -> None:
    scores = against(suite([1] * 300), suite([1] * 300))
    longer = COST.model_copy(update={"answer_tokens": 14.0, "probes": (-1.5, -2.25)})
    passed = decide(with_cost(scores, longer, COST), [THREE])
    assert passed.outcome == "pass"
    assert passed.reasons[-2:] == (
        "candidate: 1 of 2 probes of what is served differ from the origin's: pass",
        "candidate: 18.3 MB, answers of 14.0 tokens, 211 tokens/s; the champion: 18.3 MB, answers of 10.2 tokens, "
        "211 tokens/s: pass",
    )
    mute = decide(with_cost(scores, COST, COST), [THREE])
    assert (
        mute.outcome == "fail"
        and "0 of 2 probes" in mute.reasons[0]
        and "unchanged: its adapter is not in what is served" in mute.reasons[0]
    )
