"""Corrections and conformal tables against their plain formulas and against fresh draws."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from service.inference.distribution import AgeDistribution, Floats
from training.data.store import Integers
from training.evaluation.predictions import Predictions
from training.evaluation.reliability import claims, coverage
from training.measures.calibration import (
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


def bells(n: int, seed: int, claimed: float, real: float) -> tuple[Floats, Integers]:
    """Distributions of a claimed spread in years around centres, and ages that really spread by `real`."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(20, 70, n)
    weights = np.exp(-((np.arange(101) - centers[:, None]) ** 2) / (2 * claimed**2))
    ages = np.round(rng.normal(centers, real)).clip(0, 100).astype(np.int64)
    return weights / weights.sum(axis=1, keepdims=True), ages


def sharpness_found(pmf: Floats, low: Integers, high: Integers) -> Floats:
    """What the correction multiplies log odds by in the middle ages."""
    younger, older = fit_correction(pmf, low, high).exponents(np.array([30.0, 40.0, 50.0, 60.0]))
    return np.sqrt(younger * older)


def log_odds(pmf: Floats) -> Floats:
    """Return the log odds of P(age ≤ k), k = 0..99."""
    younger = np.cumsum(pmf, axis=1)[:, :-1]
    return np.asarray(np.log(younger) - np.log(np.cumsum(pmf[:, :0:-1], axis=1)[:, ::-1]))


def test_no_correction_changes_nothing() -> None:
    pmf, _ = bells(3, 0, 4, 4)
    assert Correction().applied(pmf) == pytest.approx(pmf, abs=1e-12)


def test_a_sharpness_multiplies_all_log_odds_and_a_shift_is_added_to_them() -> None:
    pmf, _ = bells(3, 0, 8, 4)
    every = len(KNOTS)
    near = np.abs(log_odds(pmf)) < 8
    corrected = Correction((np.log(2.0),) * every, shift=(0.5,) * every).applied(pmf)
    assert corrected.sum(axis=1) == pytest.approx([1, 1, 1])
    assert log_odds(corrected)[near] == pytest.approx((2 * log_odds(pmf) + 0.5)[near], abs=1e-6)


def test_a_skew_makes_the_younger_side_thinner_and_the_older_one_thicker() -> None:
    pmf, _ = bells(3, 0, 8, 4)
    skewed = Correction(skew=(0.3,) * len(KNOTS)).applied(pmf)
    tails = [np.cumsum(each, axis=1)[:, :-1] for each in (pmf, skewed)]
    assert (tails[1][tails[0] < 0.2] < tails[0][tails[0] < 0.2]).all()
    assert (tails[1][tails[0] > 0.8] < tails[0][tails[0] > 0.8]).all()


def test_curves_are_linear_between_the_knots_and_follow_the_mean_age() -> None:
    correction = Correction(tuple(np.arange(len(KNOTS)) / 10))
    younger, older = correction.exponents(np.array([0.0, KNOTS[1], (KNOTS[1] + KNOTS[2]) / 2, 100.0]))
    assert np.log(younger) == pytest.approx([0, 0.1, 0.15, 0.8])
    assert younger == pytest.approx(older)


@pytest.mark.parametrize(("grouped", "claimed", "around"), [(False, 4, 0.0), (True, 4, 0.0), (False, 0.5, -2.0)])
def test_the_gradient_of_the_fit_is_that_of_its_loss(
    grouped: bool, claimed: float, around: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pmf, ages = bells(50, 1, claimed=claimed, real=6)
    low, high = (ages // 5 * 5, ages // 5 * 5 + 4) if grouped else (ages, ages)
    seen: list[tuple[float, Floats, Floats]] = []

    def look(loss: Callable[[Floats], tuple[float, Floats]], start: Floats, **_: object) -> SimpleNamespace:
        point = np.random.default_rng(2).normal(0, 0.2, len(start))
        point[: len(KNOTS)] += around
        steps = 1e-6 * np.eye(len(start))
        slopes = [(loss(point + step)[0] - loss(point - step)[0]) / 2e-6 for step in steps]
        seen.append((*loss(point), np.array(slopes)))
        return SimpleNamespace(x=point)

    monkeypatch.setattr("training.measures.calibration.minimize", look)
    fit_correction(pmf, low, high)
    *_, (_, told, measured) = seen
    assert told == pytest.approx(measured, abs=1e-6)
    assert np.abs(measured).max() > 0.1


def test_a_spread_that_is_claimed_too_small_is_widened_at_every_age() -> None:
    pmf, ages = bells(4000, 1, claimed=3, real=6)
    assert sharpness_found(pmf, ages, ages) == pytest.approx(0.5, rel=0.25)


def test_a_calibrated_model_keeps_its_spread() -> None:
    pmf, ages = bells(4000, 2, claimed=5, real=5)
    assert sharpness_found(pmf, ages, ages) == pytest.approx(1.0, rel=0.1)


def test_a_mixture_of_right_distributions_is_too_wide_and_is_sharpened() -> None:
    """Two experts, each right given what it has seen: their mean says less than both know."""
    rng = np.random.default_rng(3)
    seen, ages = rng.normal(0, 6, (2, 8000)), np.arange(101)
    true = np.round(45 + seen.sum(axis=0) + rng.normal(0, 3, 8000)).clip(0, 100).astype(np.int64)
    experts = np.exp(-((ages - 45 - seen[:, :, None]) ** 2) / (2 * 45.0))
    mixed = (experts / experts.sum(axis=2, keepdims=True)).mean(axis=0)
    corrected = fit_correction(mixed[:4000], true[:4000], true[:4000]).applied(mixed[4000:])
    errors = [claims(Predictions.of(each, true[4000:]), 40).errors() for each in (mixed[4000:], corrected)]
    assert errors[0]["ece"] > 2 * errors[0]["ece_by_chance_95"]
    assert errors[1]["ece"] < errors[1]["ece_by_chance_95"]


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
    found = fit_correction(pmf, ages, ages)
    assert np.ptp(found.log_sharpness) < 0.2
    fresh, true = bells(4000, 99, claimed=5, real=5)
    losses = [ranked_probability_score(each, true).mean() for each in (fresh, found.applied(fresh))]
    assert losses[1] < 1.06 * losses[0]


def test_few_faces_are_enough_to_take_out_a_bias() -> None:
    pmf, ages = bells(50, 6, claimed=6, real=6)
    corrected = fit_correction(pmf, (ages + 10).clip(0, 100), (ages + 10).clip(0, 100))
    fresh, true = bells(4000, 99, claimed=6, real=6)
    assert abs((corrected.applied(fresh) @ np.arange(101) - true - 10).mean()) < 2


def test_a_few_mislabelled_faces_do_not_decide_the_spread() -> None:
    pmf, ages = bells(4000, 2, claimed=5, real=5)
    ages[:80] = np.where(ages[:80] < 45, 95, 1)
    assert sharpness_found(pmf, ages, ages).min() > 0.75


def test_groups_of_ages_calibrate_too() -> None:
    pmf, ages = bells(4000, 3, claimed=3, real=6)
    low = ages // 5 * 5
    assert sharpness_found(pmf, low, low + 4) == pytest.approx(0.5, rel=0.35)


def test_an_empty_split_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="calib split is empty"):
        fit_correction(np.empty((0, 101)), np.empty(0, np.int64), np.empty(0, np.int64))


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
    assert bands_of(predicted) == [(0, 20), (20, 30), (30, 101)]


def test_few_faces_make_one_band() -> None:
    assert bands_of(np.array([30.0])) == [(0, 101)]


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


def test_few_faces_of_a_calibrated_network_leave_it_about_as_good_as_it_is() -> None:
    fresh, true = bells(4000, 99, claimed=5, real=5)
    before = ranked_probability_score(fresh, true).mean()
    for seed in range(8):
        pmf, ages = bells(40, seed, claimed=5, real=5)
        after = ranked_probability_score(fit_correction(pmf, ages, ages).applied(fresh), true).mean()
        assert after < 1.03 * before, seed


def test_one_face_corrects_nothing() -> None:
    pmf, ages = bells(1, 0, claimed=5, real=5)
    assert fit_correction(pmf, ages, ages) == Correction()
