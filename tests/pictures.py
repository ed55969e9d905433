"""Pictures for tests: NASA's public-domain portrait that scikit-image ships, set into scenes without faces."""

from __future__ import annotations

import io
from functools import cache

import cv2
import numpy as np
from PIL import Image
from skimage import data

from service.inference.faces import Pixels

HEAD = (slice(0, 200), slice(120, 320))
"""Where the astronaut's head lies: 200 x 200 pixels, of which the face is half."""


@cache
def astronaut() -> Pixels:
    """The portrait of Eileen Collins, 512 x 512, one face."""
    return np.asarray(data.astronaut())


@cache
def coffee() -> Pixels:
    """A cup of coffee, 600 x 400, no face."""
    return np.asarray(data.coffee())


def jpeg(pixels: Pixels, quality: int = 95) -> bytes:
    """Encode as JPEG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def pasted(side: int, x: int, y: int, scene: Pixels | None = None) -> Pixels:
    """Set the astronaut's head, scaled to `side` pixels, into a scene at (x, y)."""
    picture = (coffee() if scene is None else scene).copy()
    picture[y : y + side, x : x + side] = cv2.resize(astronaut()[HEAD], (side, side), interpolation=cv2.INTER_AREA)
    return picture
