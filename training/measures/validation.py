"""Score predicted distributions on labelled faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.inference.distribution import Floats
from service.inference.faces import Pixels
from training.data.store import FaceSet, signed_error
from training.data.wear import worn
from training.measures.calibration import decoded

RESAMPLES: Final = 1000

LEAST_SPREAD: Final = 0.5
"""Years of standard deviation that the ages of real faces have at least: less, and a network says the same of all."""


@dataclass(frozen=True)
class Scores:
    """Predictions for a whole set: pmf [n, 101], decoded ages and absolute errors in years [n]."""

    pmf: NDArray[np.floating]
    ages: Floats
    errors: Floats

    @property
    def mae(self) -> float:
        """Mean absolute error in years; for a group label, the distance outside it."""
        return float(self.errors.mean())

    @property
    def spread(self) -> float:
        """Standard deviation of the decoded ages in years; near 0 where all faces get the same."""
        return float(self.ages.std())


WEAR: Final = 24
"""Seed of the wear that networks are measured under."""


@dataclass(frozen=True)
class WornFaces(FaceSet):
    """The faces of a set, each worn as old prints and poor copies are, in ways that its place alone chooses."""

    def faces(self, index: NDArray[np.int64], size: int) -> Pixels:
        """Return the centre windows uint8 [b, size, size, 3], worn."""
        unworn = zip(super().faces(index, size), index.tolist(), strict=True)
        return np.stack([worn(face, np.random.default_rng((WEAR, place))) for face, place in unworn])


def score(predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]], faces: FaceSet, size: int, batch: int) -> Scores:
    """Run `predict` (faces [batch, size, size, 3] → pmf) over a set; the last batch is padded to one shape."""
    parts = []
    for start in range(0, len(faces), batch):
        index = np.arange(start, start + batch).clip(max=len(faces) - 1)
        parts.append(predict(faces.faces(index, size))[: len(faces) - start])
    return scored(np.concatenate(parts), faces)


def scored(pmf: NDArray[np.floating], faces: FaceSet) -> Scores:
    """Score distributions [n, 101] of a whole set against its labels."""
    ages = decoded(pmf, "median")
    return Scores(pmf, ages, np.abs(signed_error(ages, faces.low, faces.high)))


def mae_by_source(scores: Scores, faces: FaceSet) -> dict[str, float]:
    """Return the mean absolute error in years of each source in the set, whose faces may lie in several stores."""
    sources = np.array([row["source"] for row in faces.rows])
    return {str(name): float(scores.errors[sources == name].mean()) for name in dict.fromkeys(sources)}


def bootstrap(values: Floats) -> tuple[float, float]:
    """95 % percentile interval of the mean over photographs (Efron and Tibshirani 1993, section 13.3)."""
    rng = np.random.default_rng(0)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
