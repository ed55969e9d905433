"""What calibration does to a distribution over ages: the same in NumPy as in the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.types import AGES

Floats = NDArray[np.float64]

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
