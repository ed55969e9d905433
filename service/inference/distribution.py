"""Probabilities over the ages 0 to 100, and all arithmetic on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.inference.options import OLDEST_AGE

AGES: Final = 101
"""Number of classes: the whole ages 0..100."""

THRESHOLDS: Final = OLDEST_AGE
"""Number of threshold probabilities P(age > k), k = 0..99."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class IntervalBand:
    """Conformal quantiles for one band of predicted age (Mondrian; Vovk et al. 2005, section 4.5).

    `low` and `high` bound the predicted age in years, low included and high excluded. `scores[i]` is the
    quantile at `levels[i]` of s = 2·|F_mid(y) − ½| with F_mid(y) = P(age < y) + ½ P(age = y). `narrowest` and
    `widest` bound the distribution's own standard deviation in the same way: a picture that the model is unsure of has
    a band of its own among those of one age.
    """

    low: float
    high: float
    levels: tuple[float, ...]
    scores: tuple[float, ...]
    narrowest: float = 0.0
    widest: float = float("inf")

    def holds(self, predicted: float, width: float) -> bool:
        """Tell whether a predicted age and a standard deviation, both in years, fall into this band."""
        return self.low <= predicted < self.high and self.narrowest <= width < self.widest

    def score(self, level: float) -> float:
        """Quantile of the conformity score at `level`, linear between the table's levels."""
        return float(np.interp(level, self.levels, self.scores))


@dataclass(frozen=True)
class AgeDistribution:
    """A probability for each whole age 0..100, float64 [101], that sums to one."""

    pmf: Floats = field(repr=False)

    def __post_init__(self) -> None:
        """Check shape and sum; raise ValueError where they are wrong."""
        if self.pmf.shape != (AGES,):
            raise ValueError(f"a distribution needs {AGES} probabilities, got shape {self.pmf.shape}")
        if not np.isfinite(self.pmf).all() or (self.pmf < 0).any() or abs(self.pmf.sum() - 1) > 1e-3:
            raise ValueError("probabilities must be finite, not negative, and sum to 1")

    @classmethod
    def of(cls, pmf: Sequence[float] | NDArray[np.floating]) -> AgeDistribution:
        """Make one from any float sequence [101], rescaled to sum to one in float64."""
        values = np.clip(np.asarray(pmf, dtype=np.float64), 0.0, None)
        total = values.sum()
        return cls(values / total if total > 0 else values)

    @cached_property
    def threshold_probabilities(self) -> Floats:
        """P(age > k) for k = 0..99, float64 [100], non-increasing, within 0..1."""
        tail = np.cumsum(self.pmf[::-1])[::-1][1:]
        return np.minimum.accumulate(np.clip(tail, 0.0, 1.0))

    @cached_property
    def mean(self) -> float:
        """Mean age in years, Σ k·p_k."""
        return float(np.arange(AGES) @ self.pmf)

    @cached_property
    def variance(self) -> float:
        """Variance in years², Σ (k − mean)²·p_k."""
        return float((np.arange(AGES) - self.mean) ** 2 @ self.pmf)

    @cached_property
    def median(self) -> float:
        """Median age in years, with age k spread evenly over [k − ½, k + ½) and cut to 0..100."""
        return float(np.clip(self.quantile(0.5), 0.0, AGES - 1))

    def quantile(self, q: float) -> float:
        """Age in years below which a share `q` lies, age k spread over [k − ½, k + ½)."""
        cumulative = np.cumsum(self.pmf)
        k = min(int(np.searchsorted(cumulative, q)), AGES - 1)
        below = float(cumulative[k - 1]) if k else 0.0
        mass = float(self.pmf[k])
        return k - 0.5 + ((q - below) / mass if mass > 0 else 0.5)

    def at_least(self, age: int) -> float:
        """P(age ≥ `age`) for 1..100: the threshold probability at age − 1."""
        if not 1 <= age <= THRESHOLDS:
            raise ValueError(f"an age threshold lies in 1..{THRESHOLDS}, got {age}")
        return float(self.threshold_probabilities[age - 1])

    def interval(self, level: float, bands: Sequence[IntervalBand], predicted: float) -> tuple[int, int]:
        """Whole ages (low, high), both included, that hold the true age at `level`; nested in `level`.

        The set {y : 2·|F_mid(y) − ½| ≤ s(level)} where s comes from the band that holds `predicted` and the
        distribution's own standard deviation; without bands s = level, which is its own central interval.
        """
        width = self.variance**0.5
        band = next((b for b in bands if b.holds(predicted, width)), None)
        limit = band.score(level) if band else level
        middle = np.cumsum(self.pmf) - self.pmf / 2
        inside = np.flatnonzero(2 * np.abs(middle - 0.5) <= limit)
        center = int(np.clip(round(self.median), 0, AGES - 1))
        if not inside.size:
            return center, center
        return min(int(inside[0]), center), max(int(inside[-1]), center)
