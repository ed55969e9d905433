"""Corrections and conformal tables against their plain formulas and against fresh draws."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.distribution import AgeDistribution
from training.evaluation.predictions import Predictions
from training.evaluation.reliability import coverage
from training.export.calibration import (
    KNOTS,
    LEVELS,
    Correction,
    age_mix,
    balanced,
    bands_of,
    conformal_quantiles,
    conformal_table,
    conformity,
    decoded,
    fit_correction,
    ranked_probability_score,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def bells(n: int, seed: int, claimed: float, real: float) -> tuple[Floats, Integers]:
    """Distributions of a claimed spread in years around centres, and ages that really spread by `real`."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(20, 70, n)
    weights = np.exp(-((np.arange(101) - centers[:, None]) ** 2) / (2 * claimed**2))
    ages = np.round(rng.normal(centers, real)).clip(0, 100).astype(np.int64)
    return weights / weights.sum(axis=1, keepdims=True), ages


def temperature_found(pmf: Floats, low: Integers, high: Integers) -> Floats:
    return fit_correction(pmf, low, high).temperatures(np.array([30.0, 40.0, 50.0, 60.0]))


def test_no_correction_changes_nothing_and_a_temperature_of_two_takes_the_root() -> None:
    pmf, _ = bells(3, 0, 4, 4)
    root = np.sqrt(pmf)
    assert Correction().applied(pmf) == pytest.approx(pmf, abs=1e-12)
    two = Correction.of_temperature(2.0).applied(pmf)
    assert two == pytest.approx(root / root.sum(axis=1, keepdims=True), abs=1e-9)


def test_a_tilt_moves_a_bell_by_its_variance() -> None:
    pmf, _ = bells(5, 0, 4, 4)
    moved = Correction(tilts=(0.1,) * len(KNOTS)).applied(pmf)
    assert (moved - pmf) @ np.arange(101) == pytest.approx(np.full(5, 0.1 * 4**2), rel=0.01)


def test_the_temperature_that_was_put_in_is_found_at_every_age() -> None:
    pmf, ages = bells(4000, 1, claimed=3, real=6)
    assert temperature_found(pmf, ages, ages) == pytest.approx(4.0, rel=0.25)


def test_a_calibrated_model_keeps_its_temperature() -> None:
    pmf, ages = bells(4000, 2, claimed=5, real=5)
    assert temperature_found(pmf, ages, ages) == pytest.approx(1.0, rel=0.2)


def test_a_bias_that_depends_on_age_is_taken_out() -> None:
    pmf, ages = bells(4000, 4, claimed=5, real=5)
    late = np.minimum(ages + np.maximum(ages - 40, 0) // 5, 100)
    corrected = fit_correction(pmf, late, late).applied(pmf)
    old = pmf @ np.arange(101) > 55
    before, after = ((decoded(each, "mean") - late)[old].mean() for each in (pmf, corrected))
    assert before < -2
    assert abs(after) < 0.5


def test_ten_faces_cannot_bend_the_curves() -> None:
    pmf, ages = bells(10, 5, claimed=5, real=5)
    assert np.ptp(fit_correction(pmf, ages, ages).log_temperatures) < 0.2


def test_a_few_mislabelled_faces_do_not_decide_the_temperature() -> None:
    pmf, ages = bells(4000, 2, claimed=5, real=5)
    ages[:80] = np.where(ages[:80] < 45, 95, 1)
    assert temperature_found(pmf, ages, ages).max() < 1.7


def test_groups_of_ages_calibrate_too() -> None:
    pmf, ages = bells(4000, 3, claimed=3, real=6)
    low = ages // 5 * 5
    assert temperature_found(pmf, low, low + 4) == pytest.approx(4.0, rel=0.35)


def test_an_empty_split_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="calib split is empty"):
        fit_correction(np.empty((0, 101)), np.empty(0, np.int64), np.empty(0, np.int64))


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_temperature_must_be_positive(value: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Correction.of_temperature(value)


def test_conformity_is_twice_the_distance_of_the_middle_from_a_half() -> None:
    pmf = np.zeros((1, 101))
    pmf[0, [10, 20, 30]] = [0.2, 0.5, 0.3]
    scores = [conformity(pmf, np.array([age]))[0] for age in (10, 20, 30, 90)]
    assert scores == pytest.approx([2 * 0.4, 2 * 0.05, 2 * 0.35, 1.0])


def test_quantiles_have_the_finite_sample_correction() -> None:
    scores = np.arange(1, 10) / 10
    assert conformal_quantiles(scores, (0.5, 0.8, 0.9, 0.99)) == pytest.approx((0.5, 0.8, 0.9, 1.0))


def test_bands_are_decades_joined_until_each_holds_enough() -> None:
    predicted = np.repeat([5.0, 15, 25, 35, 75], [50, 120, 200, 200, 10])
    assert bands_of(predicted, 150) == [(0, 20), (20, 30), (30, 101)]


def test_few_faces_make_one_band() -> None:
    assert bands_of(np.array([30.0]), 150) == [(0, 101)]


@pytest.mark.parametrize("claimed", [1.5, 5.0, 15.0])
def test_intervals_cover_fresh_faces_at_their_level_however_wrong_the_claimed_spread(claimed: float) -> None:
    pmf, ages = bells(4000, 4, claimed, real=6)
    bands = [table.band() for table in conformal_table(pmf, ages, ages, decoded(pmf, "median"))]
    fresh = Predictions.of(*bells(4000, 5, claimed, real=6))
    assert coverage(fresh, 0.9, bands)["coverage"] == pytest.approx(0.9, abs=0.02)
    assert coverage(fresh, 0.5, bands)["coverage"] == pytest.approx(0.5, abs=0.03)


def test_each_band_covers_where_one_table_for_all_would_not() -> None:
    pmf, ages = bells(6000, 6, claimed=5, real=5)
    predicted = decoded(pmf, "median")
    wide = np.random.default_rng(0).normal(0, 12, len(ages)).round().astype(np.int64)
    ages = np.where(predicted > 45, (ages + wide).clip(0, 100), ages)
    bands = [table.band() for table in conformal_table(pmf, ages, ages, predicted)]
    rows = coverage(Predictions.of(pmf, ages), 0.9, bands)["bands"]
    assert [row["coverage"] for row in rows if row["n"] >= 300] == pytest.approx([0.9] * 5, abs=0.03)


def test_intervals_of_a_table_are_nested_in_the_level() -> None:
    pmf, ages = bells(800, 7, claimed=2, real=6)
    bands = [table.band() for table in conformal_table(pmf, ages, ages, decoded(pmf, "median"))]
    distribution = AgeDistribution.of(pmf[0])
    found = [distribution.interval(float(level), bands, distribution.median) for level in np.linspace(0.5, 0.99, 50)]
    lows, highs = zip(*found, strict=True)
    assert list(lows) == sorted(lows, reverse=True)
    assert list(highs) == sorted(highs)
    assert found[0] != found[-1]


def test_levels_reach_from_a_half_to_99_percent_and_rise() -> None:
    assert (LEVELS[0], LEVELS[-1], list(LEVELS)) == (0.5, 0.99, sorted(set(LEVELS)))


def test_the_score_of_a_point_is_its_distance_in_years() -> None:
    assert ranked_probability_score(np.eye(101)[[30]], np.array([37])) == pytest.approx([7])


def test_a_picture_is_measured_by_those_that_the_model_is_as_unsure_of() -> None:
    rng = np.random.default_rng(8)
    centers, claimed = rng.uniform(20, 70, 6000), rng.uniform(3, 8, 6000)
    weights = np.exp(-((np.arange(101) - centers[:, None]) ** 2) / (2 * claimed[:, None] ** 2))
    pmf = weights / weights.sum(axis=1, keepdims=True)
    ages = np.round(rng.normal(centers, claimed**2 / 5)).clip(0, 100).astype(np.int64)
    unsure = Predictions.of(pmf, ages).where(claimed > 7)
    found = []
    for widths in (1, 3):
        bands = [table.band() for table in conformal_table(pmf, ages, ages, decoded(pmf, "median"), widths=widths)]
        found.append(coverage(unsure, 0.9, bands)["coverage"])
    assert found[0] < 0.84
    assert found[1] == pytest.approx(0.9, abs=0.03)


def test_each_kind_of_picture_is_covered_and_not_only_their_mixture() -> None:
    pmf, ages = bells(6000, 9, claimed=5, real=3)
    worse, worse_ages = bells(3000, 10, claimed=5, real=6)
    both, both_ages = np.concatenate([pmf, worse]), np.concatenate([ages, worse_ages])
    found = []
    for kinds in (None, np.repeat([0, 1], [len(ages), len(worse_ages)])):
        tables = conformal_table(both, both_ages, both_ages, decoded(both, "median"), kinds=kinds)
        bands = [table.band() for table in tables]
        found.append(coverage(Predictions.of(worse, worse_ages), 0.9, bands)["coverage"])
    assert found[0] < 0.86
    assert found[1] == pytest.approx(0.9, abs=0.02)


def test_a_kind_of_too_few_faces_counts_with_the_others_and_makes_no_interval_endless() -> None:
    pmf, ages = bells(300, 11, claimed=5, real=3)
    worse, worse_ages = bells(40, 12, claimed=5, real=9)
    both, both_ages = np.concatenate([pmf, worse]), np.concatenate([ages, worse_ages])
    for few in (20, 40):
        kinds = np.repeat([0, 1], [len(both) - few, few])
        tables = conformal_table(both, both_ages, both_ages, decoded(both, "median"), kinds=kinds)
        bands = [table.band() for table in tables]
        assert coverage(Predictions.of(both, both_ages), 0.9, bands)["coverage"] >= 0.9
        assert all(list(table.scores) == sorted(table.scores) and table.scores[-1] < 1 for table in tables)


def test_every_width_falls_into_one_band_of_its_age() -> None:
    pmf, ages = bells(2000, 10, claimed=5, real=5)
    bands = [table.band() for table in conformal_table(pmf, ages, ages, decoded(pmf, "median"), widths=3)]
    assert len({(band.low, band.narrowest) for band in bands}) == len(bands) > len({band.low for band in bands})
    for age, width in product((0.0, 25.0, 100.0), (0.0, 4.9, 5.0, 5.1, 50.0)):
        assert sum(band.holds(age, width) for band in bands) == 1


def test_the_youngest_are_0_or_1_and_both_are_right() -> None:
    pmf = np.zeros((2, 101))
    pmf[0, 0] = pmf[1, 1] = 1
    low, high = np.array([0, 0]), np.array([1, 1])
    assert ranked_probability_score(pmf, low, high) == pytest.approx([0, 0])
    assert ranked_probability_score(pmf, low) == pytest.approx([0, 1])
    assert conformity(pmf, low, high) == pytest.approx([0, 0])


def test_ages_below_27_that_somebody_has_are_lifted() -> None:
    ages = np.repeat(np.arange(101), np.where(np.arange(101) < 40, np.where(np.arange(101) < 12, 0, 40), 160))
    mix = age_mix(ages, ages)
    assert balanced(ages, ages, 0) == pytest.approx(mix)
    for balance in (0.5, 1):
        lifted = balanced(ages, ages, balance)
        assert lifted.sum() == pytest.approx(1)
        growth = lifted / mix / (lifted / mix)[60]
        assert growth[14:27] == pytest.approx((mix[27] / mix[14:27]) ** balance)
        assert growth[[*range(6), *range(27, 101)]] == pytest.approx(np.ones(80))
    # Adults only: nothing is known of minors, so there are none in any mix.
    adults = np.repeat(np.arange(30, 60), 100)
    assert balanced(adults, adults, 1) == pytest.approx(age_mix(adults, adults))
