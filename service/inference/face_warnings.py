"""Warnings about an estimate, from the face, the light and sharpness of its crop, and the model's answer."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from service.inference.distribution import AgeDistribution
from service.inference.faces import Face, Pixels
from service.inference.imaging import eye_angle
from service.inference.manifest import CropSpec

SMALL_FACE_PX: Final = 48.0
LOW_CONFIDENCE: Final = 0.8
TURNED_SHARE: Final = 0.2  # where the nose lies between the ears: 0.5 faces the camera
WIDE_INTERVAL_YEARS: Final = 30
YOUNGEST, OLDEST = 1.0, 90.0
FLAT: Final = {"as-is": 60, "stretched": 10}
"""Of 256 shades of grey, those that the face's middle must span; fewer do for a network that sees them stretched."""
BURNT_SHARE: Final = 0.25  # of the face's middle, in the six brightest of the 256 shades
SQUEEZED: Final = 0.86  # how far apart the eyes are, relative to their distance from the mouth
OUTSIDE_PRIOR: Final = 0.95  # of the distribution that no prior has touched, at ages that the prior has none of
ALIKE_SHARE: Final = 0.5  # of the face's middle, in pixels exactly like the next ones
BLURRED: Final = 0.2  # detail of 1 % of the face's width, relative to that of 4 %
SHARPNESS_NEEDS_PX: Final = 100  # of a crop, for the width of the face: smaller ones show no detail of 1 %

_MIDDLE: Final = 0.49  # of the face's width: no hair, no background, no border of the picture
_DETAIL: Final = ((1 / 148, 2 / 148), (4 / 148, 8 / 148))  # sigmas of Gaussians, in widths of the face


def warnings_for(
    face: Face, width: int, height: int, distribution: AgeDistribution, interval: tuple[int, int], excluded: float
) -> tuple[str, ...]:
    """Return the warnings about an estimate; `face` in pixels of the photograph of `width` x `height`.

    `excluded` is how much of the model's own distribution lies at ages that the mix asked for has none of.
    """
    turned_away = _turned_away(face)
    found = {
        "small_face": min(face.box.width, face.box.height) < SMALL_FACE_PX,
        "low_confidence": face.confidence < LOW_CONFIDENCE,
        "near_border": _near_border(face, width, height),
        "turned_away": turned_away,
        "wide_interval": interval[1] - interval[0] > WIDE_INTERVAL_YEARS,
        "edge_of_range": not YOUNGEST <= distribution.median <= OLDEST,
        "squeezed": not turned_away and _narrowness(face) < SQUEEZED,
        "outside_prior": excluded > OUTSIDE_PRIOR,
    }
    return tuple(name for name, holds in found.items() if holds)


def warnings_of_light(cut: Pixels, spec: CropSpec) -> tuple[str, ...]:
    """Name what is wrong with the light and the sharpness of a face that was cut as `spec` says, not stretched."""
    face_px = spec.size / (1 + 2 * spec.margin)
    edge = round((spec.size - _MIDDLE * face_px) / 2)
    grey = cv2.cvtColor(cut[edge:-edge, edge:-edge], cv2.COLOR_RGB2GRAY).astype(np.float32)
    darkest, brightest = np.percentile(grey, (1, 99))
    is_exposed_badly = brightest - darkest < FLAT[spec.exposure] or (grey >= 250).mean() > BURNT_SHARE
    found = {
        "exposure": is_exposed_badly,
        "blurred": _is_blurred(grey, face_px),
        "few_shades": not is_exposed_badly and _share_alike(grey) > ALIKE_SHARE,
    }
    return tuple(name for name, holds in found.items() if holds)


def _share_alike(grey: NDArray[np.float32]) -> float:
    """How many pixels are exactly like those to the right and below: many in drawings, few in photographs."""
    here = grey[:-1, :-1]
    return float(((here == grey[:-1, 1:]) & (here == grey[1:, :-1])).mean())


def _is_blurred(grey: NDArray[np.float32], face_px: float) -> bool:
    """Whether fine detail is missing that a sharp face has wherever it has coarse detail."""
    if face_px < SHARPNESS_NEEDS_PX:
        return False
    fine, coarse = (_blur(grey, a * face_px) - _blur(grey, b * face_px) for a, b in _DETAIL)
    power = float(np.mean(coarse**2))
    return power > 0.01 and float(np.mean(fine**2)) < BLURRED**2 * power  # less is rounding of a single shade


def _blur(grey: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def _near_border(face: Face, width: int, height: int) -> bool:
    """Whether a part of the face lies outside the picture."""
    box = face.box
    return box.x < 0 or box.y < 0 or box.x + box.width > width or box.y + box.height > height


def _narrowness(face: Face) -> float:
    """How far apart the eyes are, relative to their distance from the mouth across the line of the eyes."""
    if not face.landmarks:
        return math.inf
    right, left, _, mouth = np.array(face.landmarks[:4])
    (x, y), middle = left - right, (left + right) / 2
    area = abs(x * (mouth - middle)[1] - y * (mouth - middle)[0])
    return float((x * x + y * y) / area) if area else math.inf


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
