"""Metrics against their plain formulas on small tables."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.age_mix import mix_of, stated_for
from training.evaluation.metrics import (
    accuracy,
    by_decade,
    by_group,
    challenge_25,
    constant_row,
    error_with_missed,
    humps,
    probability_integral_transform,
)
from training.evaluation.predictions import Predictions
from training.evaluation.reliability import (
    LEGAL_AGES,
    Claims,
    binomial_interval,
    coverage,
    gate,
    reliability,
    standing_for,
)
from training.evaluation.summary import summarise, summarise_sources
from training.export.card import reliability_line
from training.measures.calibration import age_mix
from training.measures.validation import bootstrap


def bells(centers: NDArray[np.float64], sigma: float = 3.0) -> NDArray[np.float64]:
    weights = np.exp(-((np.arange(101) - centers[:, None]) ** 2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def honest(n: int = 4000, seed: int = 0) -> Predictions:
    """Ages drawn from the very distributions that predict them."""
    rng = np.random.default_rng(seed)
    pmf = bells(rng.uniform(10, 70, n))
    ages = (pmf.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return Predictions.of(pmf, np.minimum(ages, 100))


def points(
    predicted: list[int],
    low: list[int],
    high: list[int] | None = None,
    sex: list[str] | None = None,
    source: list[str] | None = None,
) -> Predictions:
    return Predictions.of(np.eye(101)[predicted], low, high, sex=sex, source=source)


def test_mae_bias_and_cumulative_score_of_known_errors() -> None:
    row = accuracy(points([10, 20, 30, 40], [12, 20, 24, 34]))
    assert (row["mae"], row["bias"], row["cs5"]) == pytest.approx((3.5, 2.5, 0.5))


def test_an_age_inside_a_group_is_no_error_and_outside_counts_from_its_border() -> None:
    found = points([5, 3, 9], [4, 4, 4], [6, 6, 6])
    assert found.bias == pytest.approx([0, -1, 3])


def test_crps_equals_its_plain_double_sum() -> None:
    pmf = bells(np.array([20.0, 33.0]))
    expected = [
        sum((pmf[i, : k + 1].sum() - (1 if y <= k else 0)) ** 2 for k in range(101)) for i, y in enumerate([25, 30])
    ]
    assert Predictions.of(pmf, [25, 30]).crps == pytest.approx(expected)


def test_crps_of_a_point_is_its_absolute_error() -> None:
    assert points([10, 50], [13, 50]).crps == pytest.approx([3, 0])


def test_the_likelihood_of_a_group_is_its_total_probability() -> None:
    found = Predictions.of(np.full((1, 101), 1 / 101), [8], [12])
    assert found.nll == pytest.approx([-np.log(5 / 101)])


def test_a_bootstrap_interval_has_the_width_of_the_standard_error() -> None:
    values = np.random.default_rng(0).normal(10, 2, 400)
    low, high = bootstrap(values)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.15)


def test_decades_split_by_the_given_years_and_leave_out_empty_ones() -> None:
    found = points([5, 15, 95], [9, 10, 100])
    assert [(row["group"][:2], row["n"]) for row in by_decade(found, found.middle)] == [("0–", 1), ("10", 1), ("90", 1)]


def test_the_young_are_split_every_five_years_from_5_to_29() -> None:
    found = points([8, 9, 14, 31, 40], [4, 5, 14, 29, 30])
    rows = summarise(found, (), 30.0)["by_five_years"]
    assert [(row["group"], row["n"], row["bias"]) for row in rows] == [("5–9", 1, 4), ("10–14", 1, 0), ("25–29", 1, 2)]


def test_groups_leave_out_what_is_not_known() -> None:
    found = points([10, 20, 30], [10, 22, 34], sex=["female", "male", ""])
    assert [(row["group"], row["mae"]) for row in by_group(found, found.sex)] == [("female", 0), ("male", 2)]


def test_challenge_25_counts_only_minors_and_only_from_25() -> None:
    row = challenge_25(points([25, 24, 40, 30], [17, 17, 10, 18]))
    assert (row["n"], row["rate"]) == (3, pytest.approx(2 / 3))


def test_a_constant_answer_scores_its_distance() -> None:
    assert constant_row(points([1, 2], [10, 40]), 20.0)["mae"] == pytest.approx(15)


def test_missed_photographs_are_answered_with_the_constant() -> None:
    assert error_with_missed(points([10], [12]), [(30, 30), (18, 25)], 20.0) == pytest.approx((2 + 10 + 0) / 3)


def test_the_randomised_pit_of_an_honest_model_is_uniform() -> None:
    histogram = np.histogram(probability_integral_transform(honest()), bins=10, range=(0, 1))[0]
    assert histogram / 4000 == pytest.approx(np.full(10, 0.1), abs=0.02)


def test_the_pit_of_a_certain_and_right_model_is_spread_over_its_one_step() -> None:
    transform = probability_integral_transform(points([30] * 1000, [30] * 1000))
    assert (transform.min() < 0.05, transform.max() > 0.95) == (True, True)


def test_calibration_error_is_the_gap_of_each_bin_weighted_by_count() -> None:
    probability = np.repeat([0.2, 0.6], [5, 5])
    happened = np.array([1, 1, 0, 0, 0, 1, 1, 1, 0, 0], dtype=bool)
    even = Claims(probability, happened, np.ones((2, 10)), probability)
    assert even.error(bins=2) == pytest.approx(0.5 * 0.2 + 0.5 * 0.0)
    # Those of whom it was true count six times as much: 12 of 15 in the first half, 18 of 20 in the second.
    heavy = Claims(probability, happened, np.repeat([[1.0], [6.0]], 10, axis=1), probability)
    assert heavy.error(bins=2) == pytest.approx((15 * (12 / 15 - 0.2) + 20 * (18 / 20 - 0.6)) / 35)


def test_an_honest_model_stays_within_the_spread_by_chance_and_a_shifted_one_does_not() -> None:
    good = honest()
    shifted = Predictions.of(np.roll(good.pmf, 3, axis=1), good.low)
    row = reliability(good, 25)
    assert row["ece"] <= row["ece_by_chance_95"] * 1.5
    assert row["ece"] == row["as_they_come"]["ece"]
    assert reliability(shifted, 25)["ece"] > reliability(shifted, 25)["ece_by_chance_95"]


def test_probabilities_for_another_mix_of_ages_are_right_in_that_one() -> None:
    found = honest()
    own = age_mix(found.low, found.high)
    other = mix_of(own * np.where(np.arange(101) < 25, 3.0, 1.0))
    restated = Predictions.of(stated_for(found.pmf, own, other), found.low)
    row = reliability(restated, 25, other)
    assert row["ece"] < 1.5 * row["ece_by_chance_95"]
    assert row["as_they_come"]["ece"] > 2 * row["as_they_come"]["ece_by_chance_95"]
    # The diagram is of the weighed photographs too.
    assert all(abs(part["predicted"] - part["observed"]) < 0.06 for part in row["bins"])
    assert max(abs(part["predicted"] - part["observed"]) for part in reliability(restated, 25)["bins"]) > 0.1


def test_faces_stand_for_a_mix_of_ages_though_labels_heap_at_round_ones() -> None:
    rng = np.random.default_rng(3)
    exact = rng.integers(0, 80, 5000)
    heaped = np.where(rng.random(5000) < 0.5, (exact + 2) // 5 * 5, exact)
    other = mix_of(np.exp(-np.arange(101) / 30))
    counts = standing_for(heaped, heaped, other)[heaped]
    assert counts.mean() == pytest.approx(1)
    for age in LEGAL_AGES:
        assert counts[heaped >= age].sum() / 5000 == pytest.approx(other[age:].sum(), abs=1e-3)


def test_ages_of_the_mix_that_nobody_has_are_counted() -> None:
    mix = mix_of(np.where(np.arange(101) < 10, 2.0, 1.0))
    grown = points([30, 40, 50], [25, 41, 60])
    # 0 to 24, 50 to 59 and what lies beyond 70; 40 to 49 and 60 to 69 are there as a whole.
    expected = mix[:25].sum() + mix[30:40].sum() + mix[50:60].sum() + mix[70:].sum()
    assert reliability(grown, 18, mix)["mix_without_faces"] == pytest.approx(expected)
    assert reliability(grown, 18)["mix_without_faces"] == 0
    group = points([30, 70], [0, 60], [59, 100])  # labels of groups reach into all windows
    assert reliability(group, 18, mix)["mix_without_faces"] == 0


def test_what_chance_does_is_true_for_weighed_photographs_too() -> None:
    # Of an exact model half of the errors are above the median of those by chance.
    beyond = 0
    for seed in range(60):
        found = honest(400, seed)
        other = mix_of(np.where(np.arange(101) < 25, 4.0, 1.0))
        counts = standing_for(found.low, found.high, other)
        restated = Predictions.of(found.pmf * counts / (found.pmf * counts).sum(axis=1, keepdims=True), found.low)
        row = reliability(restated, 25, other)
        beyond += row["ece"] > row["ece_by_chance"]
    assert 15 <= beyond <= 45


def test_reliability_bins_are_of_equal_count_and_rise() -> None:
    bins = reliability(honest(), 18)["bins"]
    assert {part["n"] for part in bins} == {400}
    assert [part["predicted"] for part in bins] == sorted(part["predicted"] for part in bins)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(8, 10, 0.4439, 0.9748), (0, 10, 0, 0.3085), (10, 10, 0.6915, 1)]
)
def test_binomial_intervals_equal_published_values(hits: int, n: int, low: float, high: float) -> None:
    assert binomial_interval(hits, n) == pytest.approx((low, high), abs=1e-4)


def test_coverage_counts_true_ages_inside_both_ends() -> None:
    pmf = np.zeros((3, 101))
    pmf[:, 20:23] = [0.25, 0.5, 0.25]
    row = coverage(Predictions.of(pmf, [20, 22, 23]), 0.9, ())
    assert (row["coverage"], row["width"]) == (pytest.approx(2 / 3), 3)


def test_coverage_is_said_of_each_sex_and_race_and_of_nobody_unknown() -> None:
    pmf = np.zeros((4, 101))
    pmf[:, 20:23] = [0.25, 0.5, 0.25]
    found = Predictions.of(pmf, [20, 22, 23, 30], sex=["female", "male", "male", ""], race=["", "", "asian", "asian"])
    row = coverage(found, 0.9, ())
    assert [(each["group"], each["n"], each["coverage"]) for each in row["by_sex"]] == [
        ("female", 1, 1),
        ("male", 2, 0.5),
    ]
    assert [(each["group"], each["n"], each["coverage"]) for each in row["by_race"]] == [("asian", 2, 0)]
    assert row["by_sex"][1]["coverage_low"] < 0.5 < row["by_sex"][1]["coverage_high"]


def test_an_honest_model_covers_at_least_what_it_claims_without_a_table() -> None:
    assert coverage(honest(), 0.9, ())["coverage"] == pytest.approx(0.9, abs=0.02)


def test_a_summary_of_several_sources_has_each_and_all_together() -> None:
    found = points([10, 20], [10, 25], source=["a", "b"])
    summary = summarise_sources(found, (), 30.0)
    assert {name: part["mae"] for name, part in summary.items()} == {"pooled": 2.5, "a": 0, "b": 5}


def test_groups_of_ages_get_no_reliability_or_coverage() -> None:
    assert {"coverage", "reliability", "crps"}.isdisjoint(summarise(points([10], [8], [12]), (), 30.0))


def test_nothing_found_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="no face was found"):
        summarise(points([], []), (), 30.0)


def test_an_age_of_0_or_1_is_known_and_covered_by_either() -> None:
    found = points([0, 1, 2], [0, 0, 0], [1, 1, 1])
    assert found.error == pytest.approx([0, 0, 1])
    assert coverage(found, 0.9, ())["coverage"] == pytest.approx(2 / 3)
    assert found.crps == pytest.approx([0, 0, 1])


def test_a_card_gives_calibration_errors_weighed_and_as_the_photographs_come() -> None:
    found = honest()
    other = mix_of(np.where(np.arange(101) < 25, 3.0, 1.0))
    row = reliability(found, 25, other)
    cells = reliability_line(row)
    plain = row["as_they_come"]
    assert cells[1].startswith(f"{row['ece']:.3f}")
    assert cells[-1] == f"{plain['ece']:.3f}, {plain['unsure']['ece']:.3f}"
    assert plain["ece"] != row["ece"]


def test_cases_of_doubt_have_a_calibration_error_of_their_own() -> None:
    plain = Predictions.of(bells(np.r_[np.full(500, 60.0), np.full(500, 4.0)]), np.repeat([60, 4], 500))
    doubtful = Predictions.of(bells(np.full(100, 18.0)), np.full(100, 30))
    both = Predictions.of(np.concatenate([plain.pmf, doubtful.pmf]), np.concatenate([plain.low, doubtful.low]))
    row = reliability(both, 18)
    assert row["unsure"]["n"] == 100
    assert row["unsure"]["ece"] > 5 * row["ece"]
    assert reliability(plain, 18)["unsure"] == {"n": 0}


def test_a_gate_passes_fewer_of_both_sides_the_surer_it_must_be() -> None:
    found = gate(honest(), 18)
    for share, rises in (("false_accept", False), ("false_reject", True)):
        shares = [row[share] for row in found]
        assert shares == sorted(shares, reverse=not rises)
        assert shares[0] != shares[-1]
    half = next(row for row in found if row["probability"] == 0.5)
    good = honest()
    assert half["false_accept"] == pytest.approx((good.at_least(18)[good.low < 18] >= 0.5).mean())
    assert half["false_reject"] == pytest.approx((good.at_least(18)[good.low >= 18] < 0.5).mean())


def test_a_gate_with_nobody_on_one_side_says_nothing() -> None:
    assert gate(points([40, 50], [40, 50]), 18) == []


def test_humps_are_counted_and_ripples_are_not() -> None:
    one, far = bells(np.array([30.0, 60.0]))
    ripples = bells(np.array([50.0]), sigma=15)[0] * (1 + 0.04 * (-1.0) ** np.arange(101))
    teeth = one * (1 + 0.33 * (-1.0) ** np.arange(101))
    rows = np.stack([one, (one + far) / 2, ripples, np.full(101, 1 / 101), one[::-1]])
    assert humps(rows).tolist() == [1, 2, 1, 1, 1]
    assert humps(teeth[None])[0] > 3


def test_a_summary_says_how_many_distributions_have_one_hump() -> None:
    pmf = np.concatenate([bells(np.array([30.0])), bells(np.array([20.0, 60.0])).mean(axis=0, keepdims=True)])
    assert summarise(Predictions.of(pmf, [30, 30]), (), 30.0)["one_hump"] == 0.5
