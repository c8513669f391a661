"""The demo with other recipes: one that must fail its gate, and one in 4 bits. A file of their own, for a second core."""

import pytest

from tests.acceptance.conftest import SUITES, Demo

pytestmark = pytest.mark.timeout(1800)  # a whole demo, on a machine that may be busy


@pytest.mark.slow
def test_the_negative_control_fails_its_gate_and_is_refused(turn: Demo) -> None:
    done = turn("tiny-bad")
    assert done.status != 0
    assert done.summary["verdict"] == "fail"
    assert done.summary["promoted"] is False
    assert "refused" in done.output
    failed = {suite for suite in SUITES if any(suite in reason for reason in done.summary["reasons"])}
    assert failed


@pytest.mark.slow
def test_a_qlora_round_passes_too(turn: Demo) -> None:
    done = turn("tiny-qlora")
    assert done.summary["verdict"] == "pass", done.summary["reasons"]
    assert done.summary["learned"]["after"] >= 0.8
