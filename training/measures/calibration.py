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
from scipy.special import expit

from service.inference.age_mix import mix_of
from service.inference.distribution import AGES, AgeDistribution, Floats
from service.inference.manifest import IntervalTable
from training.data.store import Integers
from training.model.label_priors import log_prior

LEVELS: Final = (
    *(round(0.5 + 0.05 * step, 2) for step in range(7)),
    *(0.825, 0.85, 0.86, 0.88, 0.9, 0.91, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99),
)
"""Levels of the conformal table: 0.5 to 0.99, closer together where quantiles bend."""

RESTRAINT: Final = 10.0
"""Loss of a step of 1 between two knots of a curve, spread over all faces: 0.005 years with 2,000 of known age."""

ENOUGH: Final = 2000
"""Faces of known age from which on a fit is restrained by `RESTRAINT`; with half as many, twice as strongly.

Fitted to 50 of `calib`'s 2,089 faces, five times, `RESTRAINT` alone made the CRPS of `val` up to 0.2 years worse than
no correction does, and the stronger one up to 0.01.
"""

FEWEST_HALVED: Final = 4
"""Faces of which each half can calibrate the other."""

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
    return _wrong(np.cumsum(pmf, axis=1, dtype=np.float64), low, high)


def _wrong(share: Floats, low: Integers, high: Integers) -> Floats:
    ages = np.arange(AGES)
    return np.where((ages >= low[:, None]) & (ages < high[:, None]), 0.0, share - (ages >= low[:, None]))


def calibration_loss(pmf: NDArray[np.floating], low: Integers, high: Integers) -> float:
    """Mean CRPS in years over known ages; where there are only groups, the mean negative log likelihood in nats.

    The CRPS is the sum of the Brier scores of all P(age > k), which is what the service returns. The likelihood would
    let a few confidently wrong faces decide: with an overfitted network it chose a temperature of 2.8 where the CRPS
    chose 1.7, and the calibration error of P(age ≥ 18) was 0.07 instead of 0.03. Of a group the CRPS knows nothing.
    """
    return float(losses(pmf, low, high).mean())


def losses(pmf: NDArray[np.floating], low: Integers, high: Integers) -> Floats:
    """Return each face's loss: CRPS in years of those of known age; if none is, of all minus log likelihood in nats."""
    some = known(low, high)
    if some.any():
        return ranked_probability_score(pmf[some], low[some], high[some])
    return negative_log_likelihood(pmf, low, high)


def fit_correction(pmf: NDArray[np.floating], low: Integers, high: Integers) -> Correction:
    """Return the correction of the lowest `calibration_loss` of pmf [n, 101]; ValueError without faces.

    Differences between neighbouring knots are penalised, and skews and shifts. With fewer than `ENOUGH` faces the
    penalty is larger in proportion, unless `RESTRAINT` is better: unless each half of the faces, corrected by a fit to
    the other half, then has a loss lower by two standard errors of the difference. Fewer than `FEWEST_HALVED` faces
    correct nothing.
    """
    if not len(pmf):
        raise ValueError("the calib split is empty; prepare a store with `calib` rows")
    some = fitted_to(low, high)
    pmf, low, high = np.asarray(pmf, dtype=np.float64)[some], low[some], high[some]
    if len(pmf) < FEWEST_HALVED:
        return Correction()
    held = RESTRAINT * max(1.0, ENOUGH / len(pmf))
    if len(pmf) < ENOUGH:
        more = _halved_losses(pmf, low, high, held) - _halved_losses(pmf, low, high, RESTRAINT)
        held = RESTRAINT if more.mean() > 2 * standard_error(more) else held
    return _fit(pmf, low, high, held)


def _halved_losses(pmf: Floats, low: Integers, high: Integers, hold: float) -> Floats:
    """Return the losses of faces of which each half is corrected by what the other says."""
    corrected = np.empty_like(pmf)
    for half in halves_of(len(pmf)):
        corrected[~half] = _fit(pmf[half], low[half], high[half], hold).applied(pmf[~half])
    return losses(corrected, low, high)


def halves_of(count: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return every other one of `count` faces, and the others."""
    half = np.arange(count) % 2 == 0
    return half, ~half


def standard_error(values: Floats) -> float:
    """Return the standard error of the mean of values [n]."""
    return float(values.std() / len(values) ** 0.5)


def _fit(pmf: Floats, low: Integers, high: Integers, hold: float) -> Correction:
    count = len(KNOTS)
    log_younger, log_older = logs_of_both_sides(pmf)
    mean = pmf @ np.arange(AGES)
    # How much each knot counts for each face: linear between two knots.
    weights = np.stack([np.interp(mean, KNOTS, row) for row in np.eye(count)], axis=1)

    def correction(values: Floats) -> Correction:
        return Correction(*(tuple(map(float, curve)) for curve in values.reshape(3, count)))

    def loss(values: Floats) -> tuple[float, Floats]:
        tried = correction(values)
        younger, older = tried.exponents(mean)
        # As in `applied`, of what lies between P(age ≤ -1) and P(age ≤ 100): 0 and 1 but for `SMALLEST`.
        share = expit(tried.logits(pmf))
        first, whole = share[:, :1], share[:, -1:] - share[:, :1]
        within = (share[:, 1:] - first) / whole
        slopes = _slopes(within, low, high) / whole
        by_share = np.append(-(slopes * (1 - within)).sum(axis=1, keepdims=True), slopes, axis=1)
        by_share[:, -1] -= (slopes * within).sum(axis=1)
        by_logit = by_share * share * (1 - share) / len(pmf)
        by_younger = (by_logit * log_younger).sum(axis=1) * younger
        by_older = -(by_logit * log_older).sum(axis=1) * older
        by_curves = [by_younger + by_older, by_younger - by_older, by_logit.sum(axis=1)]
        bends, by_bend = _bends(values.reshape(3, count))
        gradient = np.concatenate([each @ weights for each in by_curves]) + hold / len(pmf) * by_bend
        corrected = np.diff(within, axis=1, prepend=0)
        return calibration_loss(corrected, low, high) + hold / len(pmf) * bends, gradient

    largest = np.log(10.0)
    bounds = [(-largest, largest)] * (2 * count) + [(-5.0, 5.0)] * count
    found = minimize(loss, np.zeros(3 * count), jac=True, method="L-BFGS-B", bounds=bounds)
    return correction(found.x)


def _slopes(share: Floats, low: Integers, high: Integers) -> Floats:
    """Return the derivative of each face's `calibration_loss` by each P(age ≤ k), given [n, 101]."""
    if known(low, high).all():
        return 2 * _wrong(share, low, high)
    ages = np.arange(AGES)
    first, last = (ages == low[:, None] - 1), (ages == high[:, None])
    inside = (share * last).sum(axis=1) - (share * first).sum(axis=1)
    return (first.astype(float) - last) / np.maximum(inside, SMALLEST)[:, None]


def _bends(curves: Floats) -> tuple[float, Floats]:
    """Return how far curves [3, J] are from constant, and the skews and shifts from none; and its gradient [3 J]."""
    steps = np.diff(curves, axis=1)
    gradient = np.zeros_like(curves)
    gradient[:, 1:] += 2 * steps
    gradient[:, :-1] -= 2 * steps
    gradient[1:] += 2 * curves[1:] / curves.shape[1]
    return float(np.square(steps).sum() + np.square(curves[1:]).mean(axis=1).sum()), gradient.ravel()


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


def bands_of(predicted: Floats) -> list[tuple[float, float]]:
    """Decades of predicted age in years, joined from the left until each holds `SMALLEST_BAND` faces."""
    bands: list[tuple[float, float]] = []
    low = float(BAND_EDGES[0])
    for high in BAND_EDGES[1:]:
        if ((predicted >= low) & (predicted < high)).sum() >= SMALLEST_BAND:
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
    for youngest, oldest in bands_of(predicted):
        inside = (predicted >= youngest) & (predicted < oldest)
        parts = max(1, min(widths, int(inside.sum()) // SMALLEST_BAND))
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


SMOOTH_YEARS: Final = 2.0
"""Standard deviation of the Gaussian that a mix of ages is smoothed by."""


def age_mix(low: Integers, high: Integers) -> Floats:
    """Return the mix of ages of labels [n], float64 [101], smoothed, since people round ages; no age has none."""
    return mix_of(gaussian_filter1d(np.exp(log_prior(low, high)), SMOOTH_YEARS, mode="nearest"))


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


def logs_of_both_sides(pmf: Floats) -> tuple[Floats, Floats]:
    """Return log P(age ≤ k) and log P(age > k), k = -1..100, of pmf [n, 101]; [n, 102], at least log `SMALLEST`."""
    nothing = np.zeros((len(pmf), 1))
    younger = np.append(nothing, np.cumsum(pmf, axis=1), axis=1)
    older = np.append(np.cumsum(pmf[:, ::-1], axis=1)[:, ::-1], nothing, axis=1)
    return np.log(np.maximum(younger, SMALLEST)), np.log(np.maximum(older, SMALLEST))


@dataclass(frozen=True, slots=True)
class Correction:
    """Three numbers at each knot, linear between them and constant beyond the first and the last, for every P(age ≤ k).

    F′_k = σ(exp(w + s)·log F_k − exp(w − s)·log(1 − F_k) + c), F_k = P(age ≤ k), and w, s, c at the mean age of F:
    a log sharpness w (above 0 narrower, below 0 wider), a skew s (above 0 a longer tail to the older side), a shift c
    (above 0 younger). All zero change nothing. This is beta calibration with its three parameters (Kull, Silva Filho
    and Flach 2017), with one map for all thresholds of a face, so that they stay in order. What else was tried is in
    docs/adr/0011 and 0026.
    """

    log_sharpness: tuple[float, ...] = _NONE
    skew: tuple[float, ...] = _NONE
    shift: tuple[float, ...] = _NONE

    def exponents(self, mean_ages: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Return exp(w + s) and exp(w − s) at mean ages [n] in years."""
        log_sharpness, skew = (np.interp(mean_ages, KNOTS, curve) for curve in (self.log_sharpness, self.skew))
        return np.exp(log_sharpness + skew), np.exp(log_sharpness - skew)

    def logits(self, pmf: Floats) -> Floats:
        """Return the corrected log odds of P(age ≤ k), k = -1..100, of pmf [n, 101]; float64 [n, 102]."""
        log_younger, log_older = logs_of_both_sides(pmf)
        mean = pmf @ np.arange(AGES)
        younger, older = (each[:, None] for each in self.exponents(mean))
        shift = np.interp(mean, KNOTS, self.shift)[:, None]
        return np.asarray(younger * log_younger - older * log_older + shift)

    def applied(self, pmf: NDArray[np.floating]) -> Floats:
        """Correct pmf [n, 101]; float64 [n, 101], rows sum to 1."""
        logits = self.logits(np.asarray(pmf, dtype=np.float64))
        younger, older = expit(logits), expit(-logits)
        # Of each side's small probabilities the differences, which lose nothing.
        steps = np.where(younger[:, 1:] < 0.5, np.diff(younger, axis=1), -np.diff(older, axis=1))
        return np.asarray(steps / steps.sum(axis=1, keepdims=True))
