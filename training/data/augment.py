"""Augmentation of wide face crops in numpy and OpenCV: geometry, framing, tone, resolution, occlusion."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log
from typing import Annotated, Final

import cv2
import numpy as np
from annotated_types import Ge, Gt, Interval
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import AllowInfNan

from service.errors import InvalidParameter
from service.inference.faces import Pixels
from service.inference.imaging import exposed
from service.inference.manifest import CropSpec
from training.data.wear import compressed, worn

Colour = NDArray[np.float32]
Matrix = NDArray[np.float64]
Share = Annotated[float, Interval(ge=0, le=1), AllowInfNan(False)]
NotNegative = Annotated[float, Ge(0), AllowInfNan(False)]
Positive = Annotated[float, Gt(0), AllowInfNan(False)]

STRETCHED: Final = CropSpec(size=160, margin=0.0, exposure="stretched")
"""Says only how faces are exposed: no face is cut by it."""


LENSES: Final = (0.3, 0.7)
LENS_HEIGHT: Final = 0.31
"""Where glasses are in a face that is cut as the service cuts it, in parts of its side."""

LEAST_BLUR: Final = 0.4
"""Sigma in pixels of the weakest blur."""

LEAST_ERASED: Final = 0.08
"""Side of the smallest rectangle that is hidden, as a share of the face's."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly a face is changed; every `*_share` is the share of faces a change is made to, 0..1.

    `scale_low` and `scale_high` multiply the side of the cut window (above 1 the face gets smaller), `shift` is
    a share of that side, `rotation_deg` degrees to either side. A chip is the face as if it had come from a
    tightly cut picture: black outside a rectangle of `chip_low` to `chip_high` times the nominal window.
    """

    scale_low: Positive = 0.9
    scale_high: Positive = 1.2
    shift: Share = 0.05
    rotation_deg: NotNegative = 8.0
    flip_share: Share = 0.5
    chip_share: Share = 0.3
    chip_low: Positive = 0.85
    chip_high: Positive = 1.1
    grey_share: Share = 0.12
    tint_share: Share = 0.08
    brightness: Share = 0.15
    contrast: Share = 0.2
    saturation: Share = 0.2
    gamma: NotNegative = 0.15
    blur_share: Share = 0.06
    blur_sigma: Annotated[float, Ge(LEAST_BLUR), AllowInfNan(False)] = 1.6
    low_resolution_share: Share = 0.1
    low_resolution_px: Annotated[int, Ge(1)] = 24
    jpeg_share: Share = 0.15
    jpeg_quality: Annotated[int, Interval(ge=0, le=95)] = 25
    noise_share: Share = 0.08
    noise_sigma: NotNegative = 10.0
    erase_share: Share = 0.05
    erase_side: Annotated[float, Interval(ge=LEAST_ERASED, le=1)] = 0.3
    wear_share: Share = 0.0
    """Worn as `training.data.wear` does it, after all else but what lies beyond the picture and compression."""
    aspect_share: Share = 0.0
    aspect: Annotated[float, Ge(1), AllowInfNan(False)] = 4 / 3
    """Width over height is changed by up to this factor or its inverse, as in a picture shown in another format."""
    glasses_share: Share = 0.0
    """Both eyes are covered by dark glasses."""
    stretch_share: Share = 0.0
    """Exposed last of all as the service exposes faces for a model with `exposure: stretched`."""

    def __post_init__(self) -> None:
        """Raise InvalidParameter where the least of two limits is the greater."""
        for name in ("scale", "chip"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if low > high:
                raise InvalidParameter(f"augmentation: {name}_low is {low:g}, more than {name}_high, {high:g}")


NO_AUGMENTATION = Augmentation(
    scale_low=1.0,
    scale_high=1.0,
    shift=0.0,
    rotation_deg=0.0,
    flip_share=0.0,
    chip_share=0.0,
    grey_share=0.0,
    tint_share=0.0,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    gamma=0.0,
    blur_share=0.0,
    low_resolution_share=0.0,
    jpeg_share=0.0,
    noise_share=0.0,
    erase_share=0.0,
)

MILD = Augmentation(
    scale_low=0.97,
    scale_high=1.05,
    shift=0.03,
    rotation_deg=4.0,
    chip_share=0.08,
    tint_share=0.05,
    brightness=0.12,
    contrast=0.15,
    saturation=0.15,
    gamma=0.1,
    blur_share=0.03,
    low_resolution_share=0.04,
    low_resolution_px=32,
    jpeg_share=0.06,
    jpeg_quality=35,
    noise_share=0.03,
    erase_share=0.0,
)
"""Faces nearly as the service sees them: for a recipe's last stage."""


def centre(wide: Pixels, size: int) -> Pixels:
    """Return the exact centre window, uint8 [..., size, size, 3], of wide crops [..., S, S, 3]."""
    start = (wide.shape[-2] - size) // 2
    return wide[..., start : start + size, start : start + size, :]


def framed_and_changed(wide: Pixels, size: int, strength: Augmentation, seed: tuple[int, ...]) -> tuple[Pixels, Pixels]:
    """Cut a face out of a wide crop uint8 [S, S, 3], then change its light and detail; both uint8 [size, size, 3].

    Equal seeds give equal faces.
    """
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed)))
    window, source = _window(wide, size, strength, rng)
    framed = shown = _cut(source, window, size)
    # What is drawn for shares of 0 would give earlier recipes other faces.
    if strength.aspect_share and _happens(strength.aspect_share, rng):
        shown = _cut(source, _in_another_format(window, size, strength, rng), size)
    beyond = _beyond(shown)
    if strength.glasses_share and _happens(strength.glasses_share, rng):
        shown = _with_glasses(shown, rng)
    face = _toned(_degraded(shown, strength, rng), strength, rng)
    if _happens(strength.wear_share, rng):
        face = worn(face, rng)
    face[beyond] = 0
    face = _compressed(_erased(face, strength, rng), strength, rng)
    if _happens(strength.stretch_share, rng):
        face = exposed(face, STRETCHED)
    return framed, face


def _beyond(face: Pixels) -> NDArray[np.bool_]:
    """Mark what lies beyond the picture: the service leaves it black whatever the picture's tone is."""
    picture = (face.max(axis=2) > 0).astype(np.uint8)
    # Closing keeps single black pixels of dark hair inside the picture.
    return np.asarray(cv2.morphologyEx(picture, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) == 0)


def _happens(share: float, rng: Generator) -> bool:
    return bool(rng.random() < share)


def _scale(strength: Augmentation, rng: Generator) -> float:
    """Draw in log scale with the nominal window as the mode: most faces are cut as the service cuts them."""
    low, high = log(strength.scale_low), log(strength.scale_high)
    return float(np.exp(rng.triangular(low, min(max(0.0, low), high), high))) if low < high else strength.scale_low


def _window(wide: Pixels, size: int, strength: Augmentation, rng: Generator) -> tuple[Matrix, Pixels]:
    """Draw a window that is scaled, shifted, turned and mirrored; return its 2 x 3 matrix and what it is cut from."""
    source = _chip(wide, size, strength, rng) if _happens(strength.chip_share, rng) else wide
    zoom = 1.0 / _scale(strength, rng)
    angle = rng.uniform(-strength.rotation_deg, strength.rotation_deg)
    shift_x, shift_y = rng.uniform(-strength.shift, strength.shift, 2) * size
    middle = (wide.shape[0] - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), angle, zoom)
    matrix[:, 2] += (size - 1) / 2 - middle + np.array([shift_x, shift_y])
    if _happens(strength.flip_share, rng):
        matrix[0] *= -1
        matrix[0, 2] += size - 1
    return np.asarray(matrix, dtype=np.float64), source


def _cut(source: Pixels, window: Matrix, size: int) -> Pixels:
    """Cut the window out; black beyond the stored pixels."""
    return np.asarray(cv2.warpAffine(source, window, (size, size), flags=cv2.INTER_LINEAR), dtype=np.uint8)


def _in_another_format(window: Matrix, size: int, strength: Augmentation, rng: Generator) -> Matrix:
    """Make the face wider or narrower around the middle; the detector's box keeps about its area."""
    wider = np.exp(rng.uniform(-log(strength.aspect), log(strength.aspect)) / 2)
    scales, middle = np.array([wider, 1 / wider]), (size - 1) / 2
    changed = scales[:, None] * window
    changed[:, 2] += middle * (1 - scales)
    return np.asarray(changed, dtype=np.float64)


def _with_glasses(face: Pixels, rng: Generator) -> Pixels:
    """Cover the eyes, where an upright face has them, with lenses that let at most a quarter of the light through."""
    size = face.shape[0]
    covered, shade = face.copy(), rng.uniform(0, 60, 3)
    width, height = rng.uniform(0.13, 0.18) * size, rng.uniform(0.09, 0.13) * size
    for across in LENSES:
        middle = (round(across * size), round((LENS_HEIGHT + rng.uniform(-0.02, 0.02)) * size))
        cv2.ellipse(covered, middle, (round(width), round(height)), 0, 0, 360, shade.tolist(), -1, cv2.LINE_AA)
    through = rng.choice([0.0, rng.uniform(0, 0.25)])
    return np.asarray(cv2.addWeighted(face, through, covered, 1 - through, 0), dtype=np.uint8)


def _chip(wide: Pixels, size: int, strength: Augmentation, rng: Generator) -> Pixels:
    """Black out what lies beyond a rectangle around the face, each side drawn on its own."""
    middle = wide.shape[0] / 2
    reach = rng.uniform(strength.chip_low, strength.chip_high, 4) * size / 2
    # A face near a picture's border loses one or two sides only.
    reach[rng.random(4) < rng.choice([0.0, 0.5])] = middle
    left, top = np.round(middle - reach[:2]).astype(int).clip(0)
    right, bottom = np.round(middle + reach[2:]).astype(int)
    chip = np.zeros_like(wide)
    chip[top:bottom, left:right] = wide[top:bottom, left:right]
    return chip


def _degraded(face: Pixels, strength: Augmentation, rng: Generator) -> Pixels:
    """Take detail away: a small face scaled up, or a blurred one."""
    size = face.shape[0]
    if _happens(strength.low_resolution_share, rng):
        small = int(np.exp(rng.uniform(log(min(strength.low_resolution_px, size)), log(size))))
        tiny = cv2.resize(face, (small, small), interpolation=cv2.INTER_AREA)
        how = cv2.INTER_LINEAR if _happens(0.7, rng) else cv2.INTER_CUBIC
        face = np.asarray(cv2.resize(tiny, (size, size), interpolation=how), dtype=np.uint8)
    if _happens(strength.blur_share, rng):
        sigma = rng.uniform(LEAST_BLUR, strength.blur_sigma)
        side = 2 * ceil(2 * sigma) + 1
        face = np.asarray(cv2.GaussianBlur(face, (side, side), sigma), dtype=np.uint8)
    return face


def _colour_matrix(strength: Augmentation, rng: Generator) -> Colour:
    """Return the 3 by 4 matrix of one linear change of colour: grey or saturation, tint, contrast, brightness."""
    keep = 1.0 + rng.uniform(-strength.saturation, strength.saturation)
    if _happens(strength.grey_share, rng):
        keep = 0.0
    luma = np.array([0.299, 0.587, 0.114])
    matrix = keep * np.eye(3) + (1 - keep) * luma
    offset = np.zeros(3)
    if _happens(strength.tint_share, rng):
        # Old prints: faded (less colour, lifted blacks) and warm or cool.
        fade = rng.uniform(0.2, 1.0)
        matrix = (1 - fade) * matrix + fade * luma
        matrix *= (1 + rng.uniform(-1, 1) * np.array([0.18, 0.02, -0.22]))[:, None]
        matrix, offset = matrix * rng.uniform(0.6, 1.0), offset + rng.uniform(0, 50)
    contrast = 1 + rng.uniform(-strength.contrast, strength.contrast)
    offset = contrast * (offset - 128) + 128 + 255 * rng.uniform(-strength.brightness, strength.brightness)
    return np.concatenate([contrast * matrix, offset[:, None]], axis=1).astype(np.float32)


def _toned(face: Pixels, strength: Augmentation, rng: Generator) -> Pixels:
    """Change colour and tone, then add a film's or a sensor's noise."""
    toned = np.asarray(cv2.transform(face, _colour_matrix(strength, rng)), dtype=np.uint8)
    if strength.gamma:
        power = np.exp(rng.uniform(-strength.gamma, strength.gamma))
        curve = np.round(255 * (np.arange(256) / 255) ** power).astype(np.uint8)
        toned = np.asarray(cv2.LUT(toned, curve), dtype=np.uint8)
    if _happens(strength.noise_share, rng):
        toned = _noisy(toned, rng.uniform(0, strength.noise_sigma), rng)
    return toned


def _noisy(face: Pixels, sigma: float, rng: Generator) -> Pixels:
    # A film's grain has no colour, a sensor's noise has.
    shape = (*face.shape[:2], 1) if _happens(0.5, rng) else face.shape
    grain = rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma)
    return np.clip(face + grain, 0, 255).astype(np.uint8)


def _erased(face: Pixels, strength: Augmentation, rng: Generator) -> Pixels:
    """Hide one rectangle behind a flat colour: a hand, a caption, a mask."""
    if not _happens(strength.erase_share, rng):
        return face
    size = face.shape[0]
    height, width = (rng.uniform(LEAST_ERASED, strength.erase_side, 2) * size).astype(int)
    top, left = int(rng.integers(0, size - height)), int(rng.integers(0, size - width))
    hidden = face.copy()
    hidden[top : top + height, left : left + width] = rng.integers(0, 256, 3)
    return hidden


def _compressed(face: Pixels, strength: Augmentation, rng: Generator) -> Pixels:
    if not _happens(strength.jpeg_share, rng):
        return face
    return compressed(face, int(rng.integers(strength.jpeg_quality, 96)))
