"""The gate's verdicts on made-up item scores, and on simulated rounds whose truth is known."""

from collections.abc import Sequence
from itertools import count

import pytest

from pipelines.errors import RecipeError, SuiteError
from pipelines.gate.change import Change
from pipelines.gate.decide import check_floors, decide
from pipelines.gate.judge import judge_margin
from pipelines.gate.simulate import rate_table, simulate_rounds
from pipelines.recipe import GateRule, Margin
from pipelines.suites.language import LanguagePrompt, measure_language
from pipelines.suites.scores import GateInput, ItemScore, LanguageScores, ModelScores, SuiteScores

THREE = GateRule(suite="math", margin=Margin(champion=3.0, origin=3.0))
GAIN = GateRule(suite="heldout", metric="rougeL", min_gain=0.0)
FORMS = count()  # every model is one of its own
PROMPTS = [LanguagePrompt(id=str(i), prompt="?", script="Latn") for i in range(200)]
CLEAN, RUSSIAN = (measure_language(PROMPTS, [answer] * 200) for answer in ("Yes, of course.", "Привет, как дела?"))


def scores(
    values: Sequence[float], suite: str = "math", fresh: int | None = None, language: LanguageScores | None = None
) -> ModelScores:
    metric = "rougeL" if suite == "heldout" else "acc"
    limit = len(values) if fresh is None else fresh
    items = tuple(ItemScore(id=str(i), value=value, fresh=i < limit) for i, value in enumerate(values))
    suites = (SuiteScores(suite=suite, metric=metric, items=items),)
    return ModelScores(form=f"form {next(FORMS)}", suites=suites, language=language)


def flips(n: int, gains: int, losses: int) -> tuple[ModelScores, ModelScores]:
    """A candidate and a baseline on n items that differ by so many gains and losses."""
    rest = n - gains - losses
    return scores([1] * gains + [0] * losses + [1] * rest), scores([0] * gains + [1] * losses + [1] * rest)


def against(
    candidate: ModelScores, origin: ModelScores, champion: ModelScores | None = None, **attempts: int
) -> GateInput:
    return GateInput(origin=origin, champion=champion or origin, candidate=candidate, **attempts)


@pytest.mark.parametrize(
    ("n", "gains", "losses", "outcome"),
    [
        (600, 0, 0, "pass"),  # another model with the same answers
        (600, 15, 15, "pass"),  # as many gains as losses
        (600, 10, 17, "pass"),  # -1.2 points, surely above -3
        (600, 10, 21, "inconclusive"),  # -1.8 points, may truly be -3.1
        (600, 20, 38, "fail"),  # exactly -3 points and surely below 0
        (600, 19, 37, "fail"),
        (600, 130, 150, "inconclusive"),  # beyond -3 points, but not surely below 0
        (600, 5, 60, "fail"),
        (600, 40, 5, "pass"),
        (199, 0, 0, "inconclusive"),  # one item short of 200
        (200, 0, 0, "pass"),
        (150, 0, 60, "inconclusive"),  # a collapse on too few items is still not a verdict
    ],
)
def test_a_margin_gives_three_verdicts(n: int, gains: int, losses: int, outcome: str) -> None:
    candidate, baseline = flips(n, gains, losses)
    assert decide(against(candidate, baseline), [THREE]).outcome == outcome


def test_the_margin_holds_against_the_origin_too_when_losses_add_up() -> None:
    origin, champion, candidate = scores([1] * 600), scores([1] * 588 + [0] * 12), scores([1] * 574 + [0] * 26)
    verdict = decide(against(candidate, origin, champion), [THREE])
    assert [check.outcome for check in verdict.checks] == ["inconclusive", "fail"]
    assert [check.baseline for check in verdict.checks] == ["champion", "origin"]
    assert verdict.outcome == "fail"


def test_a_reason_names_suite_baseline_figures_and_margin() -> None:
    candidate, baseline = flips(600, 5, 46)
    reason = decide(against(candidate, baseline), [THREE]).reasons[0]
    for part in (
        "math (acc)",
        "against the champion",
        "-6.8 points",
        "95 % one-sided",
        "600 items",
        "margin of 3.0",
        "fail",
    ):
        assert part in reason


def test_an_inconclusive_verdict_says_how_many_items_it_would_need() -> None:
    candidate, baseline = flips(600, 10, 21)
    check = decide(against(candidate, baseline), [THREE]).checks[0]
    assert check.needed is not None and 600 < check.needed < 3000
    assert f"about {check.needed:,} items would" in check.reason


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_a_round_of_several_attempts_needs_stronger_evidence_from_the_first_one_on(attempt: int) -> None:
    candidate, baseline = flips(600, 10, 18)
    assert decide(against(candidate, baseline), [THREE]).outcome == "pass"
    verdict = decide(against(candidate, baseline, attempt=attempt, max_attempts=3), [THREE])
    assert verdict.outcome == "inconclusive" and "98.3 % one-sided" in verdict.reasons[0]


def test_a_gain_must_be_sure_against_the_origin_and_on_new_data_against_the_champion() -> None:
    origin = scores([0.2, 0.3] * 50, "heldout", fresh=60)
    champion = scores([0.5, 0.6] * 50, "heldout", fresh=60)
    better = scores([0.6, 0.8] * 30 + [0.5, 0.6] * 20, "heldout", fresh=60)
    verdict = decide(against(better, origin, champion), [GAIN])
    assert [(check.criterion, check.n, check.outcome) for check in verdict.checks] == [
        ("min_gain", 100, "pass"),
        ("min_gain", 60, "pass"),
        ("older", 40, "pass"),
    ]
    as_good = scores([0.5, 0.6] * 50, "heldout", fresh=60)
    learned_nothing = decide(against(as_good, origin, champion), [GAIN])
    assert learned_nothing.outcome == "inconclusive"


def test_forgetting_older_answers_fails_although_new_ones_are_learned() -> None:
    origin, champion = scores([0.1] * 100, "heldout", fresh=50), scores([0.5] * 100, "heldout", fresh=50)
    verdict = decide(against(scores([0.9] * 50 + [0.3] * 50, "heldout", fresh=50), origin, champion), [GAIN])
    assert verdict.outcome == "fail" and "items of older data" in verdict.reasons[0]


def test_a_gain_on_a_handful_of_answers_is_inconclusive() -> None:
    verdict = decide(against(scores([0.9] * 29, "heldout"), scores([0.1] * 29, "heldout")), [GAIN])
    assert verdict.outcome == "inconclusive"


def test_a_round_without_new_answers_cannot_show_a_gain() -> None:
    verdict = decide(against(scores([0.9] * 50, "heldout", fresh=0), scores([0.1] * 50, "heldout", fresh=0)), [GAIN])
    assert verdict.outcome == "inconclusive"


@pytest.mark.parametrize(
    ("n", "gains", "losses", "outcome"),
    [
        (600, 0, 10, "pass"),
        (600, 0, 12, "pass"),  # on the floor
        (600, 0, 13, "fail"),
        (600, 0, 60, "fail"),
        (600, 100, 120, "inconclusive"),  # below the floor, but not surely below the origin
        (199, 0, 0, "inconclusive"),
        (199, 0, 60, "inconclusive"),
    ],
)
def test_a_floor_below_the_origin_has_three_verdicts(n: int, gains: int, losses: int, outcome: str) -> None:
    candidate, baseline = flips(n, gains, losses)
    rule = GateRule(suite="math", floor_below_origin=2.0)
    verdict = decide(against(candidate, baseline), [rule])
    assert verdict.outcome == outcome
    assert ("at least 200 items" in verdict.reasons[0]) == (n < 200)


@pytest.mark.parametrize(("correct", "outcome"), [(360, "pass"), (350, "inconclusive"), (320, "fail")])
def test_an_absolute_floor_has_three_verdicts(correct: int, outcome: str) -> None:
    candidate = scores([1] * correct + [0] * (600 - correct))
    assert decide(against(candidate, scores([1] * 600)), [GateRule(suite="math", floor=60)]).outcome == outcome


@pytest.mark.parametrize(
    ("suite", "n", "outcome"),
    [("math", 199, "inconclusive"), ("math", 200, "pass"), ("heldout", 29, "inconclusive"), ("heldout", 30, "pass")],
)
def test_an_absolute_floor_is_not_held_on_a_handful_of_items(suite: str, n: int, outcome: str) -> None:
    perfect, as_good = scores([1] * n, suite), scores([1] * n, suite)
    assert decide(against(perfect, as_good), [GateRule(suite=suite, floor=60)]).outcome == outcome


def test_a_round_without_any_held_out_answer_is_inconclusive_not_an_error() -> None:
    verdict = decide(against(scores([1] * 600), scores([1] * 600)), [THREE, GAIN])
    assert verdict.outcome == "inconclusive" and "no held-out answers" in verdict.reasons[0]


def test_a_floor_that_the_origin_misses_stops_the_round_before_training() -> None:
    origin = scores([1] * 300 + [0] * 300)
    check_floors(origin, [GateRule(suite="math", floor=50), THREE])
    with pytest.raises(RecipeError, match="origin itself measures 50.0 on 600 items"):
        check_floors(origin, [GateRule(suite="math", floor=55)])


def test_the_language_guard_fails_a_candidate_whatever_its_scores() -> None:
    candidate, origin = (scores([1] * 600, language=RUSSIAN), scores([1] * 600, language=CLEAN))
    verdict = decide(against(candidate, origin), [THREE])
    assert verdict.outcome == "fail" and verdict.failed_suites == ("language",)
    assert any("third script" in reason for reason in verdict.reasons)


def test_a_guard_that_was_asked_for_must_have_been_measured() -> None:
    with pytest.raises(SuiteError, match="evaluate.suites"):
        decide(against(scores([1] * 600), scores([1] * 600)), [THREE, GateRule(suite="language")])


def test_models_measured_on_different_items_are_never_compared() -> None:
    with pytest.raises(SuiteError, match="different items"):
        decide(against(scores([1] * 600), scores([1] * 601)), [THREE])


def test_a_rule_on_an_unmeasured_suite_is_an_error_not_a_pass() -> None:
    with pytest.raises(SuiteError, match="'code' was not measured"):
        decide(against(scores([1] * 600), scores([1] * 600)), [GateRule(suite="code", floor=1)])


def test_a_recipe_without_gates_promotes_nothing() -> None:
    with pytest.raises(RecipeError, match="no gates"):
        decide(against(scores([1] * 600), scores([1] * 600)), [])


# ---- rounds whose truth is known -------------------------------------------------------------------------

# (items, discordance, champion is origin): settings at which an unchanged model passes four suites at 3 points.
HOLDS = [(600, 0.035, True), (600, 0.025, False), (1000, 0.06, True), (1200, 0.06, False)]


@pytest.mark.parametrize(("items", "discordance", "same"), HOLDS)
def test_null_rounds_pass_nine_times_in_ten_and_hardly_ever_fail(items: int, discordance: float, same: bool) -> None:
    rates = simulate_rounds(
        judge_margin, items=items, discordance=discordance, margin=0.03, same_champion=same, rounds=300
    )
    assert rates.passed >= 0.9
    assert rates.failed <= 0.05


@pytest.mark.parametrize("discordance", [0.02, 0.04, 0.06])
def test_a_drop_of_twice_the_margin_never_passes_and_mostly_fails(discordance: float) -> None:
    rates = simulate_rounds(judge_margin, items=600, discordance=discordance, margin=0.03, drop=0.06, rounds=300)
    assert rates.passed == 0
    assert rates.failed >= 0.8


def test_a_drop_of_just_the_margin_passes_at_most_as_often_as_the_level_says() -> None:
    rates = simulate_rounds(
        judge_margin, items=600, discordance=0.04, margin=0.03, drop=0.03, suites=1, same_champion=True, rounds=600
    )
    assert rates.passed <= 0.07


def test_the_table_for_the_docs_shows_first_and_later_rounds() -> None:
    table = rate_table(judge_margin, margin=0.03, items=[600], discordances=[0.0], rounds=3)
    assert table.splitlines()[2] == "| 600 | 100%, 100% (fail 0.0%, 0.0%) |"


# ---- a candidate that is what it was trained from --------------------------------------------------------


def change(changed_blocks: int = 900, moved: int = 28) -> Change:
    return Change(
        tensors=50,
        changed_tensors=28 if changed_blocks else 0,
        blocks=1000,
        changed_blocks=changed_blocks,
        modules=28,
        targeted_modules=28,
        moved_modules=moved,
    )


@pytest.mark.parametrize("name", ["champion", "origin"])
def test_a_candidate_that_is_a_baseline_byte_for_byte_fails_though_it_loses_nothing(name: str) -> None:
    origin, champion = scores([1] * 600), scores([1] * 600)
    twin = {"origin": origin, "champion": champion}[name]
    verdict = decide(against(twin, origin, champion), [THREE])
    assert verdict.outcome == "fail" and [check.criterion for check in verdict.checks] == ["margin", "margin", "change"]
    assert verdict.reasons == (f"candidate: it is the {name} byte for byte; unchanged: nothing was learned: fail",)


@pytest.mark.parametrize("unchanged", [change(changed_blocks=0), change(moved=0)])
def test_a_candidate_whose_weights_did_not_move_fails_in_words(unchanged: Change) -> None:
    verdict = decide(against(*flips(600, 40, 5)), [THREE], change=unchanged)
    assert verdict.outcome == "fail"
    assert unchanged.sentence in verdict.reasons[0] and "unchanged: nothing was learned" in verdict.reasons[0]


def test_a_candidate_that_moved_passes_and_says_by_how_much() -> None:
    verdict = decide(against(*flips(600, 40, 5)), [THREE], change=change())
    assert verdict.outcome == "pass"
    assert "candidate: 900 of 1,000 blocks (90 %) in 28 of 50 tensors differ" in verdict.reasons[-1]
    assert "moves 28 of the 28 modules" in verdict.reasons[-1]
