"""What the report says of learning from thumbs, to people and to programs."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.feedback.reasons import PAIRING
from pipelines.stages.report import report
from pipelines.stages.report.facts import PreferencePoint, PreferenceSection
from pipelines.stages.report.plots import draw
from pipelines.stages.report.preference import heldout_figures, preference_section, read_curve
from pipelines.stages.report.text import as_markdown
from pipelines.suites.probes import Probe
from pipelines.suites.scores import GateInput, ModelScores, PreferenceMeasure, PreferenceScore
from tests.pipelines.stages import report_inputs as made


def pair(number: int, chosen: float, rejected: float) -> PreferenceScore:
    return PreferenceScore(
        id=f"p{number}", chosen=chosen, chosen_tokens=10, rejected=rejected, rejected_tokens=5, length=8
    )


def labelled(name: str, chosen: float | None, rejected: float | None) -> PreferenceScore:
    return PreferenceScore(id=name, chosen=chosen, chosen_tokens=10, rejected=rejected, rejected_tokens=4)


def measure(wins: int, good_at: float, bad_at: float) -> PreferenceMeasure:
    items = [pair(n, -4.0 if n < wins else -6.0, -5.0) for n in range(40)]
    items += [labelled("good", good_at, None), labelled("bad", None, bad_at)]
    return PreferenceMeasure(items=tuple(items), claims=(), frozen=())


BEFORE, AFTER = measure(4, -8.0, -3.0), measure(38, -5.0, -2.0)


def text_of(section: PreferenceSection | None, folder: Path) -> str:
    facts = report.gather(made.report_input(folder)).model_copy(update={"preference": section})
    return as_markdown(facts, ())


def section(**changes: Any) -> PreferenceSection:
    return preference_section(made.preferred(), made.feedback(), made.scores()).model_copy(update=changes)


def test_held_out_pairs_are_counted_before_and_after_with_bounds() -> None:
    found = heldout_figures(BEFORE, AFTER)
    assert (found["n"], found["heldout_before"], found["heldout_after"]) == (40, 0.1, 0.95)
    assert 0.7 < found["lower"] < 0.85 < found["upper"] < 0.95


def test_lone_answers_count_as_moved_only_in_the_way_of_their_vote() -> None:
    found = heldout_figures(BEFORE, AFTER)  # the good one became likelier, and so did the bad one
    assert (found["labelled"], found["moved"]) == (2, 0.5)


def test_answers_that_fresh_ones_stand_against_are_told_as_pairs() -> None:
    found = section()
    assert dict(found.sources) == {"siblings": 180, "lone": 193, "resample": 7} and found.held_out == 7


def test_a_stage_that_was_left_out_says_why_and_nothing_else(tmp_path: Path) -> None:
    skipped = PreferenceSection(
        method="none", why="only 31 answers were voted down, and 200 are needed.", dropped={"no_preference_stage": 90}
    )
    text = text_of(skipped, tmp_path)
    assert "Method: **none**. only 31 answers" in text and "| dropped: no_preference_stage | 90 |" in text
    assert "Preferences were not measured: the stage was left out." in text and "Nothing was held out" not in text


def test_a_recipe_without_thumbs_has_no_section(tmp_path: Path) -> None:
    assert "Preferences" not in text_of(None, tmp_path)


def test_a_stage_that_ran_without_held_out_preferences_says_that(tmp_path: Path) -> None:
    nothing = {"n": 0, "labelled": 0, "heldout_before": None, "heldout_after": None, "moved": None}
    assert "Nothing was held out to measure preferences on." in text_of(section(**nothing), tmp_path)


def test_a_run_that_no_rule_stopped_tells_its_steps_alone(tmp_path: Path) -> None:
    trained = made.preferred().trained
    assert trained is not None
    whole = {"stopped_by": None, "steps": 30, "kept_step": 30, "dev_before": None, "dev_after": None}
    text = text_of(section(training=trained.model_copy(update=whole)), tmp_path)
    assert "240 bad answers, 60 anchors; 30 steps; loss 0.5000 to 0.3000.\n" in text


def test_every_row_of_the_feedback_says_why(tmp_path: Path) -> None:
    text = text_of(section(dropped={"tied": 2, "message_unknown": 1}), tmp_path)
    for said in (
        "| used: rating | 12 | it helped to decide which answers SFT learns |",
        f"| dropped: tied | 2 | {PAIRING['tied']} |",
        "| dropped: message_unknown | 1 | no stored message has the id that it names |",
    ):
        assert said in text, said


def test_figures_that_nobody_measured_are_not_zeros(tmp_path: Path) -> None:
    text = text_of(section(probes={"champion": Probe(), "candidate": Probe(refusals=0.0)}), tmp_path)
    assert "| refusals | not measured | 0.0 % |" in text


def test_measures_are_told_by_role_where_there_are_any() -> None:
    plain, measured = ModelScores(form="f", suites=()), ModelScores(form="f", suites=(), preference=AFTER)
    scores = GateInput(origin=plain, champion=plain, candidate=measured)
    found = preference_section(made.preferred(), made.feedback(), scores)
    assert list(found.probes) == ["candidate"] and found.n == 0


def test_the_curve_keeps_the_steps_and_leaves_out_the_looks(tmp_path: Path) -> None:
    path = tmp_path / "preference_history.csv"
    path.write_text(made.PREFERENCES)
    assert [(point.step, point.loss, point.margin) for point in read_curve(path)] == [(1, 0.693, 0.0), (2, 0.55, 0.4)]


def test_loss_and_margin_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = [PreferencePoint(step=n, loss=1 / n, margin=n / 10) for n in range(1, 20)]
    assert draw([], [], tmp_path, points) == ["preference.png"]
    assert (tmp_path / "preference.png").stat().st_size > 1000
