"""Distributions over age: every number of the reply is arithmetic on one pmf."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from service.inference.distribution import AGES, AgeDistribution, Floats, IntervalBand
from service.inference.faces import BoundingBox

weights = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).gamma(0.1, size=AGES))
pmfs = st.one_of(weights, arrays(np.float64, AGES, elements=st.floats(0, 1))).filter(lambda values: values.sum() > 0.1)


def one_hot(age: int) -> Floats:
    pmf = np.zeros(AGES)
    pmf[age] = 1.0
    return pmf


@given(pmfs)
def test_threshold_probabilities_are_100_and_never_rise(values: Floats) -> None:
    thresholds = AgeDistribution.of(values).threshold_probabilities
    assert thresholds.shape == (100,)
    assert (np.diff(thresholds) <= 0).all()
    assert thresholds.min() >= 0
    assert thresholds.max() <= 1


@given(pmfs)
def test_mean_age_is_the_sum_of_threshold_probabilities(values: Floats) -> None:
    distribution = AgeDistribution.of(values)
    assert distribution.mean == pytest.approx(distribution.threshold_probabilities.sum(), abs=1e-6)


@given(pmfs)
def test_variance_is_the_second_moment_about_the_mean(values: Floats) -> None:
    pmf = values / values.sum()
    ages = np.arange(AGES)
    assert AgeDistribution.of(values).variance == pytest.approx(pmf @ ages**2 - (pmf @ ages) ** 2, abs=1e-6)


def test_a_certain_age_is_its_own_median() -> None:
    distribution = AgeDistribution.of(one_hot(31))
    assert distribution.median == 31
    assert distribution.variance == 0


def test_the_median_of_two_equal_neighbours_lies_between_them() -> None:
    assert AgeDistribution.of((one_hot(30) + one_hot(31)) / 2).median == 30.5


def test_at_least_reads_the_threshold_below() -> None:
    distribution = AgeDistribution.of((one_hot(17) + 3 * one_hot(18)) / 4)
    assert distribution.at_least(18) == distribution.threshold_probabilities[17] == 0.75


@pytest.mark.parametrize("age", [0, 101])
def test_at_least_refuses_ages_that_no_threshold_has(age: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.100"):
        AgeDistribution.of(one_hot(5)).at_least(age)


@given(pmfs, st.floats(0.5, 0.98), st.floats(0.001, 0.01))
def test_intervals_are_nested_in_the_level(values: Floats, level: float, more: float) -> None:
    bands = (IntervalBand(-1, 101, (0.5, 0.9, 0.99), (0.4, 0.85, 0.97)),)
    distribution = AgeDistribution.of(values)
    low, high = distribution.interval(level, bands, distribution.median)
    wider_low, wider_high = distribution.interval(level + more, bands, distribution.median)
    assert wider_low <= low <= high <= wider_high


def test_an_interval_without_a_table_holds_its_level() -> None:
    uniform = AgeDistribution.of(np.ones(AGES))
    low, high = uniform.interval(0.9, (), 50)
    assert 0.88 <= uniform.pmf[low : high + 1].sum() <= 0.92


def test_the_band_of_the_predicted_age_decides_the_width() -> None:
    uniform = AgeDistribution.of(np.ones(AGES))
    bands = (IntervalBand(0, 40, (0.9,), (0.2,)), IntervalBand(40, 101, (0.9,), (0.8,)))
    narrow, wide = (uniform.interval(0.9, bands, age) for age in (20, 60))
    assert narrow[1] - narrow[0] < wide[1] - wide[0]


@pytest.mark.parametrize("pmf", [np.ones(AGES), np.zeros(AGES), np.full(AGES, np.nan), np.ones(7) / 7])
def test_what_is_no_distribution_is_refused(pmf: Floats) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        AgeDistribution(pmf)


def test_boxes_overlap_by_intersection_over_union() -> None:
    box = BoundingBox(0, 0, 10, 10)
    assert box.overlap(BoundingBox(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert box.overlap(BoundingBox(20, 0, 10, 10)) == 0


def test_an_interval_is_that_of_the_band_that_holds_the_distributions_own_width() -> None:
    narrow, wide = (AgeDistribution.of(np.exp(-((np.arange(101) - 40) ** 2) / (2 * s**2))) for s in (3.0, 8.0))
    bands = [
        IntervalBand(0, 101, (0.9,), (0.5,), narrowest=0.0, widest=5.0),
        IntervalBand(0, 101, (0.9,), (0.99,), narrowest=5.0),
    ]
    assert narrow.interval(0.9, bands, 40.0) == narrow.interval(0.5, (), 40.0)
    assert wide.interval(0.9, bands, 40.0) == wide.interval(0.99, (), 40.0)
