"""Make probabilities honest from the `calib` split alone: a correction, then conformal intervals per band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import minimize

from service.inference.age_mix import mix_of
from service.inference.distribution import AGES, AgeDistribution
from service.inference.manifest import IntervalTable
from training.model.label_priors import log_prior

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LEVELS: Final = (
    *(round(0.5 + 0.05 * step, 2) for step in range(7)),
    *(0.825, 0.85, 0.86, 0.88, 0.9, 0.91, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99),
)
"""Levels of the conformal table: 0.5 to 0.99, closer together where quantiles bend."""

RESTRAINT: Final = 5.0
"""Loss of a bend of 1 in one curve, spread over all faces: with 2,000 faces less than a hundredth of a year."""

TILT_SCALE: Final = 10.0
"""Tilts are fitted per decade, where they are of the size of log temperatures."""

BAND_EDGES: Final = (0, 10, 20, 30, 40, 50, 60, 70, AGES)

SMALLEST_BAND: Final = 150
"""Faces that a band needs: with 150 the coverage at 0.9 has a standard deviation of 2.4 points."""

BEYOND: Final = 3
"""Faces of one kind of picture that must be expected outside an interval for it to be read off them."""


def negative_log_likelihood(pmf: NDArray[np.floating], low: Integers, high: Integers) -> Floats:
    """Negative log of Σ p_a over low..high of pmf [n, 101], both ends included; float64 [n], nats."""
    ages = np.arange(AGES)
    inside = (ages >= low[:, None]) & (ages <= high[:, None])
    return -np.log(np.maximum(np.where(inside, pmf, 0).sum(axis=1), SMALLEST))


def known(low: Integers, high: Integers) -> NDArray[np.bool_]:
    """Which ages are known, to the year or as one of two that follow each other: UTKFace's youngest are 0 or 1."""
    return np.asarray(high - low <= 1)


def fitted_to(low: Integers, high: Integers) -> NDArray[np.bool_]:
    """Which labels a correction is fitted to: those whose age is known, or all where none is."""
    some = known(low, high)
    return some if some.any() else ~some


def ranked_probability_score(pmf: NDArray[np.floating], low: Integers, high: Integers | None = None) -> Floats:
    """CRPS in years of pmf [n, 101], Σ_k (F_k - [y ≤ k])² (Gneiting and Raftery 2007, section 4.2); float64 [n].

    Of an age known as low..high the thresholds in between are left out.
    """
    return np.asarray(
        np.square(wrong_thresholds(pmf, low, low if high is None else high)).sum(axis=1), dtype=np.float64
    )


def wrong_thresholds(pmf: NDArray[np.floating], low: Integers, high: Integers) -> Floats:
    """Return F_k - [y ≤ k] of each threshold k, [n, 101], 0 where it is not known whether y ≤ k."""
    ages = np.arange(AGES)
    gap = np.cumsum(pmf, axis=1, dtype=np.float64) - (ages >= low[:, None])
    return np.where((ages >= low[:, None]) & (ages < high[:, None]), 0.0, gap)


def calibration_loss(pmf: NDArray[np.floating], low: Integers, high: Integers) -> float:
    """Mean CRPS in years over known ages; where there are only groups, the mean negative log likelihood in nats.

    The CRPS is the sum of the Brier scores of all P(age > k), which is what the service returns. The likelihood would
    let a few confidently wrong faces decide: with an overfitted network it chose a temperature of 2.8 where the CRPS
    chose 1.7, and the calibration error of P(age ≥ 18) was 0.07 instead of 0.03. Of a group the CRPS knows nothing.
    """
    some = known(low, high)
    if some.any():
        return float(ranked_probability_score(pmf[some], low[some], high[some]).mean())
    return float(negative_log_likelihood(pmf, low, high).mean())


def fit_correction(pmf: NDArray[np.floating], low: Integers, high: Integers) -> Correction:
    """Return the correction of the lowest `calibration_loss` of pmf [n, 101]; ValueError without faces.

    Neighbouring knots are held together, and tilts at none, the more so the fewer faces there are.
    """
    if not len(pmf):
        raise ValueError("the calib split is empty; prepare a store with `calib` rows")
    some = fitted_to(low, high)
    pmf, low, high = pmf[some], low[some], high[some]
    count, ages = len(KNOTS), np.arange(AGES)
    log_pmf = np.log(np.maximum(np.asarray(pmf, dtype=np.float64), SMALLEST))
    mean = pmf @ ages
    # How much each knot counts for each face: linear between two knots.
    weights = np.stack([np.interp(mean, KNOTS, row) for row in np.eye(count)], axis=1)

    def correction(values: Floats) -> Correction:
        return Correction(tuple(map(float, values[:count])), tuple(map(float, values[count:] / TILT_SCALE)))

    def loss(values: Floats) -> tuple[float, Floats]:
        corrected = correction(values).applied(pmf)
        slopes = _slopes(corrected, low, high)
        by_logit = corrected * (slopes - (slopes * corrected).sum(axis=1, keepdims=True)) / len(pmf)
        temperatures = correction(values).temperatures(mean)[:, None]
        by_temperature = -(by_logit * log_pmf / temperatures).sum(axis=1)
        by_tilt = (by_logit * (ages - mean[:, None])).sum(axis=1) / TILT_SCALE
        bends, by_bend = _bends(values.reshape(2, count))
        gradient = np.concatenate([by_temperature @ weights, by_tilt @ weights]) + RESTRAINT / len(pmf) * by_bend
        return calibration_loss(corrected, low, high) + RESTRAINT / len(pmf) * bends, gradient

    bounds = [(np.log(0.1), np.log(10.0))] * count + [(-10.0, 10.0)] * count
    found = minimize(loss, np.zeros(2 * count), jac=True, method="L-BFGS-B", bounds=bounds)
    return correction(found.x)


def _slopes(pmf: Floats, low: Integers, high: Integers) -> Floats:
    """Return the derivative of each face's `calibration_loss` by each probability of pmf [n, 101]."""
    if known(low, high).all():
        wrong = 2 * wrong_thresholds(pmf, low, high)
        return np.asarray(np.cumsum(wrong[:, ::-1], axis=1)[:, ::-1])
    ages = np.arange(AGES)
    inside = (ages >= low[:, None]) & (ages <= high[:, None])
    return np.where(inside, -1.0, 0.0) / np.maximum((pmf * inside).sum(axis=1, keepdims=True), SMALLEST)


def _bends(curves: Floats) -> tuple[float, Floats]:
    """Return how far both curves [2, J] are from constant, and the tilts from none; and its gradient [2 J]."""
    steps, tilts = np.diff(curves, axis=1), curves[1]
    gradient = np.zeros_like(curves)
    gradient[:, 1:] += 2 * steps
    gradient[:, :-1] -= 2 * steps
    gradient[1] += 2 * tilts / len(tilts)
    return float(np.square(steps).sum() + np.square(tilts).mean()), gradient.ravel()


def conformity(pmf: NDArray[np.floating], low: Integers, high: Integers | None = None) -> Floats:
    """Score s = 2·|F_mid(y) - ½| of pmf [n, 101], F_mid(y) = P(age < y) + ½ P(age = y): 0 at the median, 1 far off.

    Of an age known as low..high it is the lowest of theirs: an interval that holds one of them covers.
    """
    ages = np.arange(AGES)
    allowed = (ages >= low[:, None]) & (ages <= (low if high is None else high)[:, None])
    return np.asarray(np.where(allowed, conformities(pmf), 1.0).min(axis=1), dtype=np.float64)


def conformities(pmf: NDArray[np.floating]) -> Floats:
    """Return `conformity` of each age of pmf [n, 101], float64 [n, 101]."""
    middle = np.cumsum(pmf, axis=1, dtype=np.float64) - pmf / 2
    return np.asarray(2 * np.abs(middle - 0.5), dtype=np.float64)


def widths_of(pmf: NDArray[np.floating]) -> Floats:
    """Return the standard deviations in years, float64 [n], of pmf [n, 101], by the service's own arithmetic."""
    return np.array([AgeDistribution.of(row).variance ** 0.5 for row in pmf], dtype=np.float64)


def conformal_quantiles(scores: Floats, levels: Sequence[float] = LEVELS) -> tuple[float, ...]:
    """Take the ⌈(n+1)·level⌉-th smallest score per level (Vovk et al. 2005, section 2.2); 1 where n is too small."""
    ordered = np.append(np.sort(scores), 1.0)
    ranks = np.ceil((len(scores) + 1) * np.asarray(levels) - 1e-9).astype(int)
    return tuple(float(ordered[min(rank, len(scores) + 1) - 1]) for rank in ranks)


def bands_of(predicted: Floats, smallest: int = SMALLEST_BAND) -> list[tuple[float, float]]:
    """Decades of predicted age in years, joined from the left until each holds `smallest` faces."""
    bands: list[tuple[float, float]] = []
    low = float(BAND_EDGES[0])
    for high in BAND_EDGES[1:]:
        if ((predicted >= low) & (predicted < high)).sum() >= smallest:
            bands.append((low, float(high)))
            low = float(high)
    if not bands:
        return [(float(BAND_EDGES[0]), float(AGES))]
    bands[-1] = (bands[-1][0], float(AGES))
    return bands


def conformal_table(
    pmf: NDArray[np.floating],
    low: Integers,
    high: Integers,
    predicted: Floats,
    smallest: int = SMALLEST_BAND,
    widths: int = 1,
    kinds: Integers | None = None,
) -> tuple[IntervalTable, ...]:
    """Quantiles of the conformity score per band of predicted age (Mondrian; Vovk et al. 2005, section 4.5).

    Each band is cut into at most `widths` of equal count by the distributions' own standard deviation, so that a
    picture of which the model is unsure is measured by its like. Where `kinds` [n] tells kinds of picture apart, a
    part's quantile is the greatest of its kinds', so that each of them is covered and not only their mixture. No known
    age means no table: the service then takes the distribution's own central interval.
    """
    some = known(low, high)
    kinds = np.zeros(len(pmf), np.int64) if kinds is None else kinds
    pmf, low, high, predicted, kinds = pmf[some], low[some], high[some], predicted[some], kinds[some]
    if not len(low):
        return ()
    scores, deviations = conformity(pmf, low, high), widths_of(pmf)
    tables = []
    for youngest, oldest in bands_of(predicted, smallest):
        inside = (predicted >= youngest) & (predicted < oldest)
        parts = max(1, min(widths, int(inside.sum()) // smallest))
        edges = np.quantile(deviations[inside], np.arange(parts + 1) / parts)
        bounds = [0.0, *(round(float(edge), 3) for edge in edges[1:-1]), np.inf]
        for narrowest, widest in pairwise(bounds):
            chosen = inside & (deviations >= narrowest) & (deviations < widest)
            tables.append(
                IntervalTable(
                    low=youngest,
                    high=oldest,
                    levels=LEVELS,
                    scores=_greatest_quantiles(scores[chosen], kinds[chosen]),
                    narrowest=narrowest,
                    widest=widest if np.isfinite(widest) else None,
                )
            )
    return tuple(tables)


def _greatest_quantiles(scores: Floats, kinds: Integers) -> tuple[float, ...]:
    """Return at each level the greatest conformal quantile of all scores and of each kind's that can tell it.

    A kind tells a level if at least `BEYOND` of its faces are expected to lie beyond: of fewer it would be chance, and
    of none the interval would be all ages.
    """
    levels, found = np.asarray(LEVELS), [np.asarray(conformal_quantiles(scores))]
    for kind in np.unique(kinds):
        some = scores[kinds == kind]
        told = (len(some) + 1) * (1 - levels) >= BEYOND
        found.append(np.where(told, conformal_quantiles(some), 0))
    return tuple(map(float, np.maximum.accumulate(np.max(found, axis=0))))


def age_mix(low: Integers, high: Integers, smooth_years: float = 2.0) -> Floats:
    """Return the mix of ages of labels [n], float64 [101], smoothed, since people round ages; no age has none."""
    return mix_of(gaussian_filter1d(np.exp(log_prior(low, high)), smooth_years, mode="nearest"))


YOUNG: Final = 27
"""Age below which `balanced` lifts, to the share of that age: gates lie below."""

FEWEST_OF_AN_AGE: Final = 3
"""Faces of an age, or a year off, that a mix must rest on for the age to be lifted."""


def balanced(low: Integers, high: Integers, balance: float) -> Floats:
    """Return the mix of ages of labels [n] with ages below 27 lifted towards the share of 27, float64 [101].

    With 0 it is `age_mix`, with 1 they are as common as 27, or commoner if they were. An age that hardly anybody has
    stays as it is: of faces that were not there nothing is known. How far to go is measured in docs/adr/0020.
    """
    mix = age_mix(low, high)
    found = np.convolve(np.bincount((low + high) // 2, minlength=AGES), np.ones(3), mode="same")
    lifted = (np.arange(AGES) < YOUNG) & (found >= FEWEST_OF_AN_AGE)
    return mix_of(np.where(lifted, mix * np.maximum(mix[YOUNG] / mix, 1) ** balance, mix))


def decoded(pmf: NDArray[np.floating], decode: str) -> Floats:
    """Ages in years of pmf [n, 101] by the service's own arithmetic: `median` or `mean`."""
    distributions = (AgeDistribution.of(row) for row in pmf)
    return np.array([d.median if decode == "median" else d.mean for d in distributions], dtype=np.float64)


KNOTS: Final = (2.0, 8.0, 14.0, 20.0, 26.0, 34.0, 45.0, 60.0, 80.0)
"""Mean ages in years at which a correction is given: closer together where ages matter to the law and faces change."""

SMALLEST: Final = 1e-30
"""Floor under a probability before its logarithm; float32 holds it without going subnormal."""

_NONE: Final = (0.0,) * len(KNOTS)


@dataclass(frozen=True, slots=True)
class Correction:
    """A temperature and a tilt at each knot, linear between them and constant beyond the first and the last.

    softmax(log(p_a) / T(μ) + tilt(μ)·(a − μ)), μ the mean age of p: the temperature widens (above 1) or sharpens, the
    tilt moves towards the older (above 0) or the younger. With one temperature and no tilt this is temperature scaling
    (Guo et al. 2017, section 4.2). That is not enough for CORAL, whose one slope fixes how wide and how skewed its
    distribution is at every age: a single temperature widened the error of its median instead.
    """

    log_temperatures: tuple[float, ...] = _NONE
    tilts: tuple[float, ...] = _NONE

    @classmethod
    def of_temperature(cls, temperature: float) -> Correction:
        """One temperature (above 0) at every age; raise ValueError for any other."""
        if not temperature > 0:
            raise ValueError(f"a temperature is above 0, got {temperature}")
        return cls((float(np.log(temperature)),) * len(KNOTS))

    def temperatures(self, mean_ages: NDArray[np.floating]) -> Floats:
        """Return T at each mean age in years."""
        return np.exp(np.interp(mean_ages, KNOTS, self.log_temperatures))

    def applied(self, pmf: NDArray[np.floating]) -> Floats:
        """Correct pmf [n, 101]; float64 [n, 101], rows sum to 1."""
        p = np.asarray(pmf, dtype=np.float64)
        ages = np.arange(AGES)
        mean = p @ ages
        tilt = np.interp(mean, KNOTS, self.tilts)
        logits = np.log(np.maximum(p, SMALLEST)) / self.temperatures(mean)[:, None]
        logits += tilt[:, None] * (ages - mean[:, None])
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))
