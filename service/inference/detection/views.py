"""Cut a picture into views for the network of proposals: how large each is shown, and how far they overlap."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from service.inference.faces import BoundingBox, Pixels
from service.inference.imaging import Pyramid
from service.inference.options import LEAST_FACE

LONGEST: Final = 512
"""Most pixels of a side of a view, as the network is shown it."""

MULTIPLE: Final = 32
"""Sides of what the network is shown are multiples of this."""

SMALLEST: Final = 16.0
"""Pixels of the smallest face that is looked for where none is said."""

SHARE: Final = 80
"""And what it comes to in large pictures: such a part of the longer side, of which twice the shorter counts at most."""

MAX_VIEWS: Final = 64

_CLOSE: Final = 56.0  # shown pixels of a box that is looked at closely: from 40 on its turn and width are told best
_CLOSE_SIDE: Final = 128  # shown pixels of a side of a close view

_ENOUGH: Final = (
    2 * LEAST_FACE
)  # shown pixels of the smallest face that a caller wants: a larger view would gain nothing
_FINER: Final = 8  # times a pass may show more than the one before it
_REPEATED: Final = 1.35  # times the width of the widest face that the pass before missed: what views overlap by


@dataclass(frozen=True, slots=True)
class View:
    """A rectangle of a picture, in the picture's pixels, shown with one pixel per `step` of them."""

    left: float
    top: float
    width: float
    height: float
    step: float

    def show(self, picture: Pyramid) -> tuple[Pixels, View]:
        """Return the pixels, uint8 with sides that are multiples of 32, and the rectangle that they show exactly."""
        level, factor = picture.reduced(self.step)
        left, right = _within(self.left / factor, self.width / factor, level.shape[1])
        top, bottom = _within(self.top / factor, self.height / factor, level.shape[0])
        size = _rounded(self.width / self.step), _rounded(self.height / self.step)
        shown = cv2.resize(level[top:bottom, left:right], size, interpolation=cv2.INTER_LINEAR)
        exact = View(left * factor, top * factor, (right - left) * factor, (bottom - top) * factor, self.step)
        return np.asarray(shown, np.uint8), exact


def smallest_sought(width: float, height: float) -> float:
    """Return the width in pixels of the smallest face that is looked for in a picture where none is said."""
    return max(SMALLEST, _extent(width, height) / SHARE)


def views(width: int, height: int, smallest: float, most: int = MAX_VIEWS) -> tuple[list[View], bool]:
    """Return the views that show faces of `smallest` pixels and more, coarse ones first, and whether `most` cut off.

    First come views of the whole, one unless a side is over twice the other; where those show smaller faces too small
    follow overlapping views of more detail. Where they would be more than `most` the picture is searched for larger
    faces only.
    """
    capped = False
    while True:
        planned = list(_passes(width, height, smallest))
        if len(planned) <= most or smallest > max(width, height):
            return planned[:most], capped
        smallest, capped = max(smallest, LEAST_FACE) * 1.1, True


def close_view(box: BoundingBox, width: int, height: int, nearer: float = 1.0) -> View:
    """Return the view around a box in a picture of `width` x `height` that shows it as large as is told best.

    `nearer` shows it so many times as large, for boxes that may be too wide by as much.
    """
    step = box.width / _CLOSE / nearer
    wide, high = (min(_CLOSE_SIDE * step, side) for side in (width, height))
    left, top = (
        max(0.0, min(middle - length / 2, side - length))
        for middle, length, side in zip(box.center, (wide, high), (width, height), strict=True)
    )
    return View(left, top, wide, high, step)


def _passes(width: int, height: int, smallest: float) -> Iterator[View]:
    wanted = max(1.0, smallest / LEAST_FACE)
    step = max(1.0, _extent(width, height) / LONGEST, smallest / _ENOUGH)
    yield from _grid(width, height, step, min(width, height) / step)
    while step > wanted * 1.1:
        coarser, step = step, max(wanted, step / _FINER)
        yield from _grid(width, height, step, LEAST_FACE * _REPEATED * coarser / step)


def _grid(width: int, height: int, step: float, overlap: float) -> Iterator[View]:
    """Cover a picture by views as like in size as may be that overlap by as many shown pixels, or more."""
    columns, rows = (list(_stretches(side / step, overlap)) for side in (width, height))
    for top, high in rows:
        for left, wide in columns:
            yield View(left * step, top * step, wide * step, high * step, step)


def _stretches(length: float, overlap: float) -> Iterator[tuple[float, float]]:
    """Yield begin and length of each view along one side, in shown pixels."""
    if length <= LONGEST + MULTIPLE / 2:
        yield 0.0, length
        return
    count = math.ceil((length - overlap) / (LONGEST - overlap))
    each = min(length, math.ceil((length + (count - 1) * overlap) / count / MULTIPLE) * MULTIPLE)
    for number in range(count):
        yield number * (length - each) / (count - 1), each


def _within(start: float, length: float, end: int) -> tuple[int, int]:
    """Return the first and the end of the whole pixels, at least one, that a stretch covers."""
    first = min(int(start), end - 1)
    return first, max(first + 1, min(end, round(start + length)))


def _extent(width: float, height: float) -> float:
    return min(max(width, height), 2 * min(width, height))


def _rounded(side: float) -> int:
    return max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE)
