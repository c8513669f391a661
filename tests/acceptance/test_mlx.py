"""The demo with the MLX backend, both months. Five minutes of a processor go into training, so it runs when it is asked for."""

import pytest

from tests.acceptance.conftest import SUITES, Demo

pytestmark = [pytest.mark.timeout(3600), pytest.mark.slow, pytest.mark.exhaustive]


def test_a_round_trained_with_mlx_passes_is_promoted_and_its_model_answers(turn: Demo) -> None:
    pytest.importorskip("mlx_lm")
    done = turn("tiny-mlx")
    assert done.status == 0, done.output[-4000:]
    assert done.summary["verdict"] == "pass" and done.summary["promoted"] is True, done.summary["reasons"]
    assert done.summary["learned"]["after"] >= 0.8
    assert done.summary["champion"].startswith("tiny-mlx-r")
    assert all(done.summary["scores"][suite]["lower"] > -0.03 for suite in SUITES)
    assert done.summary["preference"]["heldout_after"] >= 0.8 and done.summary["second"]["verdict"] == "pass"
