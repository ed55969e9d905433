"""Pictures that are hard to search: turned, sheets, long pages, faces cut off; each says where its faces are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.random import Generator

from service.inference.faces import BoundingBox, Face, Pixels
from training.face_proposals.backgrounds import part, read_rgb
from training.face_proposals.scenes import Portrait

TURNS: Final = (45, 90, 135, 180, 270)
"""Degrees against the clock that scenes of one face are turned by."""

CUTS: Final = (0.2, 0.35)
"""Shares of a face's box that the border cuts off."""

_SCENE: Final = (480, 640)  # pixels: height, width


@dataclass(frozen=True, slots=True)
class HardPicture:
    """A picture, and a rectangle for each of its faces in which the middle of the face's box lies."""

    pixels: Pixels
    places: tuple[BoundingBox, ...]

    def found(self, faces: Sequence[Face]) -> int:
        """Count the places that hold the middle of some find."""
        return sum(any(_holds(place, face) for face in faces) for place in self.places)

    def false(self, faces: Sequence[Face]) -> int:
        """Count the finds whose middle lies in no place."""
        return sum(not any(_holds(place, face) for place in self.places) for face in faces)


@dataclass(frozen=True, slots=True)
class Grid:
    """A sheet of portraits: how many, the longer side of each, columns, and the sheet's height and width, in pixels."""

    name: str
    count: int
    side: int
    columns: int
    size: tuple[int, int]


GRIDS: Final = (
    Grid("sheet of 80 portraits of 120 px", 80, 120, 8, (1656, 1104)),
    Grid("sheet of 210 portraits of 150 px", 210, 150, 14, (3105, 2415)),
    Grid("page of 1080 × 16000 with 30 portraits of 150 px", 30, 150, 1, (16000, 1080)),
    Grid("panorama of 12000 × 1600 with 20 portraits of 300 px", 20, 300, 20, (1600, 12000)),
)


def scene_of(portrait: Portrait, number: int, backgrounds: tuple[Pixels, ...]) -> HardPicture:
    """Set one portrait into a scene of 640 × 480, its face 60 to 200 pixels wide."""
    rng = np.random.default_rng((11, number))
    width = float(np.exp(rng.uniform(np.log(60), np.log(200))))
    photo, box = _scaled(portrait, width / portrait.box.width)
    scene = _ground(rng, _SCENE, backgrounds)
    top, left = (int(rng.integers(0, max(1, a - b))) for a, b in zip(_SCENE, photo.shape[:2], strict=True))
    shown = photo[: _SCENE[0], : _SCENE[1]]
    scene[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return HardPicture(scene, (_moved(box, left, top),))


def turned(scene: HardPicture, degrees: int) -> HardPicture:
    """Turn a scene of one face against the clock; what comes from beyond it is black."""
    height, width = scene.pixels.shape[:2]
    side = round(np.hypot(height, width)) if degrees % 90 else max(height, width)
    high, wide = (side, side) if degrees % 90 else (width, height) if degrees % 180 else (height, width)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    matrix[:, 2] += (wide - width) / 2, (high - height) / 2
    pixels = cv2.warpAffine(scene.pixels, matrix, (wide, high), flags=cv2.INTER_LINEAR)
    (box,) = scene.places
    x, y = matrix @ np.array([*box.center, 1.0])
    place = BoundingBox(x - box.width / 2, y - box.width / 2, box.width, box.width)
    return HardPicture(np.asarray(pixels, np.uint8), (place,))


def cut(portrait: Portrait, side: str, share: float) -> HardPicture:
    """Cut a portrait at its left, right or top so that the border takes a share of the face's box."""
    photo, box = read_rgb(portrait.path), portrait.box
    width = photo.shape[1]
    left = round(box.x + share * box.width) if side == "left" else 0
    right = round(box.x + (1 - share) * box.width) if side == "right" else width
    top = round(box.y + share * box.height) if side == "top" else 0
    return HardPicture(np.ascontiguousarray(photo[max(0, top) :, max(0, left) : right]), (_moved(box, -left, -top),))


def sheet(grid: Grid, portraits: Sequence[Pixels], backgrounds: tuple[Pixels, ...]) -> HardPicture:
    """Lay portraits into the cells of a sheet; a face's place is its cell."""
    height, width = grid.size
    rows = -(-grid.count // grid.columns)
    pixels = _ground(np.random.default_rng(grid.count), grid.size, backgrounds)
    cell_width, cell_height = width / grid.columns, height / rows
    places = []
    for number, photo in zip(range(grid.count), portraits, strict=False):
        scale = grid.side / max(photo.shape[:2])
        small = _resized(photo, scale)
        x, y = (number % grid.columns) * cell_width, (number // grid.columns) * cell_height
        left, top = int(x + (cell_width - small.shape[1]) / 2), int(y + (cell_height - small.shape[0]) / 2)
        pixels[top : top + small.shape[0], left : left + small.shape[1]] = small
        places.append(BoundingBox(x, y, cell_width, cell_height))
    return HardPicture(pixels, tuple(places))


def faceless(count: int, backgrounds: tuple[Pixels, ...]) -> Iterator[HardPicture]:
    """Cut random parts out of pictures without faces."""
    rng = np.random.default_rng(13)
    for number in range(count):
        picture = backgrounds[number % len(backgrounds)]
        high, wide = (int(rng.integers(min(side, 60), side + 1)) for side in picture.shape[:2])
        top, left = (int(rng.integers(0, a - b + 1)) for a, b in zip(picture.shape[:2], (high, wide), strict=True))
        yield HardPicture(np.ascontiguousarray(picture[top : top + high, left : left + wide]), ())


def enlarged(picture: HardPicture, longer: int) -> HardPicture:
    """Scale a picture without faces so that its longer side has so many pixels."""
    return HardPicture(_resized(picture.pixels, longer / max(picture.pixels.shape[:2])), ())


def _ground(rng: Generator, size: tuple[int, int], backgrounds: tuple[Pixels, ...]) -> Pixels:
    return part(rng, backgrounds[int(rng.integers(len(backgrounds)))], *size).copy()


def _scaled(portrait: Portrait, scale: float) -> tuple[Pixels, BoundingBox]:
    return _resized(read_rgb(portrait.path), scale), portrait.box.scaled(scale)


def _resized(photo: Pixels, scale: float) -> Pixels:
    size = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(photo, size, interpolation=how), np.uint8)


def _moved(box: BoundingBox, x: float, y: float) -> BoundingBox:
    return BoundingBox(box.x + x, box.y + y, box.width, box.height)


def _holds(place: BoundingBox, face: Face) -> bool:
    x, y = face.box.center
    return place.x <= x < place.x + place.width and place.y <= y < place.y + place.height
