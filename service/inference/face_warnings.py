"""When to warn of an answer: small, uncertain, cut-off or turned faces, wide intervals, the ends of the range."""

from __future__ import annotations

import math
from typing import Final

from service.inference.distribution import AgeDistribution
from service.inference.faces import Face
from service.inference.imaging import eye_angle

SMALL_FACE_PX: Final = 48.0
LOW_CONFIDENCE: Final = 0.8
TURNED_SHARE: Final = 0.2  # where the nose lies between the ears: 0.5 faces the camera
WIDE_INTERVAL_YEARS: Final = 30
YOUNGEST, OLDEST = 1.0, 90.0


def warnings_for(
    face: Face, width: int, height: int, distribution: AgeDistribution, interval: tuple[int, int]
) -> tuple[str, ...]:
    """Name what makes this answer less sure; `face` in pixels of the photograph of `width` x `height`."""
    found = {
        "small_face": min(face.box.width, face.box.height) < SMALL_FACE_PX,
        "low_confidence": face.confidence < LOW_CONFIDENCE,
        "near_border": _near_border(face, width, height),
        "turned_away": _turned_away(face),
        "wide_interval": interval[1] - interval[0] > WIDE_INTERVAL_YEARS,
        "edge_of_range": not YOUNGEST <= distribution.median <= OLDEST,
    }
    return tuple(name for name, holds in found.items() if holds)


def _near_border(face: Face, width: int, height: int) -> bool:
    """Whether a part of the face lies outside the picture."""
    box = face.box
    return box.x < 0 or box.y < 0 or box.x + box.width > width or box.y + box.height > height


def _turned_away(face: Face) -> bool:
    """Whether the nose lies near or past one ear, measured along the line of the eyes."""
    if not face.landmarks:
        return False
    angle = eye_angle(face)
    right, left, nose = (
        math.cos(angle) * face.landmarks[index][0] + math.sin(angle) * face.landmarks[index][1] for index in (4, 5, 2)
    )
    if left <= right:
        return True
    return not TURNED_SHARE <= (nose - right) / (left - right) <= 1 - TURNED_SHARE
