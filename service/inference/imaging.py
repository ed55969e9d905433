"""Pixels to upright face crops: the only geometry, used by the service and by training."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from service.inference.decoding.photo import Photo
from service.inference.faces import BoundingBox, Face, Pixels
from service.inference.manifest import CropSpec


class Pyramid:
    """A picture and its successive halvings (area means), made on demand and kept for further faces."""

    def __init__(self, pixels: Pixels) -> None:
        """Start from uint8 [height, width, 3]; nothing is computed yet."""
        self._levels = [pixels]

    @property
    def pixels(self) -> Pixels:
        """The picture at its full size."""
        return self._levels[0]

    def reduced(self, step: float) -> tuple[Pixels, int]:
        """Return the coarsest level with at least one pixel per `step` pixels, and its factor 1, 2, 4, …."""
        level = max(0, math.floor(math.log2(step))) if step > 1 else 0
        while len(self._levels) <= level:
            last = self._levels[-1]
            height, width = last.shape[:2]
            if min(height, width) < 4:
                break
            even = last[: height // 2 * 2, : width // 2 * 2]
            half = cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            self._levels.append(np.asarray(half, dtype=np.uint8))
        level = min(level, len(self._levels) - 1)
        return self._levels[level], 2**level


def crop_face(picture: Pixels | Pyramid, face: Face, spec: CropSpec, bleed: int = 0) -> Pixels:
    """Crop `face` as a network sees it: upright, and with its exposure stretched if `spec` says so."""
    return exposed(cut_face(picture, face, spec, bleed), spec, bleed)


def cut_face(picture: Pixels | Pyramid, face: Face, spec: CropSpec, bleed: int = 0) -> Pixels:
    """Crop `face` upright, with its exposure unchanged, uint8 [size + 2·bleed, size + 2·bleed, 3].

    Beyond the picture's border it is black. The crop's `spec.size` pixels cover `1 + 2·margin` box widths around the
    box's centre, turned so that the eyes lie level. `bleed` adds pixels around at the same scale: the centre window of
    a bled crop is the unbled crop, bit for bit, since both take the same samples. A `Pyramid` shares its halvings
    between the faces of a picture.
    """
    pyramid = picture if isinstance(picture, Pyramid) else Pyramid(picture)
    step = crop_step(face, spec)
    source, factor = pyramid.reduced(step)
    offsets = np.arange(spec.size + 2 * bleed, dtype=np.float64) - (spec.size + 2 * bleed - 1) / 2
    angle = eye_angle(face)
    along, across = step * math.cos(angle), step * math.sin(angle)
    u, v = offsets[None, :], offsets[:, None]
    center_x, center_y = face.box.center
    x = center_x + (along * u - across * v)
    y = center_y + (across * u + along * v)
    return _sample(source, _pixel_index(x, factor), _pixel_index(y, factor))


def exposed(crop: Pixels, spec: CropSpec, bleed: int = 0) -> Pixels:
    """Give a face crop the exposure that `spec` declares.

    Stretched, the darkest 0.5 % of its values become 0 and the brightest 0.5 % become 255, all channels alike. Pure
    black does not count and stays, since it lies beyond the picture's border; nor does the bleed count.
    """
    if spec.exposure == "as-is":
        return crop
    middle = np.ascontiguousarray(crop[bleed : crop.shape[0] - bleed, bleed : crop.shape[1] - bleed])
    seen = (cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY) > 0).astype(np.uint8)
    of_channels = [cv2.calcHist([middle], [channel], seen, [256], [0, 256]) for channel in range(3)]
    counts = np.sum(of_channels, axis=0).ravel().cumsum()
    low, high = (int(np.searchsorted(counts, share * counts[-1])) for share in _STRETCHED)
    if high <= low:  # one shade: nothing to tell apart
        return crop
    shades = np.clip((np.arange(256) - low) * (255 / (high - low)) + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(crop, shades), dtype=np.uint8)


_STRETCHED: Final = (0.005, 0.995)


def crop_step(face: Face, spec: CropSpec) -> float:
    """Picture pixels per crop pixel: below one the crop is upsampled."""
    side = max(face.box.width, face.box.height) * (1 + 2 * spec.margin)
    return max(side, 1.0) / spec.size


def whole_picture(photo: Photo, spec: CropSpec) -> Face:
    """Return a face without landmarks whose crop is the whole picture: for callers who cut faces themselves."""
    height, width = photo.pixels.shape[:2]
    side = max(height, width) / (1 + 2 * spec.margin)
    return Face(BoundingBox((width - side) / 2, (height - side) / 2, side, side), 1.0, ())


def eye_angle(face: Face) -> float:
    """Roll of the face in radians: the direction from the person's right eye to the left; 0 without landmarks."""
    if not face.landmarks:
        return 0.0
    (rx, ry), (lx, ly) = face.landmarks[0], face.landmarks[1]
    return math.atan2(ly - ry, lx - rx)


def _pixel_index(position: NDArray[np.float64], factor: int) -> NDArray[np.float32]:
    """Continuous position → index of a pixel centre in the picture reduced by `factor`."""
    return (position / factor - 0.5).astype(np.float32)


def _sample(source: Pixels, x: NDArray[np.float32], y: NDArray[np.float32]) -> Pixels:
    sampled = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0))
    return np.asarray(sampled, dtype=np.uint8)
