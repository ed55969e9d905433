"""Pictures that benchmarks read: scikit-image's public-domain portrait set into generated scenes."""

from __future__ import annotations

import io
from functools import cache
from typing import Final

import cv2
import numpy as np
from PIL import Image
from skimage import data

from service.inference.faces import Pixels

_HEAD: Final = (slice(0, 200), slice(120, 320))
PHONE: Final = (4000, 3000)
"""Width and height of a 12-megapixel photograph."""


@cache
def head() -> Pixels:
    """Return the astronaut's head, 200 x 200 pixels, of which the face is half."""
    return np.asarray(data.astronaut()[_HEAD])


def scene(width: int, height: int, seed: int = 0) -> Pixels:
    """Generate a scene without faces: soft shapes, and a sensor's grain so that it compresses like a photograph."""
    rng = np.random.default_rng(seed)
    soft = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((6, 70), (40, 25), (240, 12)):
        noise = rng.standard_normal((max(2, cells * height // width), cells, 3)).astype(np.float32)
        soft += weight * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = rng.standard_normal((height, width, 1)).astype(np.float32) * 6
    return np.asarray(np.clip(soft + grain + 120, 0, 255), dtype=np.uint8)


def paste(into: Pixels, picture: Pixels, side: int, x: int, y: int) -> None:
    """Set a square picture, scaled to `side` pixels, into a scene at (x, y)."""
    shrinks = side < picture.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    into[y : y + side, x : x + side] = cv2.resize(picture, (side, side), interpolation=method)


def jpeg(pixels: Pixels, quality: int = 90) -> bytes:
    """Encode as a camera would."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


@cache
def small_photo() -> bytes:
    """640 x 480 with one face."""
    pixels = scene(640, 480)
    paste(pixels, head(), 280, 180, 60)
    return jpeg(pixels)


@cache
def large_photo() -> bytes:
    """12 megapixels with one face."""
    pixels = scene(*PHONE)
    paste(pixels, head(), 1400, 1200, 700)
    return jpeg(pixels)


@cache
def group_photo() -> bytes:
    """1600 x 1200 with ten faces."""
    pixels = scene(1600, 1200)
    for number in range(10):
        row, column = divmod(number, 5)
        paste(pixels, head(), 240, 60 + 310 * column, 200 + 450 * row)
    return jpeg(pixels)


def photos() -> dict[str, bytes]:
    """Make the three that the stage table is of."""
    return {
        "640x480, one face": small_photo(),
        "12 megapixels, one face": large_photo(),
        "1600x1200, ten faces": group_photo(),
    }
