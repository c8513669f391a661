"""What the report says of learning from thumbs, to people and to programs."""

from pathlib import Path

import pytest

from pipelines.backends.base import PreferOutput
from pipelines.feedback.reasons import FEEDBACK_REASONS
from pipelines.stages.report.plots import PreferencePoint, draw
from pipelines.stages.report.preference import (
    PreferenceSection,
    heldout_preference,
    preference_json,
    preference_markdown,
    preference_measures,
    read_curve,
)
from pipelines.suites.scores import GateInput, ItemScore, ModelScores, PreferenceMeasure, PreferenceScore

HISTORY = "step,loss,margin,accuracy,chosen\n0,,,,-0.5\n1,0.693,0.0,,\n2,0.55,0.4,,\n2,,,,-0.48\n"


def pair(number: int, chosen: float, rejected: float) -> PreferenceScore:
    return PreferenceScore(
        id=f"p{number}", chosen=chosen, chosen_tokens=10, rejected=rejected, rejected_tokens=5, length=8
    )


def good(chosen: float) -> PreferenceScore:
    return PreferenceScore(id="good", chosen=chosen, chosen_tokens=10, rejected=None, rejected_tokens=0)


def bad(rejected: float) -> PreferenceScore:
    return PreferenceScore(id="bad", chosen=None, chosen_tokens=0, rejected=rejected, rejected_tokens=4)


def measure(wins: int, good_at: float, bad_at: float, kl: float) -> PreferenceMeasure:
    items = (*(pair(n, -4.0 if n < wins else -6.0, -5.0) for n in range(40)), good(good_at), bad(bad_at))
    prompts = tuple(ItemScore(id=str(n), value=0.0) for n in range(50))
    return PreferenceMeasure(items=items, claims=prompts, frozen=prompts, kl=kl, kl_positions=100)


BEFORE, AFTER = measure(4, -8.0, -3.0, 0.0), measure(38, -5.0, -2.0, 0.04)
RUN = PreferOutput(
    method="kto",
    weights="adapter",
    history="preference_history.csv",
    metrics="m",
    steps=20,
    planned_steps=30,
    kept_step=16,
    stopped_by="kl: 0.120 nats",
    pairs=0,
    good=250,
    bad=240,
    left_out={},
    anchors=60,
    tokens=9,
    seconds=1,
    tokens_per_second=9,
    peak_memory_bytes=1,
    first_loss=0.5,
    last_loss=0.3,
    dev_before=0.1,
    dev_after=0.9,
    desirable=1.0,
    undesirable=1.04,
    precision="float32",
    choices={},
)
TOLD = PreferenceSection(
    method="kto",
    why="180 pairs are fewer than 1,000, so single answers are learnt from.",
    sources={"siblings": 180, "lone": 200},
    used={"siblings": 360, "lone": 200},
    dropped={"over_user_cap": 31, "echo": 8},
    held_out=74,
    notes=("At most 3.7 % per person.",),
    training=RUN,
    measures={"champion": BEFORE, "candidate": AFTER},
)


def test_held_out_pairs_are_counted_before_and_after_with_bounds() -> None:
    held = heldout_preference(BEFORE, AFTER)
    assert (held.pairs, held.before, held.after) == (40, 0.1, 0.95)
    assert held.lower is not None and held.upper is not None and 0.7 < held.lower < 0.85 < held.upper < 0.95


def test_lone_answers_count_as_moved_only_in_the_way_of_their_vote() -> None:
    held = heldout_preference(BEFORE, AFTER)  # the good one became likelier, and so did the bad one
    assert (held.labelled, held.moved) == (2, 0.5)


def test_people_read_method_counts_and_what_must_not_change() -> None:
    text = preference_markdown(TOLD)
    for said in (
        "Method: **kto**. 180 pairs are fewer",
        "At most 3.7 % per person.",
        "| siblings | 180 | a pair of two answers to one prompt",
        "| used: lone | 200 |",
        "| dropped: echo | 8 |",
        "| held out | 74 |",
        "95.0 % of 40 held-out pairs, 10.0 % before",
        "250 good and 240 bad answers, 60 anchors",
        "stopped at step 20 of 30, by kl: 0.120 nats; the weights of step 16 were kept",
        "| KL from the champion, nats per token | 0.000 | 0.040 |",
        "50.0 % of 2 held-out rated answers",
    ):
        assert said in text, said


def test_programs_read_the_same() -> None:
    found = preference_json(TOLD, [PreferencePoint(step=1, loss=0.7, margin=None)])
    assert found is not None
    assert (found["method"], found["n"], found["heldout_before"], found["heldout_after"]) == ("kto", 40, 0.1, 0.95)
    assert found["dropped"] == {"over_user_cap": 31, "echo": 8} and found["used"]["siblings"] == 360
    assert found["probes"]["candidate"]["kl"] == 0.04 and found["training"]["kept_step"] == 16
    assert found["curve"] == [{"step": 1, "loss": 0.7, "margin": None}]


def test_a_stage_that_was_left_out_says_why_and_nothing_else() -> None:
    skipped = PreferenceSection(
        method="none", why="only 31 answers were voted down, and 200 are needed.", dropped={"no_preference_stage": 90}
    )
    text = preference_markdown(skipped)
    assert "Method: **none**. only 31 answers" in text and "| dropped: no_preference_stage | 90 |" in text
    assert "Preferences were not measured: the stage was left out." in text and "Nothing was held out" not in text
    assert preference_json(None, []) is None


def test_a_stage_that_ran_without_held_out_preferences_says_that() -> None:
    assert "Nothing was held out to measure preferences on." in preference_markdown(
        TOLD.model_copy(update={"measures": {}})
    )


def test_every_row_of_the_feedback_says_why() -> None:
    told = TOLD.model_copy(
        update={
            "used": {"siblings": 360, "lone": 200, "rating": 12},
            "dropped": {"over_user_cap": 31, "tied": 2, "message_unknown": 1},
        }
    )
    text = preference_markdown(told)
    for said in (
        "| feedback | number | why |",
        "| used: siblings | 360 | a pair of two answers to one prompt, one voted up and one down |",
        "| used: rating | 12 | it helped to decide which answers SFT learns |",
        "| dropped: over_user_cap | 31 | its rater already gives the share that one person may |",
        f"| dropped: tied | 2 | {FEEDBACK_REASONS['tied']} |",
        "| dropped: message_unknown | 1 | no stored message has the id that it names |",
    ):
        assert said in text, said


def test_figures_that_nobody_measured_are_not_zeros() -> None:
    nothing = PreferenceMeasure(items=(), claims=(), frozen=())
    told = PreferenceSection(method="kto", why="why.", measures={"champion": nothing, "candidate": nothing})
    assert "| refusals | not measured | not measured |" in preference_markdown(told)


def test_measures_are_told_by_role_where_there_are_any() -> None:
    plain, measured = ModelScores(form="f", suites=()), ModelScores(form="f", suites=(), preference=AFTER)
    assert preference_measures(GateInput(origin=plain, champion=plain, candidate=measured)) == {"candidate": AFTER}


def test_the_curve_keeps_the_steps_and_leaves_out_the_looks(tmp_path: Path) -> None:
    path = tmp_path / "preference_history.csv"
    path.write_text(HISTORY)
    assert [(point.step, point.loss, point.margin) for point in read_curve(path)] == [(1, 0.693, 0.0), (2, 0.55, 0.4)]


def test_loss_and_margin_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = [PreferencePoint(step=n, loss=1 / n, margin=n / 10) for n in range(1, 20)]
    assert draw([], [], tmp_path, points) == ["preference.png"]
    assert (tmp_path / "preference.png").stat().st_size > 1000
