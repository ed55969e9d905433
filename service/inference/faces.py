"""Faces: boxes, landmarks, and what a model says of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.inference.distribution import AgeDistribution

LANDMARK_NAMES: Final = (
    "right_eye",
    "left_eye",
    "nose_tip",
    "mouth_center",
    "right_ear_tragion",
    "left_ear_tragion",
)
"""The detector's six landmarks in its order; left and right are the person's own."""

Pixels = NDArray[np.uint8]
"""An RGB picture, uint8 [height, width, 3]."""


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """A box in pixels of the upright photograph; it may reach past the border."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return self.width * self.height

    @property
    def center(self) -> tuple[float, float]:
        """Centre (x, y) in pixels."""
        return self.x + self.width / 2, self.y + self.height / 2

    def scaled(self, factor: float) -> BoundingBox:
        """Return the same box in a picture that is `factor` times as large."""
        return BoundingBox(self.x * factor, self.y * factor, self.width * factor, self.height * factor)

    def overlap(self, other: BoundingBox) -> float:
        """Intersection over union with `other`, 0..1."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        return shared / (self.area + other.area - shared)


@dataclass(frozen=True, slots=True)
class Face:
    """One detected face: box, the detector's confidence 0..1 and six landmarks (x, y) in pixels."""

    box: BoundingBox
    confidence: float
    landmarks: tuple[tuple[float, float], ...]

    def scaled(self, factor: float) -> Face:
        """Return the same face in a picture that is `factor` times as large."""
        landmarks = tuple((x * factor, y * factor) for x, y in self.landmarks)
        return Face(self.box.scaled(factor), self.confidence, landmarks)


@dataclass(frozen=True, slots=True)
class AgePrediction:
    """What one model says of one face: the distribution, the decoded age and an interval in whole years."""

    face: Face
    distribution: AgeDistribution
    age: float
    level: float
    interval: tuple[int, int]
    warnings: tuple[str, ...] = ()

    def fields(self, thresholds: Sequence[int] = ()) -> dict[str, Any]:
        """Return the prediction by the names that replies and rows have; lengths in pixels, ages in years."""
        low, high = self.interval
        return {
            "box": asdict(self.face.box),
            "detection_confidence": self.face.confidence,
            "landmarks": dict(zip(LANDMARK_NAMES, self.face.landmarks, strict=True)) if self.face.landmarks else None,
            "age": self.age,
            "variance": self.distribution.variance,
            "standard_deviation": self.distribution.variance**0.5,
            "interval": {"level": self.level, "low": low, "high": high},
            "threshold_probabilities": self.distribution.threshold_probabilities.tolist(),
            "at_least": {str(age): self.distribution.at_least(age) for age in thresholds},
            "warnings": list(self.warnings),
        }
