"""The parts of a preference run that need no training: items, steps, rows, balance, density weights, rewards."""

import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.backends.base import PreferRequest
from pipelines.backends.crossed import cross
from pipelines.backends.examples import IGNORED
from pipelines.backends.label_weights import Readings, balanced_weights, readings_of
from pipelines.backends.objective import rewards_of_step
from pipelines.backends.preference_items import Answer, Item, load_items
from pipelines.backends.preference_run import in_words, plan_preference
from pipelines.backends.step_plan import plan_steps, with_anchors
from pipelines.backends.torch.answer_rows import pack, row_log_probs
from pipelines.backends.torch.density import density_weights
from pipelines.backends.torch.device import choose
from pipelines.backends.torch.kl import kl_to_origin, kl_to_top, top_distribution
from pipelines.backends.torch.load import load_adapted
from pipelines.backends.watch import as_progress, gather_watch
from pipelines.errors import DataError, ModelError, TrainingError
from pipelines.recipe import Batch, Preference, Train
from pipelines.records import Turn
from pipelines.tokenizer import ChatTokenizer
from tests.pipelines.backends.preferring import write_adapter

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::UserWarning:peft")

PAIR = {"id": "p", "kind": "pair", "chosen": "Tarsin. 🎉", "rejected": "No."}
GOOD = {"id": "g", "kind": "labelled", "chosen": "hello", "rejected": None}
BAD = {"id": "b", "kind": "labelled", "chosen": None, "rejected": "word " * 90}


def write(path: Path, *examples: dict[str, Any]) -> Path:
    rest = {"source": "lone", "topic": "facts", "prompt": [{"role": "user", "content": "벨모라의 수도는?"}]}
    path.write_text("".join(json.dumps(rest | example) + "\n" for example in examples))
    return path


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> ChatTokenizer:
    return ChatTokenizer(tiny_base)


def answer(prompt: str, tokens: int) -> Answer:
    ids = tuple(range(3, 3 + 4 + tokens))
    return Answer((Turn(role="user", content=prompt),), ids, (IGNORED,) * 4 + ids[4:], 4)


def labelled(good: int, bad: int) -> list[Item]:
    marks = [True] * good + [False] * bad
    return [Item(str(i), (answer(f"q{i % 7}", 1 + i % 5),), mark, 1.0) for i, mark in enumerate(marks)]


def pairs(count: int) -> list[Item]:
    return [Item(str(i), (answer(f"q{i}", 3), answer(f"q{i}", 4)), True, 1.0) for i in range(count)]


def test_only_the_answer_with_its_end_of_turn_is_scored(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    [item] = load_items(write(tmp_path / "p.jsonl", PAIR), tokenizer, 256, "dpo").items
    for one, text in zip(item.answers, ("Tarsin. 🎉", "No."), strict=True):
        scored = [label for label in one.labels if label != IGNORED]
        assert tokenizer.text(scored, keep_control_tokens=True) == text + "<|im_end|>"
        assert one.tokens == len(scored) and one.ids == (*one.prompt_ids, *scored)


def test_words_that_stand_for_others_are_scored_on_no_side(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    sides = {"chosen": "Kelly is it.", "rejected": "Not Kelly."}
    told = PAIR | {name: {"role": "assistant", "content": text, "masked": ["Kelly"]} for name, text in sides.items()}
    [item] = load_items(write(tmp_path / "p.jsonl", told), tokenizer, 256, "dpo").items
    for one, text in zip(item.answers, (" is it.", "Not ."), strict=True):
        scored = [label for label in one.labels if label != IGNORED]
        assert tokenizer.text(scored, keep_control_tokens=True) == text + "<|im_end|>"
        assert one.prompt_ids == item.answers[0].prompt_ids and len(one.ids) > len(one.prompt_ids) + one.tokens


@pytest.mark.parametrize(
    ("method", "kept", "left_out"),
    [
        ("dpo", ["p"], {"not_a_pair": 1, "too_long": 1}),
        ("kto", ["p/good", "p/bad", "g"], {"too_long": 1}),
        (None, ["p", "g"], {"too_long": 1}),
    ],
)
def test_what_a_method_cannot_use_is_left_out_and_counted(
    tmp_path: Path, tokenizer: ChatTokenizer, method: Any, kept: list[str], left_out: dict[str, int]
) -> None:
    items = load_items(write(tmp_path / "p.jsonl", PAIR, GOOD, BAD), tokenizer, 64, method)
    assert [item.id for item in items.items] == kept and items.left_out == left_out


def test_of_a_pair_with_one_half_that_does_not_fit_the_other_is_an_answer_of_its_own(
    tmp_path: Path, tokenizer: ChatTokenizer
) -> None:
    path = write(tmp_path / "p.jsonl", PAIR | {"rejected": "word " * 90})
    kto, dpo = (load_items(path, tokenizer, 64, method) for method in ("kto", "dpo"))
    assert [(item.id, item.good) for item in kto.items] == [("p/good", True)] and kto.left_out == {"too_long": 1}
    assert dpo.items == () and dpo.left_out == {"too_long": 1}


def test_a_base_whose_config_asks_for_attention_dropout_is_trained_without(tmp_path: Path, tiny_base: Path) -> None:
    adapter, base = write_adapter(tiny_base, tmp_path / "adapter"), tmp_path / "base"
    shutil.copytree(tiny_base, base)
    config = json.loads((base / "config.json").read_text()) | {"attention_dropout": 0.5}
    (base / "config.json").write_text(json.dumps(config))
    train = Train(backend="cpu")
    model = load_adapted(base, "base", adapter, train, choose(train, 1, 1)).train()
    ids = torch.arange(3, 40)[None]
    assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)


def test_an_adapter_with_fully_trained_modules_is_refused_before_it_is_trained_on(
    tmp_path: Path, tiny_base: Path
) -> None:
    adapter = write_adapter(tiny_base, tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text()) | {"modules_to_save": ["lm_head"]}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    train = Train(backend="cpu")
    with pytest.raises(ModelError, match=r"fully trained modules \(modules_to_save\), which is not supported"):
        load_adapted(tiny_base, "base", adapter, train, choose(train, 1, 1))


@pytest.mark.parametrize(
    "broken", [{"id": "x", "kind": "pair", "chosen": "a", "rejected": None}, {"text": "010-1234-5678"}]
)
def test_a_line_that_is_no_preference_is_refused_without_its_text(
    tmp_path: Path, tokenizer: ChatTokenizer, broken: dict[str, Any]
) -> None:
    with pytest.raises(DataError) as caught:
        load_items(write(tmp_path / "p.jsonl", broken), tokenizer, 64, "kto")
    assert "010" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 16), st.floats(0.1, 3), st.integers(0, 3))
def test_every_step_has_its_exact_size_and_both_labels(
    good: int, bad: int, size: int, epochs: float, seed: int
) -> None:
    items = labelled(good, bad)
    steps = plan_steps(items, size, epochs, seed)
    assert steps == plan_steps(items, size, epochs, seed)
    for step in steps:
        assert len(step.items) == min(size, len(items))
        assert {items[place].good for place in step.items} == {True, False}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 16), st.integers(1, 3))
def test_pairs_are_read_as_often_as_there_are_epochs(count: int, size: int, epochs: int) -> None:
    steps = plan_steps(pairs(count), size, epochs, 0)
    read = Counter(place for step in steps for place in step.items)
    assert set(read) == set(range(count)) and min(read.values()) >= epochs and max(read.values()) <= epochs + 1


@pytest.mark.parametrize(("good", "bad"), [(8, 0), (0, 8)])
def test_answers_of_one_label_alone_are_refused(good: int, bad: int) -> None:
    with pytest.raises(TrainingError, match=f"{good} good and {bad} bad answers"):
        plan_steps(labelled(good, bad), 4, 1, 0)


@pytest.mark.parametrize("share", [0.5, 1.0, 2.0])
def test_anchors_come_in_proportion_in_every_step(share: float) -> None:
    items = pairs(40)
    lengths = [random.Random(i).randint(1, 6) for i in range(200)]
    steps = with_anchors(plan_steps(items, 4, 2, 0), items, lengths, share, 0)
    answers = sum(items[place].tokens for step in steps for place in step.items)
    anchors = sum(lengths[place] for step in steps for place in step.anchors)
    assert anchors == pytest.approx(share * answers, abs=6) and all(step.anchors for step in steps)


def test_few_anchors_are_never_read_twice_in_a_step() -> None:
    items = pairs(8)
    steps = with_anchors(plan_steps(items, 4, 1, 0), items, [1, 1, 1], 5.0, 0)
    assert all(sorted(step.anchors) == [0, 1, 2] for step in steps)


@pytest.mark.parametrize(
    ("good", "bad", "given", "expected"),
    [
        (100, 100, ("auto", "auto"), (1, 1)),
        (130, 100, ("auto", "auto"), (1, 1)),
        (400, 100, ("auto", "auto"), (1, 3)),
        (100, 400, ("auto", "auto"), (4, 1)),
        (100, 400, (2.0, "auto"), (2, 0.5)),
        (400, 100, ("auto", 1.0), (1 / 3, 1)),
        (400, 100, (1.0, 1.0), (1, 1)),
    ],
)
def test_labels_are_balanced_within_1_to_1_and_4_to_3(
    good: float, bad: float, given: tuple[Any, Any], expected: tuple[float, float]
) -> None:
    assert balanced_weights(Readings(good, good), Readings(bad, bad), *given, 10) == pytest.approx(expected)


@given(st.floats(0.5, 1e4), st.floats(0.5, 1e4))
def test_auto_always_ends_inside_the_range_where_no_cap_holds(good: float, bad: float) -> None:
    weights = balanced_weights(Readings(good, good), Readings(bad, bad), "auto", "auto", 1e9)
    assert 1 - 1e-9 <= weights[0] * good / (weights[1] * bad) <= 4 / 3 + 1e-9


def influence(good: int, bad: int, given: tuple[Any, Any] = ("auto", "auto"), cap: float = 10) -> tuple[float, float]:
    """Readings times weight of one good and of one bad answer, on average, in steps of 32."""
    items = labelled(good, bad)
    steps = plan_steps(items, 32, 1, 0)
    sides = [readings_of(steps, items, good=side) for side in (True, False)]
    weights = balanced_weights(sides[0], sides[1], *given, cap)
    return weights[0] * sides[0].repeats, weights[1] * sides[1].repeats


@pytest.mark.parametrize(("good", "bad"), [(1, 2000), (2000, 1), (3, 500), (40, 900)])
def test_one_answer_of_a_rare_label_never_outweighs_ten_of_the_other(good: int, bad: int) -> None:
    one_good, one_bad = influence(good, bad)
    assert max(one_good / one_bad, one_bad / one_good) == pytest.approx(10)


def test_labels_within_the_cap_are_balanced_whatever_the_repeats() -> None:
    one_good, one_bad = influence(100, 900)
    assert 100 * one_good == pytest.approx(900 * one_bad, rel=0.01)


@pytest.mark.parametrize(("given", "kept"), [((31.0, "auto"), 0), (("auto", 0.5), 1), ((31.0, 1.0), None)])
def test_a_weight_that_the_recipe_gives_stays_and_the_other_holds_the_cap(given: Any, kept: int | None) -> None:
    weights = balanced_weights(Readings(1, 63), Readings(2000, 1953), *given, 10)
    if kept is None:
        assert weights == given
    else:
        boost = weights[0] * 63 / (weights[1] * 1953 / 2000)
        assert weights[kept] == given[kept] and boost == pytest.approx(10)


@given(st.integers(1, 60), st.integers(1, 60), st.floats(1, 20))
@settings(max_examples=60, deadline=None)
def test_no_answer_counts_more_than_the_cap_allows(good: int, bad: int, cap: float) -> None:
    one_good, one_bad = influence(good, bad, cap=cap)
    assert 1 / cap - 1e-9 <= one_good / one_bad <= cap + 1e-9


@pytest.mark.parametrize("row_tokens", [1, 40, 1000])
def test_log_probabilities_do_not_depend_on_the_packing(tiny_base: Path, row_tokens: int) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32).eval()
    groups = [item.answers for item in pairs(5)]
    found: dict[int, list[float]] = {}
    with torch.no_grad():
        for indices, row in pack(groups, row_tokens):
            values = row_log_probs(model, row).tolist()
            found |= {index: values[2 * place : 2 * place + 2] for place, index in enumerate(indices)}
        for index, group in enumerate(groups):
            for one, value in zip(group, found[index], strict=True):
                logits = model(input_ids=torch.tensor([one.ids])).logits[0].log_softmax(-1)
                alone = sum(logits[place - 1, one.ids[place]].item() for place in range(4, len(one.ids)))
                assert value == pytest.approx(alone, abs=1e-4)


def test_a_mismatched_pair_is_a_prompt_with_an_answer_to_another_one() -> None:
    items = [
        Item(
            str(i),
            (Answer((Turn(role="user", content=str(i % 3)),), (i % 3, 100 + i), (IGNORED, 100 + i), 1),),
            True,
            1.0,
        )
        for i in range(9)
    ]
    crossed = cross(items, 100, 0)
    for item, one in zip(items, crossed, strict=True):
        asked, said = one.ids
        assert (asked,) == item.answers[0].prompt_ids and (said - 100) % 3 != asked and one.labels == (IGNORED, said)


def test_a_mismatched_answer_is_cut_to_what_fits() -> None:
    assert all(len(one.ids) <= 6 and one.tokens >= 1 for one in cross(labelled(10, 11), 6, 0))


def test_prompts_that_give_the_label_away_are_weighted_and_others_are_not() -> None:
    torch.manual_seed(0)
    good = [place % 2 == 0 for place in range(120)]
    apart = torch.randn(120, 8) + torch.tensor([[3.0 if mark else -3.0] * 8 for mark in good])
    weights = density_weights(apart, good, list(range(120)))
    assert all(weight == 1 for weight, mark in zip(weights, good, strict=True) if mark)
    assert all(weight < 0.75 for weight, mark in zip(weights, good, strict=True) if not mark)
    mixed = density_weights(torch.randn(120, 200), good, list(range(120)))
    bad = [weight for weight, mark in zip(mixed, good, strict=True) if not mark]
    assert 0.8 < sum(bad) / len(bad) < 1.25


def test_rewards_are_compared_within_pairs_and_across_labels() -> None:
    ratio, marks = torch.tensor([2.0, 1.0, 0.0, 5.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    paired = rewards_of_step(ratio, marks, 0.1, pairs=True)
    assert paired["accuracy"] == 0.5 and paired["margin"] == pytest.approx(0.1 * (1.0 - 3.0))
    assert rewards_of_step(ratio, marks, 0.1, pairs=False)["accuracy"] == 0.25


def test_kl_to_the_kept_tokens_is_a_lower_bound_that_is_exact_when_all_are_kept() -> None:
    torch.manual_seed(0)
    origin, policy = torch.randn(6, 50), torch.randn(6, 50)
    exact = kl_to_origin(policy, origin).sum().item()
    assert kl_to_top(policy, *top_distribution(origin, 50)).item() == pytest.approx(exact, abs=1e-3)
    assert 0 < kl_to_top(policy, *top_distribution(origin, 10)).item() <= exact
    assert kl_to_top(origin, *top_distribution(origin, 10)).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("steps", "rate"), [(1, 2e-4), (10, 2e-4), (25, 1e-4), (100, 2.5e-5), (500, 5e-6), (10_000, 5e-6)]
)
def test_a_run_of_few_steps_goes_faster_so_that_it_gets_as_far(steps: int, rate: float) -> None:
    assert Preference().rate(steps) == pytest.approx(rate)
    assert Preference(learning_rate=3e-6).rate(steps) == 3e-6


def test_a_run_is_planned_with_the_rate_of_its_steps_and_says_so(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    goods = [GOOD | {"id": f"g{number}"} for number in range(20)]
    train_file = write(tmp_path / "t.jsonl", *goods, BAD | {"rejected": "no"})
    rule = Preference(batch=Batch(per_device=2, accumulate=1), epochs=4, min_downs=0)
    files = {"base": tmp_path, "adapter": tmp_path, "train_file": train_file}
    request = PreferRequest(base_name="b", train=Train(max_tokens=128), preference=rule, method="kto", **files)
    plan = plan_preference(request, tokenizer)
    assert len(plan.steps) == 42 and plan.train.learning_rate == pytest.approx(2.5e-3 / 42)
    words = in_words(request, plan, gather_watch(request, tokenizer))["learning_rate"]
    assert words == "6e-05: 0.0025 shared out over 42 steps, within 5e-06 and 0.0002"


def test_a_look_is_told_to_who_follows_the_run_and_a_step_is_not() -> None:
    figures = {"eval_kl": 0.0123456, "eval_length": 12.0, "eval_refusals": None, "eval_chosen": float("nan")}
    assert as_progress(figures | {"eval_dev_accuracy": 1.0}) == {"kl": 0.01235, "length": 12.0}
    assert as_progress({"loss": 0.5, "learning_rate": 1e-4}) == {}
