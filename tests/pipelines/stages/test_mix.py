"""The mixture: shares in trained tokens, nothing lost without a reason, the same bytes for the same seed."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ArtifactError, DataError
from pipelines.feedback.reasons import MIXTURE
from pipelines.mixture.anchors import (
    Anchor,
    AnchorName,
    AnchorPool,
    frozen_prompts,
    load_pool,
    load_pools,
    without_contaminated,
)
from pipelines.mixture.text import materialise
from pipelines.recipe import Recipe
from pipelines.records import Body, FeedbackFate, MessageKey, RatedConversation, SnapshotItem, Turn, TurnKey
from pipelines.stages.mix import Mixture, mix, plan_mixture
from pipelines.suites.contamination import Contamination, EvaluationItem

KINDS: tuple[AnchorName, ...] = ("general", "coding", "reasoning")


class ListedCorpus:
    """A corpus over a dictionary, as tests and imports need it."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def candidates(self) -> Iterator[RatedConversation]:
        return iter(())

    def texts(self, keys: Sequence[MessageKey]) -> Mapping[MessageKey, Body]:
        return {key: Body(content=self._texts[key.message]) for key in keys if key.message in self._texts}

    def outcomes(self) -> Mapping[str, int]:
        return {}

    def lost(self) -> Sequence[FeedbackFate]:
        return ()


def count(turns: Sequence[Turn]) -> int:
    """Words of trained turns and one for each end of turn."""
    return sum(len(turn.content.split()) + 1 for turn in turns if turn.trained)


def item(name: str, tokens: int, month: str = "2026-09", **more: Any) -> SnapshotItem:
    keys = [MessageKey(message=f"{name}.{role}", revision=1) for role in ("user", "assistant")]
    turns = (TurnKey(key=keys[0], role="user", trained=False), TurnKey(key=keys[1], role="assistant", trained=True))
    given = {"outcome": "used", "part": "train", "source": "new", "reason": "train", **more}
    return SnapshotItem.model_validate(
        {"conversation": name, "person": "p", "month": month, "tokens": tokens, "turns": turns, **given}
    )


def corpus_of(items: Sequence[SnapshotItem]) -> ListedCorpus:
    texts = {}
    for one in items:
        texts[f"{one.conversation}.user"] = f"question {one.conversation}"
        texts[f"{one.conversation}.assistant"] = " ".join(["word"] * (one.tokens - 1))
    return ListedCorpus(texts)


def pool(name: AnchorName, size: int, families: int = 4, words: int = 5) -> AnchorPool:
    turns = ({"role": "user", "content": "q"}, {"role": "assistant", "content": " ".join(["a"] * words)})
    made = [{"id": f"a{i}", "family": f"f{i % families}", "turns": turns} for i in range(size)]
    return AnchorPool(name=name, anchors=tuple(Anchor.model_validate(one) for one in made))


def pools(size: int = 400) -> dict[AnchorName, AnchorPool]:
    return {name: pool(name, size) for name in KINDS}


def recipe(**changes: Any) -> Recipe:
    given = {
        "name": "test",
        "base": {"model": "models/tiny"},
        "evaluate": {"suites": ["a"]},
        "gates": (),
        "mixture": {"user": 0.25, "general": 0.45, "coding": 0.15, "reasoning": 0.15},
        **changes,
    }
    return Recipe.model_validate(given)


SEQUENTIAL = {
    "lineage": "sequential",
    "replay": 0.3,
    "mixture": {"user": 0.7, "general": 0.15, "coding": 0.1, "reasoning": 0.05},
}


def users(count: int, tokens: int = 9, **more: Any) -> list[SnapshotItem]:
    return [item(f"c{i:04}", tokens, f"2026-{7 + i % 3:02}", **more) for i in range(count)]


def shares(mixture: Mixture) -> dict[str, float]:
    return {line.source: line.reached for line in mixture.shares}


def test_shares_are_met_within_a_point_and_every_user_example_is_used_once() -> None:
    mixture = plan_mixture(users(100), pools(), recipe(), count, seed=1)
    reached = shares(mixture)
    assert reached == pytest.approx({"user": 0.25, "general": 0.45, "coding": 0.15, "reasoning": 0.15}, abs=0.01)
    assert Counter(line.id for line in mixture.lines if line.source == "new") == {f"c{i:04}": 1 for i in range(100)}
    assert not mixture.left_out


def test_the_guides_shares_are_new_49_replay_30_and_anchors_21() -> None:
    new, old = users(100), [item(f"r{i}", 9, source="replay") for i in range(100)]
    mixture = plan_mixture(new + old, pools(), recipe(**SEQUENTIAL), count, seed=1)
    expected = {"new": 0.49, "replay": 0.30, "general": 0.105, "coding": 0.07, "reasoning": 0.035}
    assert shares(mixture) == pytest.approx(expected, abs=0.01)
    assert {one.reason for one in mixture.left_out} == {"over_replay_share"}


def test_a_first_sequential_round_without_replay_reports_the_shortfall_and_keeps_all_new() -> None:
    mixture = plan_mixture(users(50), pools(), recipe(**SEQUENTIAL), count, seed=1)
    replay = next(line for line in mixture.shares if line.source == "replay")
    assert replay.reached == 0 and replay.shortfall_tokens == pytest.approx(50 * 9 * 0.30 / 0.49, abs=1)
    assert sum(line.source == "new" for line in mixture.lines) == 50


def test_a_small_pool_is_repeated_at_most_max_repeats_and_never_shrinks_new_data() -> None:
    small = pools() | {"general": pool("general", 8)}
    mixture = plan_mixture(users(100), small, recipe(), count, seed=1)
    general = next(line for line in mixture.shares if line.source == "general")
    assert (general.most_repeats, general.distinct, general.examples) == (4, 8, 32)
    assert general.shortfall_tokens == pytest.approx(100 * 9 * 0.45 / 0.25 - 32 * 6, abs=1)
    assert sum(line.source == "new" for line in mixture.lines) == 100


def test_anchors_that_are_long_are_enough_examples_where_the_recipe_sets_a_floor() -> None:
    # users' examples have 1 token and anchors 6: by tokens alone 75 % of anchors are 33 % of the examples
    few = plan_mixture(users(90, tokens=1), pools(), recipe(), count, seed=1)
    floor = recipe(mixture=recipe().mixture.model_dump() | {"anchor_examples": 0.5})
    more = plan_mixture(users(90, tokens=1), pools(), floor, count, seed=1)
    anchors = [sum(line.anchor is not None and line.part == "train" for line in one.lines) for one in (few, more)]
    assert anchors[0] < 60 and 90 <= anchors[1] <= 110
    assert sum(line.source == "new" for line in more.lines if line.part == "train") == 90


def test_a_floor_that_the_pools_cannot_fill_takes_all_that_they_have() -> None:
    small = {name: pool(name, 5) for name in ("general", "coding", "reasoning")}
    floor = recipe(mixture=recipe().mixture.model_dump() | {"anchor_examples": 0.9})
    mixture = plan_mixture(users(90, tokens=1), small, floor, count, seed=1)
    assert sum(line.anchor is not None and line.part == "train" for line in mixture.lines) == 3 * 5 * 4


def test_every_family_of_a_pool_is_covered_in_equal_tokens() -> None:
    uneven = [*pool("general", 90, families=1).anchors, *pool("general", 100, families=10).anchors[91:]]
    general = AnchorPool(name="general", anchors=tuple({a.id: a for a in uneven}.values()))
    mixture = plan_mixture(users(10), pools() | {"general": general}, recipe(), count, seed=1)
    drawn = mixture.families["general"]
    assert set(drawn) == {anchor.family for anchor in general.anchors}
    assert max(drawn.values()) - min(drawn.values()) <= 1


def test_a_round_budget_samples_the_users_evenly_by_month_and_names_what_is_left_out() -> None:
    months = {"2026-07": 200, "2026-08": 40, "2026-09": 200}
    items = [item(f"{month}/{i}", 10, month) for month, size in months.items() for i in range(size)]
    mixture = plan_mixture(items, pools(2000), recipe(max_tokens_per_round=8000), count, seed=1)
    kept = Counter(line.id.split("/")[0] for line in mixture.lines if line.source == "new")
    assert kept == {"2026-07": 80, "2026-08": 40, "2026-09": 80}
    assert Counter(one.reason for one in mixture.left_out) == {"over_round_budget": 240}


def test_the_dev_set_is_the_dev_part_and_anchors_that_training_never_sees() -> None:
    dev = [item(f"d{i}", 9, part="dev", outcome="held_out", reason="dev") for i in range(10)]
    mixture = plan_mixture(users(200) + dev, pools(), recipe(), count, seed=1)
    anchors = {part: {x.id for x in mixture.lines if x.part == part and x.anchor} for part in ("train", "dev")}
    assert {line.id for line in mixture.lines if line.part == "dev" and not line.anchor} == {
        d.conversation for d in dev
    }
    assert anchors["dev"] and not anchors["dev"] & anchors["train"]


def test_heldout_and_left_out_items_are_never_planned() -> None:
    others = [
        item("h", 9, part="heldout", outcome="held_out"),
        item("x", 9, outcome="left_out", source=None, reason="unrated"),
    ]
    mixture = plan_mixture(users(5) + others, pools(), recipe(), count, seed=1)
    assert not {"h", "x"} & {line.id for line in mixture.lines}


@pytest.mark.parametrize(
    ("items", "given", "sentence"),
    [
        ([], {}, "nothing to learn"),
        ([item("r", 5, source="replay")], SEQUENTIAL, "nothing to learn"),
        ([item("c", 0)], {}, "nothing to learn"),
        ([item("c", 900)], {"max_tokens_per_round": 100}, r"max_tokens_per_round 100 has no room .*\(900 trained"),
        ([item("c", 5)], {"mixture": {"user": 0.5, "coding": 0.5}}, "no pool coding.jsonl"),
        ([item("c", 5)], SEQUENTIAL | {"replay": 1.0}, "nothing for new"),
    ],
)
def test_a_mixture_that_cannot_be_made_is_refused(items: list[SnapshotItem], given: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        plan_mixture(items, {}, recipe(**given), count, seed=1)


drawn_items = st.lists(
    st.tuples(
        st.integers(0, 60), st.sampled_from(["new", "replay"]), st.sampled_from(["2026-07", "2026-08", "2026-09"])
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(drawn_items, st.booleans(), st.none() | st.integers(50, 3000), st.integers(0, 5))
def test_every_item_is_used_once_or_left_out_with_a_reason_and_the_shares_add_up(
    drawn: list[tuple[int, str, str]], sequential: bool, budget: int | None, seed: int
) -> None:
    items = [item(f"c{i}", tokens, month, source=source) for i, (tokens, source, month) in enumerate(drawn)]
    given = (SEQUENTIAL if sequential else {}) | {"max_tokens_per_round": budget}
    try:
        mixture = plan_mixture(items, pools(40), recipe(**given), count, seed)
    except DataError:
        assert not any(i.tokens and (not sequential or i.source == "new") for i in items) or budget
        return
    used = [line.id for line in mixture.lines if line.source in ("new", "replay")]
    assert sorted(used + [one.conversation for one in mixture.left_out]) == sorted(i.conversation for i in items)
    assert {one.reason for one in mixture.left_out} <= set(MIXTURE)
    assert sum(shares(mixture).values()) == pytest.approx(1, abs=1e-4)
    assert plan_mixture(items[::-1], pools(40), recipe(**given), count, seed) == mixture


def mixed(tmp_path: Path, name: str, seed: int = 1) -> tuple[Path, Any, ListedCorpus]:
    items = users(30) + [item("dev", 9, part="dev", outcome="held_out")]
    corpus = corpus_of(items)
    folder = tmp_path / name
    folder.mkdir()
    return folder, mix(items, pools(), recipe(), count, folder, seed, corpus=corpus, scratch=folder), corpus


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_draw(tmp_path: Path) -> None:
    (one, first, _), (two, second, _), (other, third, _) = (
        mixed(tmp_path, n, s) for n, s in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == second and first.text_sha256 != third.text_sha256
    for name in ("plan.jsonl", "left_out.jsonl", "mixture/train.jsonl", "mixture/dev.jsonl"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert (one / "plan.jsonl").read_bytes() != (other / "plan.jsonl").read_bytes()


def test_a_plan_holds_no_text_and_rebuilds_it_bit_for_bit(tmp_path: Path) -> None:
    folder, output, corpus = mixed(tmp_path, "a")
    assert "word" not in (folder / "plan.jsonl").read_text()
    again = tmp_path / "scratch"
    again.mkdir()
    text = materialise(folder / output.plan, corpus, pools(), again, expected_sha256=output.text_sha256)
    assert text.train.read_bytes() == (folder / "mixture/train.jsonl").read_bytes()
    assert json.loads(text.dev.read_text().splitlines()[0])["turns"][1]["trained"] is True


def test_changed_and_vanished_texts_are_noticed(tmp_path: Path) -> None:
    folder, output, corpus = mixed(tmp_path, "a")
    plan = folder / output.plan
    edited = pools() | {"general": pool("general", 400, words=7)}
    with pytest.raises(ArtifactError, match="has changed"):
        materialise(plan, corpus, edited, folder, expected_sha256=output.text_sha256)
    with pytest.raises(DataError, match="no longer exists"):
        materialise(plan, ListedCorpus({}), pools(), folder)


def test_an_anchor_that_repeats_an_item_of_a_suite_is_taken_out_and_counted(tmp_path: Path) -> None:
    pasted = Anchor.model_validate(
        {
            "id": "x",
            "family": "f0",
            "turns": [{"role": "user", "content": "what is 41 + 17"}, {"role": "assistant", "content": "58"}],
        }
    )
    neighbour = pasted.model_copy(
        update={"id": "y", "turns": (pasted.turns[0].model_copy(update={"content": "41 + 18?"}), pasted.turns[1])}
    )
    general = AnchorPool(name="general", anchors=(pasted, neighbour))
    check = Contamination([EvaluationItem("math/1", "What is 41 + 17?")])

    clean = without_contaminated({"coding": pool("coding", 3), "general": general}, check.check_pool)

    assert [anchor.id for anchor in clean["general"].anchors] == ["y"] and len(clean["coding"].anchors) == 3
    given = recipe(mixture={"user": 0.5, "general": 0.5})
    output = mix(users(3), clean, given, count, tmp_path, 1, corpus=corpus_of(users(3)), scratch=tmp_path)
    assert output.contaminated_anchors == {"general": 1}


def test_tokens_are_counted_with_ends_of_turn_whatever_the_snapshot_said(tmp_path: Path) -> None:
    items = [one.model_copy(update={"tokens": 1}) for one in users(3)]
    output = mix(items, pools(), recipe(), count, tmp_path, 1, corpus=corpus_of(users(3)), scratch=tmp_path)
    assert output.tokens["new"] == 27


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (['{"id": "a", "family": "f", "turns": []}'], "no assistant turn"),
        (['{"id": "a", "family": "f"}'], "line 1 is not an anchor"),
        (['{"id": "a", "family": "f", "turns": [{"role": "assistant", "content": "x"}]}'] * 2, "more than once"),
        (["not json"], "line 1 is not an anchor"),
    ],
)
def test_a_malformed_pool_is_refused_with_its_place(tmp_path: Path, lines: list[str], sentence: str) -> None:
    path = tmp_path / "general.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=sentence):
        load_pool(path, "general")


def test_pools_are_read_from_a_folder_and_missing_kinds_left_out(tmp_path: Path) -> None:
    (tmp_path / "coding.jsonl").write_text(pool("coding", 3).anchors[0].model_dump_json() + "\n")
    assert list(load_pools(tmp_path)) == ["coding"]


def test_frozen_prompts_are_dev_anchors_of_every_family_and_always_the_same() -> None:
    data = load_pools(Path(__file__).resolve().parents[3] / "data" / "general")
    frozen = frozen_prompts(data, 40)
    dev = {f"{name}/{anchor.id}": anchor.family for name, pool in data.items() for anchor in pool.split()[1]}
    families = Counter(dev[example.id] for example in frozen)
    assert len({example.id for example in frozen}) == 40 and len(families) == len(set(dev.values()))
    assert max(families.values()) - min(families.values()) <= 1
    assert frozen == frozen_prompts(data, 80)[:40] and len(frozen_prompts(data, 10**6)) == len(dev)
