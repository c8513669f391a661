"""The preference step as the round calls it: chosen, resampled, trained, checked without its loudest accounts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.cohort import Cohort
from pipelines.errors import Cancelled
from pipelines.records import PreferenceItem, Turn
from pipelines.stages.preference import Prefer, Preferred
from tests.pipelines.backends.preferring import write_adapter
from tests.pipelines.feedback import asked, down, up
from tests.pipelines.stages.test_prefer_data import POOLS, Listed, chosen_items, count, recipe

CHATS = [
    *(asked(f"s{n}", f"Where is Vell {n}?", (f"Far up north it is, {n}.", up(f"u{n % 3}")), (f"South {n}.", down(f"u{n % 3}"))) for n in range(6)),
    asked("sum", "What is 17 + 25?", ("It is 40.", down("w"))),
    asked("dev", "Where is Orm?", ("In the east.", up("x")), ("No.", down("x")), part="dev"),
    asked("held", "Where is Tal?", ("In the west.", up("x")), ("No.", down("x")), part="heldout"),
]  # fmt: skip
SETTINGS: dict[str, Any] = {
    "method": "kto", "learning_rate": 1e-3, "epochs": 1, "batch": {"per_device": 4, "accumulate": 1}, "anchors": 0.5, "probes": 2,
    "stops": {"displacement": 99, "length": 99, "kl": 99, "refusal": 100, "sycophancy": 100},
}  # fmt: skip


@pytest.fixture(scope="module")
def sft(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tiny_base, tmp_path_factory.mktemp("sft") / "adapter", moved=0.02)


def prefer(scratch: Path, items: Sequence[PreferenceItem], answers: str = "", cohort: Cohort | None = None, **changes: Any) -> Prefer:
    given = recipe(**(SETTINGS | changes))
    given = given.model_copy(update={"train": given.train.model_copy(update={"backend": "cpu", "max_tokens": 96})})
    assert given.preference is not None
    scratch.mkdir(exist_ok=True)
    return Prefer(
        recipe=given, rule=given.preference, items=items, corpus=Listed(CHATS), pools=POOLS, count_tokens=count,
        scratch=scratch, claims=None, sample=lambda prompts: [answers] * len(prompts), cohort=cohort,
    )  # fmt: skip


def run(tmp_path: Path, base: Path, sft: Path, step: Prefer) -> Preferred:
    out = tmp_path / "out"
    out.mkdir()
    return step.run(base, sft, out, lambda: None)


def test_a_method_without_enough_to_read_is_left_out_with_its_sentence(tmp_path: Path, tiny_base: Path, sft: Path) -> None:
    done = run(tmp_path, tiny_base, sft, prefer(tmp_path / "scratch", chosen_items(CHATS), method="auto"))

    assert done.trained is None and not list((tmp_path / "out").iterdir())
    assert done.choice.why.startswith("none: 7 bad answers are left after filtering, and the recipe asks for 200")


def test_a_wrong_sum_voted_down_becomes_a_pair_with_the_champions_right_one(tmp_path: Path, tiny_base: Path, sft: Path) -> None:
    step = prefer(tmp_path / "scratch", chosen_items(CHATS), answers="It is 42.")

    done = run(tmp_path, tiny_base, sft, step)

    assert done.resampled == 1 and done.trained is not None
    assert (done.trained.good, done.trained.bad) == (7, 7)


def test_a_champion_that_is_wrong_as_well_gives_no_pair(tmp_path: Path, tiny_base: Path, sft: Path) -> None:
    done = run(tmp_path, tiny_base, sft, prefer(tmp_path / "scratch", chosen_items(CHATS), answers="It is 41."))

    assert done.resampled == 0 and done.trained is not None and (done.trained.good, done.trained.bad) == (6, 7)


def test_the_cohort_check_trains_again_without_the_group_and_leaves_only_its_figures(
    tmp_path: Path, tiny_base: Path, sft: Path
) -> None:
    cohort = Cohort(raters=("u0",), share=0.3)
    done = run(tmp_path, tiny_base, sft, prefer(tmp_path / "scratch", chosen_items(CHATS), cohort=cohort))

    assert done.cohort is not None and done.cohort.dev_without is not None and done.cohort.problem is None
    assert "the most influential group of 1 accounts (30.0 % of the weight)" in done.cohort.sentence
    assert not (tmp_path / "out" / "cohort").exists() and (tmp_path / "out" / "adapter").is_dir()


def test_a_cohort_that_gave_everything_leaves_nothing_to_train_on_and_that_is_said(
    tmp_path: Path, tiny_base: Path, sft: Path
) -> None:
    cohort = Cohort(raters=("u0", "u1", "u2", "w"), share=1.0)
    done = run(tmp_path, tiny_base, sft, prefer(tmp_path / "scratch", chosen_items(CHATS), cohort=cohort))

    assert done.cohort is not None and done.cohort.problem is not None
    assert "there is nothing to learn from" in done.cohort.sentence


def test_what_is_measured_is_held_out_and_frozen(tmp_path: Path) -> None:
    ask = prefer(tmp_path / "scratch", chosen_items(CHATS)).ask()

    assert [example.chosen for example in ask.examples] == ["In the west."]
    assert len(ask.frozen) > 0 and all(turn.role in ("user", "assistant") for one in ask.frozen for turn in one.turns)
    assert set(ask.clusters) == {ask.examples[0].id}


def test_a_lost_claim_stops_the_step(tmp_path: Path, tiny_base: Path, sft: Path) -> None:
    def lost() -> None:
        raise Cancelled("the lease was lost")

    (tmp_path / "out").mkdir()
    with pytest.raises(Cancelled):
        prefer(tmp_path / "scratch", chosen_items(CHATS)).run(tiny_base, sft, tmp_path / "out", lost)


def test_prompts_reach_the_sampler_as_turns(tmp_path: Path, tiny_base: Path, sft: Path) -> None:
    heard: list[Sequence[Turn]] = []
    step = prefer(tmp_path / "scratch", chosen_items(CHATS))

    def sample(prompts: Sequence[Sequence[Turn]]) -> list[str]:
        heard.extend(prompts)
        return ["It is 42."] * len(prompts)

    object.__setattr__(step, "sample", sample)
    run(tmp_path, tiny_base, sft, step)

    assert [[turn.content for turn in prompt] for prompt in heard] == [["What is 17 + 25?"]]
