"""Backgrounds without faces: public pictures that Python packages ship, and drawn ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.random import Generator

from service.errors import FileMissing
from service.inference.faces import Pixels

LEARNT: Final = (
    "brick",
    "cell",
    "chelsea",
    "chessboard_RGB",
    "china",
    "clock_motion",
    "coins",
    "color",
    "flower",
    "grass",
    "gravel",
    "horse",
    "hubble_deep_field",
    "ihc",
    "logo",
    "moon",
    "motorcycle_left",
    "page",
    "phantom",
    "retina",
)
HELD_OUT: Final = ("chessboard_GRAY", "coffee", "microaneurysms", "rocket", "text")
"""Pictures in the packages' data folders; the held-out ones are for measuring only."""


@cache
def scenery(names: tuple[str, ...]) -> tuple[Pixels, ...]:
    """Load pictures uint8 [h, w, 3] by their names in the data folders of scikit-image and scikit-learn."""
    return tuple(_load(name) for name in names)


def _load(name: str) -> Pixels:
    import skimage.data
    import sklearn.datasets

    folders = Path(skimage.data.__file__).parent, Path(sklearn.datasets.__file__).parent / "images"
    path = next(path for folder in folders for path in folder.glob(f"{name}.*") if path.suffix in (".png", ".jpg"))
    return read_rgb(path)


def read_rgb(path: Path) -> Pixels:
    """Read a photograph, uint8 [h, w, 3]; raise FileMissing naming one that is not there or is no picture."""
    picture = cv2.imread(str(path))
    if picture is None:
        raise FileMissing(
            f"{path} is not there or is no picture; give with --photos the folder that has the files a store names, "
            "and with --public a folder of pictures only"
        )
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def surroundings(rng: Generator, height: int, width: int, pictures: tuple[Pixels, ...]) -> Pixels:
    """Make a background uint8 [height, width, 3]: mostly a random part of a picture, recoloured, or a drawing."""
    if rng.random() < 0.25:
        return drawn(rng, height, width)
    return recoloured(rng, part(rng, pictures[int(rng.integers(len(pictures)))], height, width))


def part(rng: Generator, picture: Pixels, height: int, width: int) -> Pixels:
    """Cut a random part of a picture at a random scale, perhaps mirrored or on its side."""
    if rng.random() < 0.2:
        picture = np.rot90(picture)
    room = min(picture.shape[0] / height, picture.shape[1] / width)
    scale = min(room, float(np.exp(rng.uniform(np.log(0.25), np.log(2.5)))))
    high, wide = (max(8, int(side * scale)) for side in (height, width))
    high, wide = min(high, picture.shape[0]), min(wide, picture.shape[1])
    top, left = (
        int(rng.integers(0, picture.shape[0] - high + 1)),
        int(rng.integers(0, picture.shape[1] - wide + 1)),
    )
    view = picture[top : top + high, left : left + wide]
    view = view[:, ::-1] if rng.random() < 0.5 else view
    shrinking = high > height
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(view), (width, height), interpolation=method), np.uint8)


def recoloured(rng: Generator, picture: Pixels) -> Pixels:
    """Exchange or weigh the colours at random, so that no hue tells a background."""
    if rng.random() < 0.3:
        picture = picture[:, :, rng.permutation(3)]
    if rng.random() < 0.1:
        picture = 255 - picture
    if rng.random() < 0.5:
        gain = rng.uniform(0.7, 1.3, 3)
        picture = np.clip(picture * gain + rng.uniform(-25, 25, 3), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(picture)


def drawn(rng: Generator, height: int, width: int) -> Pixels:
    """Draw soft noise of several sizes, shapes and writing."""
    field = np.zeros((height, width, 3), np.float32)
    for cells in (2, 6, 16, 48):
        if rng.random() < 0.7:
            noise = rng.normal(0, rng.uniform(5, 60), (cells, cells, 3)).astype(np.float32)
            field += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(field + rng.uniform(20, 235, 3), 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 14))):
        _shape(rng, picture)
    return picture


def _shape(rng: Generator, picture: Pixels) -> None:
    height, width = picture.shape[:2]
    x, y = int(rng.integers(width)), int(rng.integers(height))
    size = int(np.exp(rng.uniform(np.log(3), np.log(70))))
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    thickness = int(rng.choice([-1, 1, 2, 4]))
    kind = int(rng.integers(4))
    if kind == 0:
        cv2.circle(picture, (x, y), size, colour, thickness, cv2.LINE_AA)
    elif kind == 1:
        cv2.rectangle(picture, (x, y), (x + size, y + int(size * rng.uniform(0.3, 3))), colour, thickness)
    elif kind == 2:
        axes = (size, max(2, int(size * rng.uniform(0.3, 1))))
        cv2.ellipse(picture, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, colour, thickness, cv2.LINE_AA)
    else:
        text = "".join(chr(value) for value in rng.integers(33, 123, int(rng.integers(2, 12))))
        cv2.putText(picture, text, (x, y), int(rng.integers(0, 5)), size / 40, colour, 1 + size // 30, cv2.LINE_AA)
