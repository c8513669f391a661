"""How long a round takes, by what it has to do and what that costs here."""

import pytest

from pipelines.backends.base import Pace
from pipelines.forecast.hours import ExampleSize, RoundWork, Speed, TrainingWork, span, stage_times, training_seconds
from pipelines.recipe import Train

PACE = Pace(
    device="cpu",
    precision="float32",
    threads=1,
    row_tokens=100,
    start=10.0,
    step=0.5,
    row=0.1,
    token=0.001,
    trained=0.01,
    anchor=2.0,
    read=0.0004,
    memory_bytes=10**9,
)
SPEED = Speed(read=0.0004)
FOUR = Train.model_validate({"batch": {"per_device": 4, "accumulate": 1}, "max_tokens": 100})
ALIKE = (ExampleSize(50, 10),) * 8
WORK = RoundWork(
    amounts={"snapshot": 100, "mix": 50, "train": 4000, "prefer": 0, "evaluate": 200},
    parameters=1_000_000,
    origin_ready=False,
)


def test_training_takes_its_start_its_steps_and_its_looks() -> None:
    work = TrainingWork(sample=ALIKE, steps=7, looks=2, dev_examples=30)
    # four examples of 50 tokens fill two rows of 100
    step = 0.5 + 2 * 0.1 + 200 * 0.001 + 40 * 0.01
    assert training_seconds(FOUR, work, PACE) == pytest.approx(10 + 7 * step + 2 * 30 * 50 * 0.0004)


def test_anchors_with_kl_have_rows_of_their_own_that_take_longer() -> None:
    mixed = (ExampleSize(50, 10), ExampleSize(50, 10, anchor=True)) * 4
    work = TrainingWork(sample=mixed, steps=1, looks=0, dev_examples=0)
    plain = training_seconds(FOUR, work, PACE)
    near = training_seconds(FOUR.model_copy(update={"kl": FOUR.kl.model_copy(update={"weight": 0.1})}), work, PACE)
    assert near > plain


def test_a_stage_takes_what_was_timed_else_what_earlier_rounds_took_else_a_guess() -> None:
    times = stage_times(WORK, {"train": 9.0, "evaluate": 0.25}, SPEED, {"train": 61.0})
    grounds = {time.name: (time.seconds, time.ground) for time in times}
    assert grounds["train"] == (61.0, "timed") and grounds["evaluate"] == (50.0, "rounds")
    assert grounds["export"][1] == "guess" and "prefer" not in grounds


def test_longer_items_are_guessed_to_take_longer() -> None:
    short, long = (
        next(time.seconds for time in stage_times(work, {}, SPEED, {}) if time.name == "evaluate")
        for work in (WORK.model_copy(update={"item_characters": length}) for length in (90.0, 9000.0))
    )
    assert long - short == pytest.approx(200 * 2 * (3000 - 30) * 0.0004)


def test_an_origin_that_is_there_takes_no_time() -> None:
    names = [time.name for time in stage_times(WORK.model_copy(update={"origin_ready": True}), {}, SPEED, {})]
    assert names == ["snapshot", "mix", "train", "export", "evaluate", "gate", "report"]


def test_without_anything_to_go_by_no_time_is_told() -> None:
    assert stage_times(WORK, {}, None, {}) == ()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3180, "53 min"), (5400, "1.5 h"), (90_000, "25.0 h")],
)
def test_spans_are_said_as_people_plan(seconds: float, words: str) -> None:
    assert span(seconds) == words
