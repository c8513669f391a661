"""Bets that may be looked at at any time: what they never do when the sentence is true, and how soon they win if not."""

import numpy as np
import pytest

from pipelines.gate.sequential import bet_against_mean, bet_on_larger_share

ALPHA = 0.01
AT_MOST = 12  # of 500 at a rate of .01: more in one case of a thousand


@pytest.mark.parametrize(("before", "after"), [(0.02, 0.02), (0.2, 0.2), (0.5, 0.5), (0.3, 0.2)])
@pytest.mark.parametrize("each", [1, 3])
def test_an_equal_or_smaller_share_is_taken_for_a_larger_one_in_at_most_one_case_of_a_hundred(
    before: float, after: float, each: int
) -> None:
    random = np.random.default_rng(5)
    draws = ((random.random(600 * each) < before, random.random(600) < after) for _ in range(500))
    assert sum(bet_on_larger_share(*draw, ALPHA, each).passed_after is not None for draw in draws) <= AT_MOST


def test_a_true_mean_is_doubted_in_at_most_one_case_of_a_hundred() -> None:
    random = np.random.default_rng(6)
    alarms = sum(bet_against_mean(random.beta(2, 2, 400), 0.5, ALPHA).passed_after is not None for _ in range(500))
    assert alarms <= AT_MOST


def test_a_larger_share_is_found_the_sooner_the_larger_it_is() -> None:
    random = np.random.default_rng(7)
    before = random.random(3000) < 0.2
    found = [bet_on_larger_share(before, random.random(3000) < share, ALPHA).passed_after for share in (0.3, 0.5, 0.9)]
    assert all(found) and found == sorted(found, reverse=True) and (found[-1] or 99) <= 20  # type: ignore[type-var]


def test_more_earlier_values_to_one_later_one_find_it_sooner() -> None:
    random = np.random.default_rng(8)
    before, after = random.random(4000) < 0.2, random.random(1000) < 0.35
    alone, four = (bet_on_larger_share(before, after, ALPHA, each).passed_after for each in (1, 4))
    assert four is not None and alone is not None and four < alone


def test_an_alarm_stays_when_later_values_are_good() -> None:
    seen = bet_against_mean([1.0] * 20 + [0.0] * 500, 0.3, ALPHA)
    assert seen.passed_after is not None and seen.passed_after <= 20


def test_nothing_seen_is_no_evidence_and_a_bound_of_one_cannot_be_passed() -> None:
    assert bet_against_mean([], 0.3, ALPHA).passed_after is None
    assert bet_against_mean([1.0] * 50, 1.0, ALPHA).passed_after is None
    assert bet_on_larger_share([], [1.0] * 9, ALPHA).passed_after is None
