"""What the labels alone say: task importance, odds and prior."""

from __future__ import annotations

import numpy as np
import pytest

from training.model.label_priors import SMALLEST_GAP, empirical_odds, log_prior, task_importance


def test_task_importance_is_the_formula_over_all_thresholds() -> None:
    ages = np.array([20, 20, 30, 40])
    older = np.array([(ages > t).sum() for t in range(100)])
    expected = np.sqrt(np.maximum(older, 4 - older))
    np.testing.assert_allclose(task_importance(ages, ages), expected / expected.max())


def test_task_importance_does_not_shift_with_the_smallest_age() -> None:
    importance = task_importance(np.array([30, 30, 40]), np.array([30, 30, 40]))
    assert importance[0] == importance[99] == 1
    assert importance[30] == pytest.approx(np.sqrt(2 / 3))


def test_a_group_counts_only_at_thresholds_outside_it() -> None:
    low, high = np.array([25, 10, 50]), np.array([32, 10, 50])
    importance = task_importance(low, high)
    assert importance[27] == pytest.approx(np.sqrt(1 / 3))  # known: one younger, one older
    assert importance[24] == pytest.approx(np.sqrt(2 / 3))  # the group is older than 24


def test_odds_are_the_empirical_ones_where_every_age_is_present() -> None:
    ages = np.repeat(np.arange(101), 3)
    older = np.array([(ages > k).sum() for k in range(100)])
    np.testing.assert_allclose(empirical_odds(ages, ages), np.log((older + 0.5) / (303 - older + 0.5)))


def test_odds_fall_by_a_floor_over_empty_ages() -> None:
    odds = empirical_odds(np.array([10, 60]), np.array([10, 60]))
    assert -np.diff(odds)[30] == pytest.approx(SMALLEST_GAP)


def test_odds_of_groups_fall_too() -> None:
    rng = np.random.default_rng(0)
    low = rng.integers(0, 80, 50)
    assert np.diff(empirical_odds(low, low + rng.integers(0, 20, 50))).max() <= -SMALLEST_GAP * 0.999


def test_prior_is_the_share_of_each_age() -> None:
    prior = np.exp(log_prior(np.array([3] * 9 + [90]), np.array([3] * 9 + [90])))
    assert prior.sum() == pytest.approx(1)
    assert prior[3] / prior[90] == pytest.approx(9.5 / 1.5)


def test_a_group_is_spread_over_its_ages_in_the_prior() -> None:
    prior = np.exp(log_prior(np.array([10]), np.array([19])))
    np.testing.assert_allclose(prior[10:20], prior[0] * 0.6 / 0.5)


@pytest.mark.parametrize(("low", "high"), [([], []), ([5], [4]), ([0], [101]), ([-1], [3]), ([1, 2], [3])])
def test_labels_that_cannot_be_are_refused(low: list[int], high: list[int]) -> None:
    with pytest.raises(ValueError, match="labels need"):
        task_importance(np.array(low, dtype=int), np.array(high, dtype=int))
