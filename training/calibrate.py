"""Make probabilities honest from the `calib` split alone: a temperature, then conformal intervals per band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from service.manifest import IntervalTable
from service.types import AGES, AgeDistribution
from training.graph import SMALLEST

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LEVELS: Final = (
    *(round(0.5 + 0.05 * step, 2) for step in range(7)),
    *(0.825, 0.85, 0.86, 0.88, 0.9, 0.91, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99),
)
"""Levels of the conformal table: 0.5 to 0.99, closer together where quantiles bend."""

BAND_EDGES: Final = (0, 10, 20, 30, 40, 50, 60, 70, AGES)
SMALLEST_BAND: Final = 150
"""Faces that a band needs: with 150 the coverage at 0.9 has a standard deviation of 2.4 points."""


def tempered(pmf: NDArray[np.floating], temperature: float) -> Floats:
    """softmax(log(p) / temperature) of pmf [n, 101], as the graph computes it; float64 [n, 101]."""
    logits = np.log(np.maximum(np.asarray(pmf, dtype=np.float64), SMALLEST)) / temperature
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def negative_log_likelihood(pmf: NDArray[np.floating], low: Integers, high: Integers) -> Floats:
    """Negative log of Σ p_a over low..high of pmf [n, 101], both ends included; float64 [n], nats."""
    ages = np.arange(AGES)
    inside = (ages >= low[:, None]) & (ages <= high[:, None])
    return -np.log(np.maximum(np.where(inside, pmf, 0).sum(axis=1), SMALLEST))


def ranked_probability_score(pmf: NDArray[np.floating], ages: Integers) -> Floats:
    """CRPS in years of pmf [n, 101], Σ_k (F_k - [y ≤ k])² (Gneiting and Raftery 2007, section 4.2); float64 [n]."""
    cumulative = np.cumsum(pmf, axis=1, dtype=np.float64)
    return np.asarray(((cumulative - (np.arange(AGES) >= ages[:, None])) ** 2).sum(axis=1), dtype=np.float64)


def calibration_loss(pmf: NDArray[np.floating], low: Integers, high: Integers) -> float:
    """Mean CRPS in years over exact ages; where there are only groups, the mean negative log likelihood in nats.

    The CRPS is the sum of the Brier scores of all P(age > k), which is what the service returns. The likelihood would
    let a few confidently wrong faces decide: with an overfitted network it chose a temperature of 2.8 where the CRPS
    chose 1.7, and the calibration error of P(age ≥ 18) was 0.07 instead of 0.03. Of a group the CRPS knows nothing.
    """
    exact = low == high
    if exact.any():
        return float(ranked_probability_score(pmf[exact], low[exact]).mean())
    return float(negative_log_likelihood(pmf, low, high).mean())


def fit_temperature(pmf: NDArray[np.floating], low: Integers, high: Integers) -> float:
    """Return the temperature (0.1..10) of the lowest `calibration_loss` of pmf [n, 101]; ValueError without faces."""
    if not len(pmf):
        raise ValueError("the calib split is empty; prepare a store with `calib` rows")

    def loss(log_temperature: float) -> float:
        return calibration_loss(tempered(pmf, np.exp(log_temperature)), low, high)

    found = minimize_scalar(loss, bounds=(np.log(0.1), np.log(10.0)), method="bounded")
    return float(np.exp(found.x))


def conformity(pmf: NDArray[np.floating], ages: Integers) -> Floats:
    """Score s = 2·|F_mid(y) - ½| of pmf [n, 101], F_mid(y) = P(age < y) + ½ P(age = y): 0 at the median, 1 far off."""
    rows = np.arange(len(ages))
    middle = np.cumsum(pmf, axis=1, dtype=np.float64) - pmf / 2
    return np.asarray(2 * np.abs(middle[rows, ages] - 0.5), dtype=np.float64)


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
    pmf: NDArray[np.floating], ages: Integers, predicted: Floats, smallest: int = SMALLEST_BAND
) -> tuple[IntervalTable, ...]:
    """Quantiles of the conformity score per band of predicted age (Mondrian; Vovk et al. 2005, section 4.5).

    No exact age means no table: the service then takes the distribution's own central interval.
    """
    if not len(ages):
        return ()
    scores = conformity(pmf, ages)
    tables = []
    for low, high in bands_of(predicted, smallest):
        inside = (predicted >= low) & (predicted < high)
        tables.append(IntervalTable(low=low, high=high, levels=LEVELS, scores=conformal_quantiles(scores[inside])))
    return tuple(tables)


def decoded(pmf: NDArray[np.floating], decode: str) -> Floats:
    """Ages in years of pmf [n, 101] by the service's own arithmetic: `median` or `mean`."""
    distributions = (AgeDistribution.of(row) for row in pmf)
    return np.array([d.median if decode == "median" else d.mean for d in distributions], dtype=np.float64)
