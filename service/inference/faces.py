"""Faces: boxes, landmarks, and what a model says of one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.inference.distribution import AgeDistribution
from service.inference.options import PredictOptions

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

    def fields(self, options: PredictOptions) -> dict[str, Any]:
        """Return what `options` ask for, by the names of replies and rows.

        Rounded to what it is worth: pixels to one digit after the point, years to two, probabilities to six.
        """
        low, high = self.interval
        curve = self.distribution.threshold_probabilities.round(6).tolist()
        landmarks = [(round(x, 1), round(y, 1)) for x, y in self.face.landmarks]
        said = {
            "box": {name: round(value, 1) for name, value in asdict(self.face.box).items()},
            "detection_confidence": round(self.face.confidence, 6),
            "landmarks": dict(zip(LANDMARK_NAMES, landmarks, strict=True)) if landmarks else None,
            "age": round(self.age, 2),
            "variance": round(self.distribution.variance, 2),
            "standard_deviation": round(self.distribution.variance**0.5, 2),
            "interval": {"level": self.level, "low": low, "high": high},
            "threshold_probabilities": curve,
            "at_least": {str(age): curve[age - 1] for age in options.thresholds},
            "warnings": list(self.warnings),
        }
        if options.fields == "summary":
            del said["threshold_probabilities"]
        return said
