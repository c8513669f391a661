"""The forecast: what a round would be, and what the evidence says about it."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.backends.base import Machine
from pipelines.errors import ModelError, RecipeError
from pipelines.feedback.method import choose_method
from pipelines.forecast.model_size import shape_of
from pipelines.forecast.plan import Plan
from pipelines.forecast.preference import Thumbs, count_thumbs, plan_preference
from pipelines.forecast.round import Stock, forecast
from pipelines.mixture.anchors import AnchorName
from pipelines.recipe import Preference, Recipe
from pipelines.recipe_file import load_recipe, parse_recipe
from pipelines.records import MessageKey, RatedConversation, RatedMessage
from tests.pipelines.feedback_rows import preference_items as items

RECIPES = Path(__file__).resolve().parents[3] / "data" / "recipes"
NOTHING = Stock(examples=0, tokens=0)
GPU = Machine(device="cuda", memory_bytes=10**12, bf16=True, row_tokens=None, checkpointing_from=10**9)
CPU = Machine(device="cpu", memory_bytes=10**12, bf16=None, row_tokens=384, checkpointing_from=10**9)
POOLS: dict[AnchorName, Stock] = {
    "general": Stock(examples=5000, tokens=1_000_000),
    "coding": Stock(examples=5000, tokens=1_000_000),
    "reasoning": Stock(examples=5000, tokens=1_000_000),
}


LONG: dict[AnchorName, Stock] = {
    name: Stock(examples=500, tokens=1_000_000) for name in ("general", "coding", "reasoning")
}
FLOOR = {"user": 0.5, "general": 0.2, "coding": 0.2, "reasoning": 0.1, "max_repeats": 1}


def recipe(model: str = "acme/chat-7b", **changes: Any) -> Recipe:
    given = {
        "name": "test",
        "base": {"model": model},
        "evaluate": {"suites": ["a"]},
        "gates": (),
        "mixture": {"user": 0.5, "general": 0.2, "coding": 0.2, "reasoning": 0.1},
        **changes,
    }
    return Recipe.model_validate(given)


def planned(given: Recipe, examples: int = 1000, **more: Any) -> Plan:
    new = Stock(examples=examples, tokens=examples * 200)
    settings = {"new": new, "replay": NOTHING, "anchors": POOLS, "base": None, "machine": GPU, **more}
    return forecast(given, **settings)


GOOD = {"learning_rate": 2e-4, "epochs": 2, "batch": {"per_device": 4, "accumulate": 4}, "evaluate_every": 20}


def test_a_recipe_without_gates_is_refused_before_anything_starts() -> None:
    text = (RECIPES / "tiny.yaml").read_text()
    start, end = text.index("gates:"), text.index("export:")
    with pytest.raises(RecipeError, match="recipe given has no gates"):
        parse_recipe(text[:start] + "gates: []\n" + text[end:], "given")


def test_a_floor_of_anchors_raises_them_in_the_forecast_too() -> None:
    plan = planned(recipe(train=GOOD, mixture=FLOOR | {"anchor_examples": 0.4}), anchors=LONG)
    assert plan.anchor_share(plan.examples) == pytest.approx(0.4, abs=0.01) and plan.examples["user"] == 1000
    assert not any("anchor_examples" in warning for warning in plan.warnings)


def test_a_recipe_by_the_evidence_gets_no_warning() -> None:
    assert planned(recipe(train=GOOD)).warnings == ()


def test_examples_tokens_and_steps_follow_from_the_shares() -> None:
    plan = planned(recipe(train=GOOD))
    assert plan.tokens == {"user": 200_000, "general": 80_000, "coding": 80_000, "reasoning": 40_000}
    assert plan.examples == {"user": 1000, "general": 400, "coding": 400, "reasoning": 200}
    assert (plan.steps, plan.warmup_steps, plan.evaluations) == (250, 13, 12)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"warmup": 300}, "the warm-up of 300 steps is longer than the run of 250"),
        ({"warmup": 100}, "the warm-up takes 100 of 250 steps"),
        (
            {"evaluate_every": 100},
            "early stopping cannot fire: patience 3 with an evaluation every 100 steps needs more than 400",
        ),
        ({"early_stopping": {"patience": 1}, "evaluate_every": 125}, "needs more than 250 steps, and the run has 250"),
        ({"learning_rate": 2e-5}, "learning rate 2e-05 is below what holds for 7.62B parameters with lora"),
        ({"learning_rate": 1e-3}, "learning rate 0.001 is above"),
        ({"method": "full"}, "learning rate 0.0002 is above what holds for 7.62B parameters with full"),
        ({"epochs": 5}, "5 epochs are more than the 2"),
        ({"lora": {"r": 64}}, "rank 64 is not 16 to 32"),
        ({"batch": {"per_device": 1, "accumulate": 1}}, "1 examples a step are not 16 to 32"),
    ],
)
def test_what_leaves_the_evidence_is_said_in_words(changes: dict[str, Any], sentence: str) -> None:
    assert any(sentence in warning for warning in planned(recipe(train=GOOD | changes)).warnings)


@pytest.mark.parametrize(
    "changes",
    [
        {"warmup": 40},
        {"evaluate_every": 62},
        {"learning_rate": 1e-4},
        {"learning_rate": 4e-4},
        {"epochs": 1},
        {"lora": {"r": 32, "alpha": 64}},
        {"method": "full", "learning_rate": 2e-5},
        {"early_stopping": None, "evaluate_every": 999},
    ],
)
def test_near_misses_stay_silent(changes: dict[str, Any]) -> None:
    assert planned(recipe(train=GOOD | changes)).warnings == ()


@pytest.mark.parametrize(
    ("changes", "more", "sentence"),
    [
        ({"min_examples": 2000}, {}, "the round would be skipped: 1000 examples, and the recipe asks for 2000"),
        ({}, {"anchors": {}}, "general falls short: 0 of 80000 tokens, because there is none"),
        ({"mixture": {"user": 1.0}}, {}, "no anchors"),
        ({}, {"anchors": LONG}, "anchors have 50 % of the tokens, but are 9 % of the examples"),
        (
            {"mixture": FLOOR | {"anchor_examples": 0.9}},
            {"anchors": LONG},
            "mixture.anchor_examples asks for 90 %: the pools have no more",
        ),
        ({"lineage": "sequential"}, {}, "compounds drift"),
        ({"select": {"response_tokens": [50, 300]}}, {}, "answers over 300 tokens get no loss"),
        ({"train": GOOD | {"optimizer": "paged_adamw_8bit"}}, {"machine": CPU}, "needs CUDA"),
        (
            {"train": GOOD | {"method": "qlora"}},
            {"machine": GPU.model_copy(update={"memory_bytes": 4 * 10**9})},
            "this machine has 4.0 GB",
        ),
        (
            {"train": GOOD | {"method": "qlora"}},
            {"machine": CPU.model_copy(update={"refuses": {"qlora": "not on mps"}})},
            "the round would be refused: not on mps",
        ),
        ({"base": {"model": "acme/unnamed"}}, {}, "the size of acme/unnamed is unknown"),
    ],
)
def test_data_and_machine_are_warned_about(changes: dict[str, Any], more: dict[str, Any], sentence: str) -> None:
    assert any(sentence in warning for warning in planned(recipe(**({"train": GOOD} | changes)), **more).warnings)


def test_the_guides_recipe_is_faithful_and_its_known_flaws_are_named() -> None:
    guide = load_recipe(RECIPES / "eden-qwen2.5-32b.yaml")
    plan = planned(guide.phase(3), examples=400, machine=CPU.model_copy(update={"memory_bytes": 27 * 10**9}))
    assert plan.trained_parameters == 536_870_912  # SCIENCE section 6: 537 M, not the guide's 320 M
    for said in (
        "is longer than the run",
        "early stopping cannot fire",
        "learning rate 5e-06 is below",
        "2 epochs are more",
        "rank 64",
        "paged_adamw_8bit needs CUDA",
        "compounds drift",
        "answers over 300",
        "this machine has 27.0 GB",
    ):
        assert any(said in warning for warning in plan.warnings), said


def test_our_own_small_recipe_follows_the_evidence() -> None:
    assert planned(load_recipe(RECIPES / "qwen2.5-0.5b.yaml"), machine=CPU).warnings == ()


def test_sequential_shares_are_of_what_replay_leaves() -> None:
    guide = load_recipe(RECIPES / "eden-qwen2.5-32b.yaml")
    plan = planned(guide, examples=1000, replay=Stock(examples=2000, tokens=400_000))
    total = sum(plan.tokens.values())
    shares = {name: round(count / total, 3) for name, count in plan.tokens.items()}
    assert shares == {"new": 0.49, "replay": 0.3, "general": 0.105, "coding": 0.07, "reasoning": 0.035}


@pytest.mark.parametrize(
    ("name", "billions"),
    [("Qwen/Qwen2.5-0.5B-Instruct", 0.494), ("Qwen/Qwen2.5-7B", 7.61), ("Qwen/Qwen2.5-32B-Instruct", 32.8)],
)
def test_sizes_of_known_models_are_right(name: str, billions: float) -> None:
    shape = shape_of(name, None)
    assert shape is not None and shape.parameters / 1e9 == pytest.approx(billions, rel=0.01)


def test_the_size_of_a_local_model_is_that_of_its_weights(tiny_base: Path) -> None:
    from pipelines.backends.torch.load import count_parameters

    shape = shape_of("models/random", tiny_base)
    assert shape is not None and shape.parameters == pytest.approx(count_parameters(tiny_base), rel=0.02)


def test_a_config_that_says_too_little_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"hidden_size": 8, "num_attention_heads": 2}')
    with pytest.raises(ModelError, match="no intermediate_size"):
        shape_of("x", tmp_path)


def test_a_model_too_small_for_the_evidence_is_not_judged_by_it(tiny_base: Path) -> None:
    plan = planned(recipe(train=GOOD | {"learning_rate": 5e-3, "epochs": 9}), base=tiny_base)
    assert plan.warnings == ()


def test_a_base_that_is_not_what_its_policy_says_is_warned_about_or_refused(tiny_base: Path, tmp_path: Path) -> None:
    said = recipe(train=GOOD, base={"model": "m", "policy": "base"})
    assert any("looks like an instruct model" in warning for warning in planned(said, base=tiny_base).warnings)
    bare = Path(shutil.copytree(tiny_base, tmp_path / "bare"))
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="says `policy: instruct`, but .* has no chat template"):
        planned(recipe(train=GOOD), base=bare)


def test_the_forecast_reads_as_lines_for_a_person() -> None:
    text = "\n".join(planned(recipe(train=GOOD | {"epochs": 5})).lines())
    for said in ("examples  2000 an epoch", "steps     625", "7.62B parameters, 40.4M trained", "warning   5 epochs"):
        assert said in text


# ---- preferences --------------------------------------------------------------------------------------------

PLENTY = Thumbs(pairs=100, good=900, bad=700)


def thumbed(thumbs: Thumbs = PLENTY, **preference: Any) -> Plan:
    return planned(recipe(train=GOOD, preference=preference), thumbs=thumbs)


def test_the_forecast_says_method_and_steps_of_the_preference_stage() -> None:
    plan = thumbed()
    assert plan.preference is not None and plan.warnings == ()
    assert (plan.preference.method, plan.preference.batch, plan.preference.steps, plan.preference.warmup_steps) == (
        "kto",
        32,
        50,
        5,
    )
    assert (
        "thumbs    100 pairs, 900 good and 700 bad answers before caps: kto, 50 steps of 32, 5 of warm-up, rate 5e-05"
        in plan.lines()
    )


def test_enough_pairs_are_learnt_as_pairs() -> None:
    plan = thumbed(Thumbs(pairs=1000, good=1000, bad=1000))
    assert plan.preference is not None and (plan.preference.method, plan.preference.steps) == ("dpo", 32)


@pytest.mark.parametrize(
    ("thumbs", "changes", "sentence"),
    [
        (
            Thumbs(pairs=9, good=500, bad=199),
            {},
            "preferences would be left out: 199 bad answers, and the recipe asks for 200 (preference.min_downs",
        ),
        (Thumbs(pairs=0, good=1, bad=2000), {}, "left out: 1 good answers, and the recipe asks for 100"),
        (Thumbs(pairs=0, good=0, bad=2000), {"method": "kto"}, "asks for KTO, which takes good and bad answers"),
        (Thumbs(pairs=0, good=1, bad=2000), {"method": "kto"}, "kto on 1 good and 2000 bad answers, because"),
        (
            Thumbs(pairs=0, good=100, bad=1001),
            {},
            "100 answers of one label against 1001 of the other are not balanced",
        ),
        (
            PLENTY,
            {"learning_rate": 2e-5},
            "preference learning rate 2e-05 is above what holds for kto (5e-07 to 1e-05)",
        ),
        (PLENTY, {"learning_rate": 1e-7}, "preference learning rate 1e-07 is below what holds for kto"),
        (PLENTY, {"warmup": 50}, "warm-up of 50 steps is longer than its run of 50"),
        (PLENTY, {"batch": {"per_device": 3, "accumulate": 8}}, "3 answers at once are too few for kto"),
        (PLENTY, {"batch": {"per_device": 4, "accumulate": 40}}, "160 examples a step are not 16 to 128"),
        (PLENTY, {"anchors": 0}, "no anchors go along"),
        (PLENTY, {"evaluate_every": 50}, "the stop rules look first after 50 steps, and the preference stage has 50"),
        (PLENTY, {"method": "dpo"}, "dpo on 100 pairs: the evidence for it begins at 1,000"),
        (PLENTY, {"method": "dpo", "nll_weight": 0}, "may make both answers less likely"),
        (PLENTY, {"method": "dpo", "learning_rate": 1e-6}, "below what holds for dpo (2.5e-06 to 1e-05)"),
    ],
)
def test_preferences_that_leave_the_evidence_are_warned_about(
    thumbs: Thumbs, changes: dict[str, Any], sentence: str
) -> None:
    assert any(sentence in warning for warning in thumbed(thumbs, **changes).warnings)


@pytest.mark.parametrize(
    ("thumbs", "changes"),
    [
        (Thumbs(pairs=9, good=500, bad=200), {}),
        (Thumbs(pairs=0, good=100, bad=1000), {}),
        (PLENTY, {"learning_rate": 1e-5}),
        (PLENTY, {"learning_rate": 5e-7}),
        (PLENTY, {"warmup": 49}),
        (PLENTY, {"batch": {"per_device": 4, "accumulate": 8}}),
        (PLENTY, {"method": "none", "learning_rate": 1.0}),
        (Thumbs(pairs=1000, good=1000, bad=1000), {"learning_rate": 2.5e-6}),
    ],
)
def test_preferences_just_inside_the_evidence_stay_silent(thumbs: Thumbs, changes: dict[str, Any]) -> None:
    assert thumbed(thumbs, **changes).warnings == ()


@given(
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(0, 40),
    st.sampled_from(["auto", "dpo", "kto", "bco", "none"]),
    st.integers(0, 30),
    st.integers(0, 30),
)
def test_the_forecast_chooses_as_the_round_does(
    pairs: int, good: int, bad: int, method: str, downs: int, ups: int
) -> None:
    rule = Preference.model_validate({"method": method, "min_pairs": 20, "min_downs": downs, "min_ups": ups})
    made = items(pairs=pairs, good=good, bad=bad)

    choice = choose_method(made, rule)
    plan = plan_preference(rule, Thumbs(pairs=pairs, good=pairs + good, bad=pairs + bad))

    assert (plan.method, plan.why) == (choice.method, choice.why)


def test_a_recipe_without_preferences_says_nothing_of_thumbs() -> None:
    plan = planned(recipe(train=GOOD), thumbs=PLENTY)
    assert plan.preference is None and not any(line.startswith("thumbs") for line in plan.lines())


def rated(parent: str, up: int, down: int) -> RatedMessage:
    key = MessageKey(message=f"{parent}/{up}/{down}", revision=1)
    return RatedMessage(key=key, role="assistant", parent=parent, text="x", up=up, down=down)


def candidate(*messages: RatedMessage, **changes: Any) -> RatedConversation:
    given = {
        "conversation": "c",
        "person": "p",
        "app": "a",
        "occurred_at": datetime(2026, 7, 1, tzinfo=UTC),
        "consent": True,
        "satisfaction": None,
        "language": "en",
        "topic": "talk",
        "prompt_cluster": "x",
        "pair_cluster": "y",
        "part": "train",
        "seen": False,
        "messages": messages,
        **changes,
    }
    return RatedConversation.model_validate(given)


def test_thumbs_are_counted_by_net_votes_in_the_training_part_with_consent() -> None:
    siblings = candidate(rated("q", 2, 1), rated("q", 0, 1), rated("other", 1, 1))
    lone = candidate(rated("q", 0, 2))
    apart = [candidate(rated("q", 1, 0), part="heldout"), candidate(rated("q", 0, 1), consent=None)]
    assert count_thumbs([siblings, lone, *apart]) == Thumbs(pairs=1, good=1, bad=2)
