"""Bayes' rule on mixes of ages, and mixes found again in faces drawn from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import InvalidParameter, InvalidSetting
from service.inference.age_mix import FittedMix, described, fit_mix, mix_in, mix_of, mixes_in, named_mix, stated_for

Floats = NDArray[np.float64]

AGES = np.arange(101)
SIGMA = 5.0
LIKELIHOOD = np.exp(-((AGES[:, None] - AGES) ** 2) / (2 * SIGMA**2))
"""[age, what is seen]: a face of age a looks like a Gaussian around a."""
LIKELIHOOD /= LIKELIHOOD.sum(axis=1, keepdims=True)

WORLD = mix_of(np.exp(-((AGES - 32) ** 2) / (2 * 14.0**2)))
SCHOOL = mix_of(np.exp(-((AGES - 13) ** 2) / (2 * 3.0**2)))


def seen(mix: Floats, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw true ages from a mix, and for each what an observer sees of it."""
    ages = rng.choice(101, count, p=mix)
    return ages, np.array([rng.choice(101, p=LIKELIHOOD[age]) for age in ages])


def posterior(looks: NDArray[np.int64], mix: Floats) -> Floats:
    joint = LIKELIHOOD[:, looks].T * mix
    return np.asarray(joint / joint.sum(axis=1, keepdims=True))


def test_bayes_rule_turns_the_posterior_of_one_mix_into_that_of_another() -> None:
    looks = np.array([5, 17, 60])
    np.testing.assert_allclose(
        stated_for(posterior(looks, WORLD), WORLD, SCHOOL), posterior(looks, SCHOOL), rtol=1e-9, atol=1e-12
    )


def test_stating_a_distribution_for_its_own_mix_changes_nothing() -> None:
    pmf = posterior(np.array([20, 40]), WORLD)
    np.testing.assert_allclose(stated_for(pmf, WORLD, WORLD), pmf)
    assert np.abs(stated_for(pmf, WORLD, SCHOOL) - pmf).max() > 0.05


def test_there_and_back_is_where_one_was() -> None:
    pmf = posterior(np.array([20, 40]), WORLD)
    back = stated_for(stated_for(pmf, WORLD, SCHOOL), SCHOOL, WORLD)
    np.testing.assert_allclose(back, pmf, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("truth", [SCHOOL, named_mix("12-30"), named_mix("uniform")])
def test_em_finds_the_mix_that_faces_were_drawn_from(truth: Floats) -> None:
    _, looks = seen(truth, 4000, np.random.default_rng(1))
    found = fit_mix(posterior(looks, WORLD), WORLD)
    before, after = (np.abs(np.cumsum(mix) - np.cumsum(truth)).sum() for mix in (WORLD, found.mix))
    assert after < 0.2 * before
    assert after < 1.0  # years between the two mixes' ages, by the earth mover's distance
    assert found.mix.sum() == pytest.approx(1)


def test_a_found_mix_takes_most_of_the_bias_away_that_the_wrong_one_makes() -> None:
    ages, looks = seen(SCHOOL, 4000, np.random.default_rng(2))
    pmf = posterior(looks, WORLD)
    wrong = (pmf @ AGES - ages).mean()
    mended = (stated_for(pmf, WORLD, fit_mix(pmf, WORLD).mix) @ AGES - ages).mean()
    assert wrong > 2
    assert abs(mended) < 0.3


def test_em_leaves_the_mix_that_is_right_nearly_as_it_is() -> None:
    _, looks = seen(WORLD, 4000, np.random.default_rng(3))
    found = fit_mix(posterior(looks, WORLD), WORLD)
    assert np.abs(np.cumsum(found.mix) - np.cumsum(WORLD)).sum() < 1.0
    assert (found.faces, found.settled) == (4000, True)


def test_what_was_found_is_said_in_words() -> None:
    found = FittedMix(named_mix("10-20"), 1234, 12, settled=False)
    assert described(found) == (
        "mix of ages of 1,234 faces: half are at most 15, eight in ten 11 to 19, 72.7% under 18; NOT settled after 12 "
        "rounds"
    )


def test_few_faces_are_refused_with_their_number() -> None:
    with pytest.raises(InvalidParameter, match="at least 200 faces, there are 12"):
        fit_mix(posterior(np.arange(12), WORLD), WORLD)


def test_a_range_of_ages_is_even_inside_and_nothing_outside() -> None:
    mix = named_mix("12-30")
    np.testing.assert_allclose(mix[12:31], 1 / 19)
    assert mix[:12].sum() == mix[31:].sum() == 0


@pytest.mark.parametrize(("low", "high"), [(0, 5), (12, 30), (90, 100), (40, 40)])
@pytest.mark.parametrize("pmf", [posterior(np.array([45]), WORLD)[0], np.eye(101)[60]])
def test_nobody_is_of_an_age_outside_a_range(low: int, high: int, pmf: Floats) -> None:
    stated = stated_for(pmf, WORLD, named_mix(f"{low}-{high}"))
    assert stated[low : high + 1].sum() == pytest.approx(1)
    assert stated.sum() == pytest.approx(1)


def test_a_table_of_shares_is_a_mix(tmp_path: Path) -> None:
    table = tmp_path / "visitors.csv"
    table.write_text("age,share\n10,30\n20,10\n")
    mix = mixes_in([f"visitors={table}"])["visitors"]
    assert (named_mix("visitors", {"visitors": mix}) == mix).all()
    assert mix[10] == pytest.approx(0.75, rel=1e-3)
    assert mix[20] == pytest.approx(0.25, rel=1e-3)


def test_a_range_may_name_either_end_first() -> None:
    np.testing.assert_array_equal(named_mix("30-12"), named_mix("12-30"))


@pytest.mark.parametrize("name", ["0-101", "012-30", "young", "", "-5"])
def test_what_is_no_mix_is_named_with_what_is(name: str) -> None:
    with pytest.raises(InvalidParameter, match=r"uniform, a range such as 12-30 .*, or a table, .* AGELENS_PRIORS"):
        named_mix(name)


@pytest.mark.parametrize(
    "text",
    [
        f"age,share\n{'1' * 200_000},1\n",
        "age,weight\n10,1\n",
        "age,share\nten,1\n",
        "age,share\n101,1\n",
        "age,share\n10,3\n20,-1\n",
        "age,share\n10,nan\n",
    ],
)
def test_a_table_that_is_no_mix_is_refused(tmp_path: Path, text: str) -> None:
    table = tmp_path / "visitors.csv"
    table.write_text(text)
    with pytest.raises(InvalidParameter, match="share"):
        mix_in(table)


def test_shares_may_be_of_any_size() -> None:
    shares = np.zeros(101)
    shares[[10, 20]] = 1
    assert np.array_equal(mix_of(shares * 1e308), mix_of(shares))


def test_a_table_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidParameter, match=r"nowhere\.csv cannot be read"):
        mix_in(Path("nowhere.csv"))


def test_mixes_of_the_settings_are_named() -> None:
    with pytest.raises(InvalidSetting, match=r"AGELENS_PRIORS: .* name=file\.csv, not 'visitors\.csv'"):
        mixes_in(["visitors.csv"])
    with pytest.raises(InvalidSetting, match=r"AGELENS_PRIORS: no/such\.csv cannot be read"):
        mixes_in(["visitors=no/such.csv"])
    with pytest.raises(InvalidParameter, match="or one of visitors, not 'visitor'"):
        named_mix("visitor", {"visitors": named_mix("uniform")})
