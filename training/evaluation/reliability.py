"""Calibration error of P(age ≥ t) and coverage of intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from service.inference.distribution import IntervalBand
from training.evaluation.metrics import DECADES
from training.evaluation.predictions import Predictions

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Row = dict[str, Any]

LEGAL_AGES: Final = (13, 16, 18, 21, 25)
UNSURE: Final = (0.05, 0.95)
"""Probabilities between which a face is a case of doubt."""

GATE_PROBABILITIES: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99)
BINS: Final = 10
LEVELS: Final = (0.5, 0.8, 0.9, 0.95)
SIMULATIONS: Final = 400


def equal_mass_bins(probability: Floats, bins: int = BINS) -> list[NDArray[np.intp]]:
    """Return the indices of `probability` [n] in rising order, cut into bins of equal count."""
    return np.array_split(np.argsort(probability, kind="stable"), min(bins, len(probability)))


def calibration_error(probability: Floats, happened: Flags, bins: int = BINS) -> float:
    """Return the expected calibration error Σ_b n_b/n · |mean probability - observed share|, bins of equal count."""
    parts = equal_mass_bins(probability, bins)
    gaps = [len(part) * abs(probability[part].mean() - happened[part].mean()) for part in parts]
    return float(sum(gaps) / len(probability))


def calibration_error_by_chance(probability: Floats, bins: int = BINS, seed: int = 0) -> tuple[float, float]:
    """Median and 95th percentile of the calibration error of a model whose probabilities are all true."""
    rng = np.random.default_rng(seed)
    draws = (rng.random(len(probability)) < probability for _ in range(SIMULATIONS))
    middle, high = np.percentile([calibration_error(probability, draw, bins) for draw in draws], [50, 95])
    return float(middle), float(high)


def reliability(predictions: Predictions, age: int) -> Row:
    """Calibration error of P(age ≥ `age`), the error by chance alone, and the bins of the reliability diagram."""
    sided = predictions.where((predictions.low >= age) | (predictions.high < age))
    probability, happened = sided.at_least(age), sided.low >= age
    middle, high = calibration_error_by_chance(probability)
    unsure = (probability >= UNSURE[0]) & (probability <= UNSURE[1])
    return {
        "threshold": age,
        "ece": calibration_error(probability, happened),
        "ece_by_chance": middle,
        "ece_by_chance_95": high,
        "unsure": unsure_part(probability[unsure], happened[unsure]),
        "bins": [
            {"n": len(part), "predicted": float(probability[part].mean()), "observed": float(happened[part].mean())}
            for part in equal_mass_bins(probability)
        ],
    }


def unsure_part(probability: Floats, happened: Flags) -> Row:
    """Count and calibration error of the cases of doubt, which the many faces far from the age would hide."""
    if len(probability) < BINS:
        return {"n": len(probability)}
    middle, high = calibration_error_by_chance(probability)
    error = calibration_error(probability, happened)
    return {"n": len(probability), "ece": error, "ece_by_chance": middle, "ece_by_chance_95": high}


def gate(predictions: Predictions, age: int) -> list[Row]:
    """Return who passes and who is refused wrongly by a gate at `age`, for each of `GATE_PROBABILITIES`.

    A person passes where P(age ≥ `age`) reaches the probability: `false_accept` is the share of the younger who pass,
    `false_reject` that of the old enough who do not. Empty where there is nobody on one side.
    """
    young = predictions.where(predictions.high < age).at_least(age)
    old = predictions.where(predictions.low >= age).at_least(age)
    if not (len(young) and len(old)):
        return []
    return [
        {"probability": p, "false_accept": float((young >= p).mean()), "false_reject": float((old < p).mean())}
        for p in GATE_PROBABILITIES
    ]


def binomial_interval(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share (Clopper and Pearson 1934)."""
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


def coverage(predictions: Predictions, level: float, bands: Sequence[IntervalBand]) -> Row:
    """Share of true ages inside the service's intervals and their mean width in ages; by decade predicted, sex, race.

    Where no age is known the result says n = 0. An age known as 0 or 1 is inside with either. Faces whose sex or race
    is not known are left out of those rows.
    """
    exact = predictions.known
    intervals = exact.intervals(level, bands)
    inside = (exact.high >= intervals[:, 0]) & (exact.low <= intervals[:, 1])
    width = intervals[:, 1] - intervals[:, 0] + 1
    decades = {f"{low}–{high - 1}": (exact.age >= low) & (exact.age < high) for low, high in DECADES}
    parts = {
        "bands": decades,
        **{f"by_{name}": _members(getattr(exact, name)) for name in ("sex", "race")},
    }
    rows = {
        key: [{"group": name, **_covered(inside[who], width[who])} for name, who in groups.items() if who.any()]
        for key, groups in parts.items()
    }
    return {"level": level, **_covered(inside, width), **rows}


def _members(groups: NDArray[np.str_]) -> dict[str, Flags]:
    return {str(name): groups == name for name in np.unique(groups) if name}


def _covered(inside: Flags, width: NDArray[np.integer]) -> Row:
    n, hits = len(inside), int(inside.sum())
    if not n:
        return {"n": 0}
    low, high = binomial_interval(hits, n)
    return {"n": n, "coverage": hits / n, "coverage_low": low, "coverage_high": high, "width": float(width.mean())}
