"""Paired intervals against published values, and by simulated coverage."""

import numpy as np
import pytest

from pipelines.gate.statistics import (
    alpha_for,
    cluster_bootstrap,
    items_needed,
    min_items,
    paired_interval,
    score_bounds,
    upper_bound_of_share,
)

# Two-sided 95 % intervals of (gains - losses) / n, so each bound at alpha = .025.
PUBLISHED = [
    # Fagerland, Lydersen & Laake 2014 (Stat Med 33:2850): airway hyper-responsiveness, complete response
    (1, 7, 21, -0.517, -0.026),
    (6, 16, 161, -0.124, -0.005),
    # Tango 1998 (Stat Med 17:891): soft contact lenses
    (0, 1, 44, -0.118, 0.059),
]


@pytest.mark.parametrize(("gains", "losses", "n", "lower", "upper"), PUBLISHED)
def test_score_bounds_equal_the_published_ones(gains: int, losses: int, n: int, lower: float, upper: float) -> None:
    assert score_bounds(gains, losses, n, alpha=0.025) == pytest.approx((lower, upper), abs=6e-4)


def test_score_bounds_swap_sign_with_the_models() -> None:
    lower, upper = score_bounds(14, 9, 300)
    assert score_bounds(9, 14, 300) == pytest.approx((-upper, -lower), abs=1e-9)


def test_no_flip_at_all_still_leaves_doubt() -> None:
    # With b = c = 0 the score test solves to z^2 / (n + z^2).
    lower, upper = score_bounds(0, 0, 600)
    assert (lower, upper) == pytest.approx((-0.00449, 0.00449), abs=1e-5)


@pytest.mark.parametrize(("gains", "losses", "n"), [(-1, 0, 10), (6, 5, 10), (0, 0, 0)])
def test_score_bounds_refuse_impossible_tables(gains: int, losses: int, n: int) -> None:
    with pytest.raises(ValueError, match="no paired table"):
        score_bounds(gains, losses, n)


@pytest.mark.parametrize(("discordance", "difference"), [(0.05, 0.0), (0.05, -0.03), (0.1, -0.06), (0.02, 0.0)])
def test_one_sided_score_bounds_cover_as_often_as_they_say(discordance: float, difference: float) -> None:
    random = np.random.default_rng(7)
    up, down = (discordance + difference) / 2, (discordance - difference) / 2
    tables = random.multinomial(600, [up, down, 1 - up - down], size=1500)
    bounds = np.array([score_bounds(int(gains), int(losses), 600) for gains, losses, _ in tables])
    assert np.mean(bounds[:, 0] <= difference) == pytest.approx(0.95, abs=0.02)
    assert np.mean(bounds[:, 1] >= difference) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("clusters", "size"), [(40, 1), (200, 1), (60, 5)])
def test_cluster_bootstrap_covers_as_often_as_it_says(clusters: int, size: int) -> None:
    random = np.random.default_rng(3)
    names = [str(cluster) for cluster in range(clusters) for _ in range(size)]
    covered = 0
    for seed in range(300):
        shared = np.repeat(random.normal(0.1, 0.2, clusters), size)
        interval = cluster_bootstrap(shared + random.normal(0, 0.1, clusters * size), names, seed=seed, resamples=800)
        covered += interval.lower <= 0.1
    assert covered / 300 == pytest.approx(0.95, abs=0.035)


def test_ignoring_clusters_would_be_overconfident() -> None:
    shared = np.repeat(np.random.default_rng(0).normal(0, 0.3, 40), 10)
    clustered = cluster_bootstrap(shared, [str(i // 10) for i in range(400)])
    assert clustered.upper - clustered.lower > 2 * (cluster_bootstrap(shared).upper - cluster_bootstrap(shared).lower)


def test_the_same_seed_gives_the_same_bounds() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert cluster_bootstrap(values, seed=5) == cluster_bootstrap(values, seed=5)


def test_binary_items_get_the_score_interval_and_graded_ones_the_bootstrap() -> None:
    binary = paired_interval([1, 1, 0] * 100, [1, 0, 1] * 100)
    assert (binary.lower, binary.upper) == score_bounds(100, 100, 300)
    graded = paired_interval([0.5, 0.7, 0.2] * 100, [0.5, 0.6, 0.3] * 100)
    assert graded.lower < 0 < graded.upper and abs(graded.difference) < 1e-12


def test_equal_graded_scores_have_a_difference_of_exactly_zero() -> None:
    interval = paired_interval([0.25] * 40, [0.25] * 40)
    assert (interval.lower, interval.difference, interval.upper) == (0, 0, 0)


@pytest.mark.parametrize(("margin", "items"), [(0.03, 200), (0.02, 200), (0.01, 300), (0.005, 600)])
def test_small_margins_need_more_items(margin: float, items: int) -> None:
    assert min_items(margin) == items


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_all_looks_of_a_round_together_may_err_as_often_as_one(looks: int) -> None:
    spent = sum(alpha_for(attempt, looks) for attempt in range(1, looks + 1))
    assert spent == pytest.approx(0.05)


def test_a_look_beyond_the_last_is_refused() -> None:
    with pytest.raises(ValueError, match="attempt 4 of at most 3"):
        alpha_for(4, 3)


def test_items_needed_agree_with_the_table_of_paired_sample_sizes() -> None:
    # 6.18 D / margin^2 at 80 % power: D = 5 %, margin 2 points -> 771 (SCIENCE section 3).
    even = paired_interval([1] * 5 + [0] * 5 + [1] * 190, [0] * 5 + [1] * 5 + [1] * 190)
    assert items_needed(even, -0.02) == pytest.approx(771, abs=4)


def test_upper_bound_of_a_share_is_wilsons() -> None:
    # Newcombe 1998 (Stat Med 17:857): 81 of 263, 95 % two-sided score interval .2553 to .3662
    assert upper_bound_of_share(81, 263, alpha=0.025) == pytest.approx(0.3662, abs=1e-4)
