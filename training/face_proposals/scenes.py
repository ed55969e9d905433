"""Compose random scenes with faces of known position, width and rotation, to train face proposals on."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from service.inference.faces import BoundingBox, Pixels
from training.face_proposals.backgrounds import drawn, part, read_rgb, recoloured, scenery, surroundings

SMALLEST: Final = 10.0
"""Width in pixels of the narrowest face to learn from; the widest fills its scene."""

_TRIES: Final = 8
_CUT: Final = 0.25
"""Share of the faces that may lie so near the border that it cuts off up to two fifths of their box."""

_ROOM: Final = 0.6  # of a box's width, the half side around a face that nothing else may cover

Mask = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Portrait:
    """A photograph of one face on disk and the face's box in its pixels."""

    path: Path
    box: BoundingBox


@dataclass(frozen=True, slots=True)
class SceneFace:
    """A face in a scene: its centre and the width of its box in pixels, and its turn in radians as `eye_angle`."""

    x: float
    y: float
    width: float
    turn: float = 0.0

    @property
    def box(self) -> BoundingBox:
        """The square box."""
        return BoundingBox(self.x - self.width / 2, self.y - self.width / 2, self.width, self.width)

    def mirrored(self, width: int) -> SceneFace:
        """Return the same face in the mirror image of a scene `width` pixels wide."""
        return SceneFace(width - self.x, self.y, self.width, -self.turn)

    def quarter_turned(self, width: int) -> SceneFace:
        """Return the same face where a scene `width` pixels wide is turned by 90° against the clock."""
        return SceneFace(self.y, width - self.x, self.width, math.remainder(self.turn - math.pi / 2, 2 * math.pi))


@dataclass(frozen=True, slots=True)
class _Patch:
    """Something to lay into a scene, how much of it covers, 0..1, and the face on it, if there is one."""

    pixels: Pixels
    mask: Mask
    face: SceneFace | None = None


def portraits(store: Path, photos: Path, split: str) -> list[Portrait]:
    """List the photographs of one split that a store was cut from; `photos` is the folder `prepare` read."""
    with (store / "index.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if not row["reason"] and row["split"] == split]
    sides = ("box_x", "box_y", "box_width", "box_height")
    return [Portrait(photos / row["file"], BoundingBox(*(float(row[side]) for side in sides))) for row in rows]


class Scenes:
    """Scenes out of portraits by source and of face-free pictures; a `Generator` decides everything."""

    def __init__(self, sources: list[list[Portrait]], pictures: tuple[Pixels, ...]) -> None:
        """Take portraits, one list per source, and pictures without faces."""
        self._sources, self._pictures = sources, pictures

    @classmethod
    def of(cls, stores: Sequence[Path], photos: Sequence[Path], split: str, names: tuple[str, ...]) -> Self:
        """Take one split of the photographs that stores were cut from, and shipped pictures by their names."""
        pairs = zip(stores, photos, strict=True)
        return cls([portraits(store, folder, split) for store, folder in pairs], scenery(names))

    def scene(
        self, rng: Generator, height: int, width: int, smallest: float = SMALLEST, most: int = 5
    ) -> tuple[Pixels, list[SceneFace]]:
        """Compose uint8 [height, width, 3] with 0 to `most` faces, `smallest` px or wider, and name its faces."""
        if rng.random() < 0.1:
            picture, faces = self._sheet(rng, height, width, smallest)
            return worn(rng, picture), faces
        picture, faces = self._ground(rng, height, width)
        for _ in range(int(rng.integers(0, 4))):
            high, wide = (int(side) for side in rng.integers(20, 150, 2))
            patch = surroundings(rng, high, wide, self._pictures)
            _lay(rng, picture, _Patch(patch, _shape(rng, patch)), faces)
        largest = min(height, width)
        for _ in range(int(rng.integers(0, most + 1))):
            face = _lay(rng, picture, self._face(rng, smallest, largest), faces)
            if face:
                faces.append(face)
        return worn(rng, picture), faces

    def _sheet(self, rng: Generator, height: int, width: int, smallest: float) -> tuple[Pixels, list[SceneFace]]:
        """Lay portraits side by side, as on a page of a yearbook."""
        picture, faces = surroundings(rng, height, width, self._pictures), []
        cell = int(np.exp(rng.uniform(np.log(2 * smallest), np.log(128))))
        gap = int(rng.integers(0, 1 + cell // 4))
        for top in range(int(rng.integers(0, cell)), height - cell, cell + gap):
            for left in range(int(rng.integers(0, cell)), width - cell, cell + gap):
                portrait = self._portrait(rng)
                photo = read_rgb(portrait.path)
                scale = cell / max(photo.shape[:2])
                small, (x, y) = _shrunk(photo, portrait.box, portrait.box.width * scale)
                high, wide = min(cell, small.shape[0]), min(cell, small.shape[1])
                picture[top : top + high, left : left + wide] = small[:high, :wide]
                faces.append(SceneFace(left + x, top + y, portrait.box.width * scale))
        return picture, faces

    def _ground(self, rng: Generator, height: int, width: int) -> tuple[Pixels, list[SceneFace]]:
        chance = rng.random()
        if chance < 0.55:
            return surroundings(rng, height, width, self._pictures), []
        portrait = self._portrait(rng)
        if chance < 0.7:
            return part(rng, _without_face(rng, portrait, self._pictures), height, width), []
        # A whole portrait: the face with its own hair and clothes, up to one that fills the scene.
        side = float(np.exp(rng.uniform(np.log(40), np.log(min(height, width)))))
        scale = side / portrait.box.width
        center_x, center_y = portrait.box.center
        x, y = (float(_middle(rng, side, extent)) for extent in (width, height))
        matrix = np.array([[scale, 0, x - scale * center_x], [0, scale, y - scale * center_y]])
        ground = surroundings(rng, height, width, self._pictures)
        photo = read_rgb(portrait.path)
        cv2.warpAffine(photo, matrix, (width, height), ground, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
        return ground, [SceneFace(x, y, side)]

    def _portrait(self, rng: Generator) -> Portrait:
        source = self._sources[int(rng.integers(len(self._sources)))]
        return source[int(rng.integers(len(source)))]

    def _face(self, rng: Generator, smallest: float, largest: float) -> _Patch:
        portrait = self._portrait(rng)
        # Half of them small, for there are more places that they can lie at.
        side = float(np.exp(rng.uniform(np.log(smallest), np.log(110 if rng.random() < 0.5 else largest))))
        photo, center = _shrunk(read_rgb(portrait.path), portrait.box, side)
        if rng.random() < 0.3:
            photo = _lit(rng, photo)
        return self._turned(rng, photo, center, side)

    def _turned(self, rng: Generator, photo: Pixels, center: tuple[float, float], side: float) -> _Patch:
        """Turn a photograph, a third of them any way round, and mirror it by chance."""
        height, width = photo.shape[:2]
        mask = _head(rng, photo, center, side)
        chance = rng.random()
        most = 0.0 if chance < 0.35 else 30.0 if chance < 0.65 else 180.0
        angle = float(rng.uniform(-most, most))
        matrix = cv2.getRotationMatrix2D(center, angle, 1.0)
        cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
        size = int(width * cos + height * sin) + 2, int(height * cos + width * sin) + 2
        middle = matrix @ np.array([width / 2, height / 2, 1.0])
        matrix[:, 2] += np.array(size) / 2 - middle
        x, y = matrix @ np.array([*center, 1.0])
        patch = np.asarray(cv2.warpAffine(photo, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)
        mask = np.asarray(cv2.warpAffine(mask, matrix, size), np.float32)
        face = SceneFace(float(x), float(y), side, -math.radians(angle))
        if rng.random() < 0.5:
            return _Patch(patch[:, ::-1], mask[:, ::-1], face.mirrored(size[0]))
        return _Patch(patch, mask, face)


def worn(rng: Generator, picture: Pixels) -> Pixels:
    """Wear a scene as cameras and files do: grey, blurred, darker, noisy, compressed."""
    if rng.random() < 0.15:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    if rng.random() < 0.25:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.1))), np.uint8)
    if rng.random() < 0.5:
        table = 255 * (np.arange(256) / 255) ** float(np.exp(rng.uniform(-0.5, 0.5))) * rng.uniform(0.7, 1.2)
        picture = np.asarray(cv2.LUT(picture, np.clip(table, 0, 255).astype(np.uint8)), np.uint8)
    if rng.random() < 0.3:
        noise = rng.standard_normal(picture.shape, dtype=np.float32) * float(rng.uniform(1, 10))
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 96))]
        picture = np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return picture


def _lit(rng: Generator, picture: Pixels) -> Pixels:
    """Change light and colour of a face as a lamp would."""
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
    return np.clip(picture * gain + rng.uniform(-20, 20), 0, 255).astype(np.uint8)


def _shrunk(photo: Pixels, box: BoundingBox, side: float) -> tuple[Pixels, tuple[float, float]]:
    """Scale so that the box is `side` wide; return the picture and the box's centre in it."""
    scale = side / box.width
    width, height = max(2, round(photo.shape[1] * scale)), max(2, round(photo.shape[0] * scale))
    small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return np.asarray(small, np.uint8), (box.center[0] * scale, box.center[1] * scale)


def _head(rng: Generator, photo: Pixels, center: tuple[float, float], side: float) -> Mask:
    """Take the whole photograph, or the head alone, without the photograph's edges; soft borders by chance."""
    mask = np.ones(photo.shape[:2], np.float32)
    if rng.random() < 0.45:
        mask[:] = 0
        axes = (int(side * rng.uniform(0.55, 0.8)), int(side * rng.uniform(0.7, 1.0)))
        cv2.ellipse(mask, (int(center[0]), int(center[1])), axes, 0, 0, 360, 1.0, -1)
    if rng.random() < 0.4:
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.5, side * rng.uniform(0.01, 0.08))), np.float32)
    return mask


def _shape(rng: Generator, patch: Pixels) -> Mask:
    height, width = patch.shape[:2]
    mask = np.ones((height, width), np.float32)
    if rng.random() < 0.5:
        mask[:] = 0
        cv2.ellipse(mask, (width // 2, height // 2), (width // 2, height // 2), 0, 0, 360, 1.0, -1)
    if rng.random() < 0.4:
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), 2.0), np.float32)
    return mask


def _lay(rng: Generator, picture: Pixels, patch: _Patch, taken: Sequence[SceneFace]) -> SceneFace | None:
    """Blend a patch in where it covers none of `taken`; return the face where it came to lie."""
    height, width = picture.shape[:2]
    high, wide = patch.pixels.shape[:2]
    face = patch.face or SceneFace(wide / 2, high / 2, 0.0)
    for _ in range(_TRIES):
        x, y = (_middle(rng, face.width, side) for side in (width, height))
        left, top = round(x - face.x), round(y - face.y)
        x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + wide), min(height, top + high)
        if x1 <= x0 or y1 <= y0 or any(_covers((x0, y0, x1, y1), other) for other in taken):
            continue
        here = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        share = patch.mask[here][:, :, None]
        under = picture[y0:y1, x0:x1]
        picture[y0:y1, x0:x1] = (under * (1 - share) + patch.pixels[here] * share + 0.5).astype(np.uint8)
        return SceneFace(left + face.x, top + face.y, face.width, face.turn) if patch.face else None
    return None


def _middle(rng: Generator, width: float, extent: int) -> float:
    """Place a face along one side of a scene: mostly whole, some cut off by the border."""
    near = 0.1 if rng.random() < _CUT else 0.4
    half = width * float(rng.uniform(near, 0.55))
    return float(rng.uniform(half, extent - half)) if 2 * half < extent else extent / 2


def _covers(patch: tuple[int, int, int, int], face: SceneFace) -> bool:
    reach = face.width * _ROOM
    left, top, right, bottom = patch
    return left < face.x + reach and right > face.x - reach and top < face.y + reach and bottom > face.y - reach


def _without_face(rng: Generator, portrait: Portrait, pictures: tuple[Pixels, ...]) -> Pixels:
    """Return a portrait whose face is covered by something else: clothes, hair and rooms are no faces."""
    photo = read_rgb(portrait.path).copy()
    height, width = photo.shape[:2]
    center_x, center_y = portrait.box.center
    reach = portrait.box.width * 0.55
    x0, x1 = max(0, int(center_x - reach)), min(width, int(center_x + reach))
    y0, y1 = max(0, int(center_y - reach)), min(height, int(center_y + reach))
    size = max(2, y1 - y0), max(2, x1 - x0)
    cover = drawn(rng, *size) if rng.random() < 0.4 else surroundings(rng, *size, pictures)
    photo[y0:y1, x0:x1] = cover[: y1 - y0, : x1 - x0]
    return recoloured(rng, photo)
