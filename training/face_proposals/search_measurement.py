"""Measure how a detector searches pictures that are hard, and the photographs that a store was prepared from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from rich.progress import track

from service.inference.faces import Face, Pixels
from training.face_proposals.backgrounds import read_rgb
from training.face_proposals.hard_pictures import (
    CUTS,
    GRIDS,
    TURNS,
    HardPicture,
    cut,
    enlarged,
    faceless,
    scene_of,
    sheet,
    turned,
)
from training.face_proposals.scenes import Portrait

FACELESS: Final = 500
ENLARGED: Final = 1600
"""Pixels of the longer side of pictures without faces that are searched in several views."""

Detect = Callable[[Pixels], Sequence[Face]]
Age = Callable[[Pixels, Face], float]


@dataclass(frozen=True, slots=True)
class Searched:
    """What came of pictures of one sort: faces in them, those found, false ones, and |change of age| for each found."""

    name: str
    pictures: int
    faces: int
    found: int
    false: int
    age_shifts: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Remeasured:
    """Photographs of a store searched anew: how many show a face, and by what shares of a box's width boxes moved."""

    name: str
    pictures: int
    found: int
    centers: tuple[float, ...]
    widths: tuple[float, ...]


def hard_pictures(
    detect: Detect, age: Age, portraits: Sequence[Portrait], public: Sequence[Path], backgrounds: tuple[Pixels, ...]
) -> Iterator[Searched]:
    """Search every sort of hard picture: made of `portraits`, and sheets also of photographs that are `public`."""
    scenes = [scene_of(portrait, number, backgrounds) for number, portrait in enumerate(portraits)]
    yield from _turned(detect, age, scenes)
    for share in CUTS:
        for side in ("left", "right", "top"):
            name = f"cut off at the {side} by {share:.0%} of the box"
            yield _searched(name, detect, (cut(portrait, side, share) for portrait in portraits))
    for name, paths in (("val", [portrait.path for portrait in portraits]), ("public domain", public)):
        for grid in GRIDS if paths else ():
            photos = [read_rgb(paths[number % len(paths)]) for number in range(grid.count)]
            yield _searched(f"{grid.name}, {name}", detect, [sheet(grid, photos, backgrounds)])
    crops = list(faceless(FACELESS, backgrounds))
    yield _searched("without faces", detect, crops)
    yield _searched(f"without faces, {ENLARGED} px", detect, (enlarged(crop, ENLARGED) for crop in crops))


def remeasured(name: str, detect: Detect, portraits: Sequence[Portrait]) -> Remeasured:
    """Search a store's photographs again and compare the largest face with the store's box."""
    centers, widths = [], []
    for portrait in track(portraits, name):
        found = detect(read_rgb(portrait.path))
        if found:
            new, old = found[0].box, portrait.box
            centers.append(float(np.hypot(*np.subtract(new.center, old.center))) / old.width)
            widths.append(new.width / old.width - 1)
    return Remeasured(name, len(portraits), len(centers), tuple(centers), tuple(widths))


def _turned(detect: Detect, age: Age, scenes: Sequence[HardPicture]) -> Iterator[Searched]:
    upright = [detect(scene.pixels) for scene in scenes]
    faces_before = [_only(scene, faces) for scene, faces in zip(scenes, upright, strict=True)]
    ages = [age(scene.pixels, face) if face else None for scene, face in zip(scenes, faces_before, strict=True)]
    false = sum(scene.false(faces) for scene, faces in zip(scenes, upright, strict=True))
    yield Searched("not turned", len(scenes), len(scenes), len(scenes) - faces_before.count(None), false)
    for degrees in TURNS:
        shifts, found, false = [], 0, 0
        for scene, before in track(list(zip(scenes, ages, strict=True)), f"turned by {degrees}°"):
            picture = turned(scene, degrees)
            faces = detect(picture.pixels)
            face = _only(picture, faces)
            found, false = found + (face is not None), false + picture.false(faces)
            if face and before is not None:
                shifts.append(abs(age(picture.pixels, face) - before))
        yield Searched(f"turned by {degrees}°", len(scenes), len(scenes), found, false, tuple(shifts))


def _searched(name: str, detect: Detect, pictures: Iterable[HardPicture]) -> Searched:
    count = faces = found = false = 0
    for picture in track(list(pictures), name):
        finds = detect(picture.pixels)
        count, faces = count + 1, faces + len(picture.places)
        found, false = found + picture.found(finds), false + picture.false(finds)
    return Searched(name, count, faces, found, false)


def _only(picture: HardPicture, faces: Sequence[Face]) -> Face | None:
    return next((face for face in faces if picture.found([face])), None)
