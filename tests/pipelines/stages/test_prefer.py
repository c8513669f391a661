"""The preference step as the round calls it: chosen, resampled, trained, checked without its loudest accounts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.artifacts import write_records
from pipelines.errors import Cancelled, TrainingError
from pipelines.feedback.cohort import Cohort
from pipelines.mixture.anchors import Pools
from pipelines.records import PreferenceItem, Turn
from pipelines.stages import cohort_check
from pipelines.stages.cohort_check import DevShares, dev_shares
from pipelines.stages.contract import Finished, Keyed
from pipelines.stages.prefer import Prefer, Preferred
from pipelines.stages.questions import PreferenceQuestions, preference_ask
from pipelines.stages.snapshot import SnapshotOutput
from tests.pipelines.backends.preferring import write_adapter
from tests.pipelines.feedback_rows import asked, down, up
from tests.pipelines.mixture.test_prefer_data import POOLS, Listed, chosen_items, count, recipe

pytestmark = pytest.mark.usefixtures("same_process")

CHATS = [
    *(
        asked(
            f"s{n}",
            f"Where is Vell {n}?",
            (f"Far up north it is, {n}.", up(f"u{n % 3}")),
            (f"South {n}.", down(f"u{n % 3}")),
        )
        for n in range(6)
    ),
    asked("sum", "What is 17 + 25?", ("It is 40.", down("w"))),
    asked("dev", "Where is Orm?", ("In the east.", up("x")), ("No.", down("x")), part="dev"),
    asked("held", "Where is Tal?", ("In the west.", up("x")), ("No.", down("x")), part="heldout"),
]
SETTINGS: dict[str, Any] = {
    "method": "kto",
    "learning_rate": 1e-3,
    "epochs": 1,
    "batch": {"per_device": 4, "accumulate": 1},
    "anchors": 0.5,
    "probes": 2,
    "stops": {"displacement": 99, "length": 99, "kl": 99, "refusal": 100, "sycophancy": 100},
}


@pytest.fixture(scope="module")
def sft(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tiny_base, tmp_path_factory.mktemp("sft") / "adapter", moved=0.02)


def prefer(
    scratch: Path, items: Sequence[PreferenceItem], answers: str = "", cohort: Cohort | None = None, **changes: Any
) -> Prefer:
    given = recipe(**(SETTINGS | changes))
    given = given.model_copy(update={"train": given.train.model_copy(update={"backend": "cpu", "max_tokens": 96})})
    assert given.preference is not None
    scratch.mkdir(exist_ok=True)
    return Prefer(
        recipe=given,
        rule=given.preference,
        items=items,
        corpus=Listed(CHATS),
        pools=POOLS,
        count_tokens=count,
        scratch=scratch,
        claims=None,
        sample=lambda prompts: [answers] * len(prompts),
        cohort=cohort,
    )


def run(tmp_path: Path, base: Path, sft: Path, step: Prefer) -> Preferred:
    out = tmp_path / "out"
    out.mkdir()
    return step.run(lambda: base, sft, out, lambda: None)


def test_a_method_without_enough_to_read_is_left_out_with_its_sentence(
    tmp_path: Path, tiny_base: Path, sft: Path
) -> None:
    done = run(tmp_path, tiny_base, sft, prefer(tmp_path / "scratch", chosen_items(CHATS), method="auto"))

    assert done.trained is None and not list((tmp_path / "out").iterdir())
    assert done.choice.why.startswith("none: 7 bad answers, and the recipe asks for 200 (preference.min_downs")


def test_a_wrong_sum_voted_down_becomes_a_pair_with_the_champions_right_one(
    tmp_path: Path, tiny_base: Path, sft: Path
) -> None:
    step = prefer(tmp_path / "scratch", chosen_items(CHATS), answers="It is 42.")

    done = run(tmp_path, tiny_base, sft, step)

    assert done.resampled == 1 and done.replaced == ("sum.a",) and done.trained is not None
    assert (done.trained.good, done.trained.bad) == (7, 7)


def test_a_champion_that_is_wrong_as_well_gives_no_pair(tmp_path: Path, tiny_base: Path, sft: Path) -> None:
    done = run(tmp_path, tiny_base, sft, prefer(tmp_path / "scratch", chosen_items(CHATS), answers="It is 41."))

    assert done.resampled == 0 and done.trained is not None and (done.trained.good, done.trained.bad) == (6, 7)


@pytest.mark.parametrize("said", [None, "It is 42. " * 99], ids=["cut off", "too long to train on"])
def test_a_fresh_answer_that_is_not_whole_gives_no_pair(tmp_path: Path, said: str | None) -> None:
    step = prefer(tmp_path / "scratch", chosen_items(CHATS))
    object.__setattr__(step, "sample", lambda prompts: [said] * len(prompts))
    object.__setattr__(step, "count_tokens", lambda turns: len(turns[-1].content) if len(turns[-1].content) < 99 else 0)

    assert step._resample() == []


def test_the_cohort_check_trains_again_without_the_group_and_leaves_only_its_figures(
    tmp_path: Path, tiny_base: Path, sft: Path
) -> None:
    cohort = Cohort(raters=("u0",), share=0.3)
    done = run(tmp_path, tiny_base, sft, prefer(tmp_path / "scratch", chosen_items(CHATS), cohort=cohort))

    assert done.cohort is not None and done.cohort.without is not None and done.cohort.problem is None
    assert (done.cohort.without.dev.pairs, done.cohort.with_them.dev.pairs) == (1, 1)
    assert done.cohort.without.planned_steps < done.cohort.with_them.planned_steps == done.cohort.with_them.kept_step
    assert "the weights of step" in done.cohort.sentence and "of 1 dev pairs" in done.cohort.sentence
    assert "the most influential group of 1 accounts (30.0 % of the weight)" in done.cohort.sentence
    assert not (tmp_path / "out" / "cohort").exists() and (tmp_path / "out" / "adapter").is_dir()


def test_a_cohort_that_gave_everything_leaves_nothing_to_train_on_and_that_is_said(
    tmp_path: Path, tiny_base: Path, sft: Path
) -> None:
    cohort = Cohort(raters=("u0", "u1", "u2", "w"), share=1.0)
    done = run(tmp_path, tiny_base, sft, prefer(tmp_path / "scratch", chosen_items(CHATS), cohort=cohort))

    assert done.cohort is not None and done.cohort.problem is not None
    assert "there is nothing to learn from" in done.cohort.sentence


def test_the_second_training_of_a_cohort_check_reads_the_same_fresh_answers(
    tmp_path: Path, tiny_base: Path, sft: Path
) -> None:
    step = prefer(
        tmp_path / "scratch", chosen_items(CHATS), answers="It is 42.", cohort=Cohort(raters=("u0",), share=0.3)
    )

    done = run(tmp_path, tiny_base, sft, step)

    again = (tmp_path / "scratch" / "preference" / "train-without.jsonl").read_text()
    assert done.resampled == 1 and "It is 42." in again and "Far up north it is, 0." not in again


def test_a_cohort_check_on_lone_thumbs_compares_how_they_moved(tmp_path: Path, tiny_base: Path, sft: Path) -> None:
    dev = [
        asked(f"d{n}", f"Where is Orm {n}?", ("In the east.", (up if n % 2 else down)(f"y{n}")), part="dev")
        for n in range(4)
    ]
    chats = [chat for chat in CHATS if chat.part == "train"] + dev
    step = prefer(tmp_path / "scratch", chosen_items(chats), cohort=Cohort(raters=("u0", "y0"), share=0.3))
    object.__setattr__(step, "corpus", Listed(chats))

    check = run(tmp_path, tiny_base, sft, step).cohort

    assert (
        check is not None
        and check.without is not None
        and check.with_them.dev.labelled == check.without.dev.labelled == 3
    )
    assert check.with_them.dev.moved is not None and check.without.dev.moved is not None
    assert "of 3 rated dev answers moved the way of their votes" in check.sentence and "KL" in check.sentence


def test_a_second_training_that_was_killed_is_not_told_as_nothing_to_learn_from(
    tmp_path: Path, tiny_base: Path, sft: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> Any:
        raise TrainingError("the training process was killed by signal 9")

    monkeypatch.setattr(cohort_check, "prefer", killed)
    step = prefer(tmp_path / "scratch", chosen_items(CHATS), cohort=Cohort(raters=("u0",), share=0.3))
    done = run(tmp_path, tiny_base, sft, step)

    assert done.cohort is not None and "was killed by signal 9" in done.cohort.sentence
    assert "failed" in done.cohort.sentence and "nothing to learn" not in done.cohort.sentence


def test_dev_shares_leave_out_what_the_cohort_rated(tmp_path: Path) -> None:
    path = tmp_path / "dev.csv"
    path.write_text(
        "id,answer,before,after\np,chosen,-2,-1\np,rejected,-2,-3\nq,chosen,-2,-2\nq,rejected,-1,-2\n"
        "up,chosen,-2,-1\ndown,rejected,-2,-1\ntheirs,rejected,-2,-9\n"
    )

    assert dev_shares(path, {"theirs"}) == DevShares(pairs=2, ahead=0.75, labelled=2, moved=0.5)


def test_what_is_measured_is_held_out_and_frozen(tmp_path: Path) -> None:
    items = chosen_items(CHATS)
    write_records(tmp_path / "preferences.jsonl", items)
    taken = Finished[SnapshotOutput](
        digest="", folder=tmp_path, output=SnapshotOutput.model_construct(preferences="preferences.jsonl")
    )
    thumbs = PreferenceQuestions(probes=2, snapshot=taken, pools=Keyed[Pools](digest="", value=POOLS), claims=None)
    ask = preference_ask(thumbs, Listed(CHATS))

    assert [example.answers[0].content for example in ask.examples] == ["In the west."]
    assert len(ask.frozen) > 0 and all(turn.role in ("user", "assistant") for one in ask.frozen for turn in one.turns)
    assert set(ask.clusters) == {ask.examples[0].id}


def test_a_lost_claim_stops_the_step(tmp_path: Path, tiny_base: Path, sft: Path) -> None:
    def lost() -> None:
        raise Cancelled("the lease was lost")

    (tmp_path / "out").mkdir()
    with pytest.raises(Cancelled):
        prefer(tmp_path / "scratch", chosen_items(CHATS)).run(lambda: tiny_base, sft, tmp_path / "out", lost)


def test_prompts_reach_the_sampler_as_turns(tmp_path: Path, tiny_base: Path, sft: Path) -> None:
    heard: list[Sequence[Turn]] = []
    step = prefer(tmp_path / "scratch", chosen_items(CHATS))

    def sample(prompts: Sequence[Sequence[Turn]]) -> list[str]:
        heard.extend(prompts)
        return ["It is 42."] * len(prompts)

    object.__setattr__(step, "sample", sample)
    run(tmp_path, tiny_base, sft, step)

    assert [[turn.content for turn in prompt] for prompt in heard] == [["What is 17 + 25?"]]
