"""The demo through the public door: month one's facts, then month two's thumbs."""

import pytest

from service.demo.privacy import MUST_NOT_LEAK
from tests.acceptance.conftest import SUITES, Demo

pytestmark = pytest.mark.timeout(1800)  # a whole demo, on a machine that may be busy


def test_the_round_passes_its_gate_and_its_candidate_is_promoted(turn: Demo) -> None:
    done = turn("tiny")
    assert done.status == 0, done.output[-4000:]
    assert done.summary["verdict"] == "pass"
    assert done.summary["promoted"] is True
    assert done.summary["champion"].startswith("tiny-r0002")  # month two's, promoted after month one's


def test_the_champion_learned_what_the_origin_did_not_know(turn: Demo) -> None:
    learned = turn("tiny").summary["learned"]
    assert learned["n"] >= 100
    assert learned["before"] <= 0.2
    assert learned["after"] >= 0.8


def test_every_suite_is_kept_within_three_points_of_the_origin(turn: Demo) -> None:
    scores = turn("tiny").summary["scores"]
    assert set(scores) >= SUITES
    for suite in SUITES:
        assert scores[suite]["n"] == 600
        assert scores[suite]["lower"] > -0.03, suite
        assert 0.55 <= scores[suite]["origin"] <= 0.95, suite


def test_every_conversation_of_the_month_is_accounted_for(turn: Demo) -> None:
    funnel = turn("tiny").summary["funnel"]
    assert funnel["received"] >= 500
    kept = funnel["examples"] + funnel["dev"] + funnel["heldout"]
    assert funnel["received"] == kept + sum(funnel["left_out"].values()) + sum(funnel["rejected"].values())


def test_nothing_that_was_planted_leaks_or_lies_on_disk(turn: Demo) -> None:
    privacy = turn("tiny").summary["privacy"]
    for entity in MUST_NOT_LEAK:
        assert privacy["planted"][entity] > 0
        assert privacy["leaked"][entity] == 0, entity
    assert privacy["on_disk"] == {}


def test_thumbs_teach_the_style_and_month_one_survives(turn: Demo) -> None:
    summary = turn("tiny").summary
    style, second = summary["preference"], summary["second"]
    assert style["method"] == "kto" and style["n"] >= 100
    assert style["heldout_before"] <= 0.2 and style["heldout_after"] >= 0.8
    assert {"siblings", "lone", "correction", "comparison"} <= set(style["used"])
    assert {"over_user_cap", "disagrees_with_crowd", "echo"} <= set(style["dropped"])
    assert second["verdict"] == "pass" and second["promoted"] is True
    assert second["learned_month_one"]["after"] >= 0.8
    assert all(second["scores"][suite]["lower"] > -0.03 for suite in SUITES)


def test_the_demo_tells_its_page_first_what_each_table_shows_and_how_far_it_is(turn: Demo) -> None:
    lines = turn("tiny").output.splitlines()
    assert lines[0].startswith("The page is http://127.0.0.1:")
    assert len([line for line in lines if line.startswith("What this shows: ")]) == 8  # 4 in month one, 4 in month two
    trains = [line for line in lines if line.startswith("train: ")]
    assert len(trains) > 5 and any(" %, about " in line and " left" in line for line in trains)
