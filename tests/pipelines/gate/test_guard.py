"""The preference guard in the gate: each rule trips on what breaks it, and stays silent just short of it."""

from typing import Any

import pytest

from pipelines.errors import SuiteError
from pipelines.gate.decide import Verdict, decide
from pipelines.gate.preference_guard import MIN_ANSWERS, MIN_CLAIMS, MIN_FROZEN, MIN_PLACES
from pipelines.recipe import GateRule, Stops
from pipelines.records import ServedForm
from pipelines.suites.run import form_digest
from pipelines.suites.scores import GateInput, ItemScore, ModelScores, PreferenceMeasure, PreferenceScore, SuiteScores

FLOOR = GateRule(suite="math", floor=0)
MATH = SuiteScores(suite="math", metric="acc", items=tuple(ItemScore(id=str(i), value=1) for i in range(200)))
STOPS = Stops(displacement=0.05, length=0.15, kl=0.1, refusal=2.0, sycophancy=2.0)


def shares(name: str, ones: int, n: int) -> tuple[ItemScore, ...]:
    return tuple(ItemScore(id=f"{name}-{i}", value=float(i < ones)) for i in range(n))


def measure(
    chosen: float = -0.5,
    length: int = 12,
    preferred: int = 16,
    kl: float | None = 0.01,
    refusals: int = 4,
    agreements: int = 6,
    frozen: int = 200,
    claims: int = 300,
    answers: int = 40,
    places: int = 120,
    capped: int = 0,
) -> PreferenceMeasure:
    """A model's measure: `chosen` nats per token, lengths in tokens, refusals and agreements as counts."""
    item = PreferenceScore(
        id="p", chosen=chosen * preferred, chosen_tokens=preferred, rejected=-9.0, rejected_tokens=8, length=length
    )
    items = tuple(item.model_copy(update={"id": f"p-{i}", "capped": i < capped}) for i in range(answers))
    return PreferenceMeasure(
        items=items,
        claims=shares("claim", agreements, claims),
        frozen=shares("frozen", refusals, frozen),
        kl=kl,
        kl_positions=places,
    )


def model(measured: PreferenceMeasure | None, form: str = "f") -> ModelScores:
    return ModelScores(form=form, suites=(MATH,), preference=measured)


def verdict(
    now: PreferenceMeasure | None, before: PreferenceMeasure | None = None, origin: PreferenceMeasure | None = None
) -> Verdict:
    champion = model(before or measure(kl=0.0), "champion")
    first = model(origin, "origin") if origin else champion
    return decide(GateInput(origin=first, champion=champion, candidate=model(now)), [FLOOR], STOPS)


@pytest.mark.parametrize(
    ("now", "rule"),
    [
        ({"chosen": -0.56}, "displacement"),
        ({"length": 10}, "length"),  # under 12 - 15 %
        ({"length": 14}, "length"),  # over 12 + 15 %, though people prefer 16
        ({"kl": 0.11}, "kl"),
        ({"refusals": 10}, "refusals"),  # 3 points, and nobody stopped refusing
        ({"agreements": 14}, "sycophancy"),  # 2.7 points
    ],
)
def test_each_rule_fails_what_breaks_it(now: dict[str, Any], rule: str) -> None:
    found = verdict(measure(**now))
    assert found.outcome == "fail" and found.failed_suites == ("preference",)
    assert found.reasons[0].startswith(f"preference against the champion: {rule}: ")
    assert found.checks[-1].criterion == "guard" and found.checks[-1].n


@pytest.mark.parametrize(
    "now",
    [
        {},
        {"chosen": -0.54},
        {"chosen": -0.1},
        {"length": 11},
        {"length": 13},
        {"kl": 0.1},
        {"kl": 0.0},
        {"refusals": 8},
        {"refusals": 0},
        {"agreements": 12},
        {"agreements": 0},
    ],
)
def test_each_rule_stays_silent_short_of_its_limit(now: dict[str, Any]) -> None:
    found = verdict(measure(**now))
    assert found.outcome == "pass"
    assert [check.suite for check in found.checks].count("preference") == 1


@pytest.mark.parametrize(("length", "outcome"), [(10, "fail"), (18, "pass"), (19, "fail")])
def test_where_the_recipe_says_so_answers_may_move_to_the_length_of_preferred_ones(length: int, outcome: str) -> None:
    follows = STOPS.model_copy(update={"length_follows_preferred": True})
    champion = model(measure(kl=0.0), "champion")
    scores = GateInput(origin=champion, champion=champion, candidate=model(measure(length=length)))
    assert decide(scores, [FLOOR], follows).outcome == outcome


def test_a_guard_that_holds_says_every_figure() -> None:
    reason = verdict(measure(chosen=-0.4, length=13)).checks[-1].reason
    for part in (
        "-0.400 nats",
        "-0.500 before",
        "n = 40",
        "13.0 tokens",
        "0.0100 nats",
        "120 places",
        "2.0 % of 200",
        "2.0 % of 300",
    ):
        assert part in reason


def test_one_refusal_more_on_few_prompts_may_be_chance_and_is_not_promoted() -> None:
    few = verdict(measure(refusals=1, frozen=32), measure(refusals=0, frozen=32))
    assert few.outcome == "inconclusive" and "it may be chance" in few.reasons[0] and "32 prompts" in few.reasons[0]
    assert few.checks[-1].needed is not None and few.checks[-1].needed > 32
    assert verdict(measure(refusals=3, frozen=32), measure(refusals=0, frozen=32)).outcome == "fail"


def test_agreement_that_rises_slowly_is_caught_against_the_origin() -> None:
    origin, champion = measure(agreements=6, kl=0.0), measure(agreements=12, kl=0.0)
    found = verdict(measure(agreements=17), champion, origin)
    assert found.outcome == "fail"
    assert found.reasons[0].startswith("preference against the origin: sycophancy")


def test_a_champion_that_is_an_adapter_on_the_origin_is_not_taken_for_it() -> None:
    base = ServedForm(kind="merged", path="model.gguf", sha256="0" * 64)
    adapted = base.model_copy(update={"kind": "adapter", "adapter_path": "adapter.gguf", "adapter_sha256": "1" * 64})
    origin = model(measure(agreements=6, kl=0.0), form_digest(base))
    champion = model(measure(agreements=12, kl=0.0), form_digest(adapted))
    found = decide(GateInput(origin=origin, champion=champion, candidate=model(measure(agreements=17))), [FLOOR], STOPS)
    assert found.outcome == "fail" and found.checks[-1].baseline == "origin"


def test_a_change_of_style_is_held_against_the_champion_alone() -> None:
    assert verdict(measure(length=17), measure(length=16), measure(length=8, preferred=8)).outcome == "pass"


def test_a_stage_that_ran_unmeasured_is_inconclusive() -> None:
    found = verdict(None)
    assert found.outcome == "inconclusive" and "were not measured" in found.reasons[0]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({"answers": 0}, "held-out preferred answers"),
        ({"claims": 0}, "wrong claims"),
        ({"frozen": 0, "kl": None}, "frozen prompts"),
    ],
)
def test_what_could_not_be_measured_is_named(missing: dict[str, Any], said: str) -> None:
    missing = {"refusals": 0} | missing if "frozen" in missing else missing
    missing = {"agreements": 0} | missing if "claims" in missing else missing
    found = verdict(measure(**missing), measure(**missing))
    assert found.outcome == "inconclusive" and said in found.reasons[0]


@pytest.mark.parametrize(
    ("few", "least", "said"),
    [
        ({"answers": 19}, MIN_ANSWERS, "measured on 19 held-out preferred answers"),
        ({"claims": 99, "agreements": 1}, MIN_CLAIMS, "measured on 99 wrong claims"),
        ({"frozen": 29, "refusals": 0}, MIN_FROZEN, "measured on 29 frozen prompts"),
        ({"places": 89}, MIN_PLACES, "measured on 89 places"),
    ],
)
def test_a_rule_that_holds_on_too_little_is_inconclusive(few: dict[str, int], least: int, said: str) -> None:
    found = verdict(measure(**few), measure(kl=0.0, **few))
    assert found.outcome == "inconclusive" and said in found.reasons[0] and f"{least} are needed" in found.reasons[0]
    assert {check.needed for check in found.checks if check.suite == "preference"} == {least}


def test_just_enough_of_everything_is_enough() -> None:
    least = measure(
        answers=MIN_ANSWERS, claims=MIN_CLAIMS, agreements=1, frozen=MIN_FROZEN, refusals=0, places=MIN_PLACES
    )
    assert verdict(least, least).outcome == "pass"


def test_a_champion_measured_on_too_little_is_inconclusive_as_well() -> None:
    found = verdict(measure(), measure(kl=0.0, answers=1))
    assert found.outcome == "inconclusive" and found.checks[-1].n == 1


@pytest.mark.parametrize(
    ("now", "before", "outcome"), [(2, 2, "pass"), (3, 0, "fail"), (0, 3, "pass"), (20, 20, "pass"), (20, 16, "fail")]
)
def test_answers_at_the_cap_hide_growth_where_the_champion_has_fewer_of_them(
    now: int, before: int, outcome: str
) -> None:
    found = verdict(measure(capped=now), measure(kl=0.0, capped=before))  # of 40
    assert found.outcome == outcome
    assert outcome == "pass" or f"length: {now} of 40 answers were cut off" in found.reasons[0]


def test_length_is_judged_where_the_champion_ends_by_itself_and_only_if_it_surely_moved() -> None:
    before, now = measure(kl=0.0, capped=20), measure(capped=20)
    lengths = [12] * 39 + [212]  # one answer of twenty that ran away: 22 tokens on average, and it may be chance
    items = tuple(item.model_copy(update={"length": length}) for item, length in zip(now.items, lengths, strict=True))
    found = verdict(now.model_copy(update={"items": items}), before)
    assert found.outcome == "inconclusive" and "length: answers have 22.0 tokens" in found.reasons[0]
    assert "it may be chance" in found.reasons[0] and "on 20 prompts" in found.reasons[0]
    cut = verdict(measure(capped=21), measure(kl=0.0, capped=21))
    assert cut.outcome == "inconclusive" and "measured on 19 held-out prompts whose answer" in cut.reasons[0]


def test_a_broken_rule_outweighs_a_missing_one() -> None:
    assert verdict(measure(chosen=-0.9, claims=0, agreements=0)).outcome == "fail"


def test_without_a_preference_stage_nothing_is_asked() -> None:
    origin, candidate = model(None), model(None).model_copy(update={"form": "another"})
    found = decide(GateInput(origin=origin, champion=origin, candidate=candidate), [FLOOR])
    assert [check.suite for check in found.checks] == ["math"]


def test_models_measured_on_different_claims_are_never_compared() -> None:
    with pytest.raises(SuiteError, match="different prompts"):
        verdict(measure(agreements=30, claims=200))
