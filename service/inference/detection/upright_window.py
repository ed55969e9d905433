"""A square of a picture around a face, turned upright: cut out for a network, and its finds mapped back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from service.inference.faces import BoundingBox, Face, Pixels
from service.inference.imaging import Pyramid

SIDE: Final = 128
"""Pixels a side of a window, as BlazeFace takes it."""

_SPAN: Final = 2.0  # box widths that a window spans


@dataclass(frozen=True, slots=True)
class Window:
    """A square of the picture, turned upright: centre, picture pixels per window pixel, and turn in radians."""

    x: float
    y: float
    step: float
    turn: float

    @classmethod
    def around(cls, box: BoundingBox, turn: float) -> Window:
        """Take two widths of a face's box, turned by so many radians."""
        return cls(*box.center, max(box.width, box.height, 1.0) * _SPAN / SIDE, turn)

    def pixels(self, picture: Pyramid, shown: float, border: int) -> Pixels:
        """Cut the window out, uint8 [128, 128, 3], black where it is not shown, and `border` beyond the picture."""
        source, factor = picture.reduced(self.step)
        cos, sin = (part * self.step / factor for part in (math.cos(self.turn), math.sin(self.turn)))
        middle = (SIDE - 1) / 2
        # Window pixels → source pixels, centres on centres.
        matrix = np.array(
            [
                [cos, -sin, self.x / factor - 0.5 - (cos - sin) * middle],
                [sin, cos, self.y / factor - 0.5 - (sin + cos) * middle],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        window = cv2.warpAffine(source, matrix, (SIDE, SIDE), flags=flags, borderMode=border)
        hidden = round(SIDE * (1 - shown / _SPAN) / 2)
        if hidden:
            window[:hidden] = window[-hidden:] = window[:, :hidden] = window[:, -hidden:] = 0
        return np.asarray(window, np.uint8)

    def nearest(self, finds: Iterable[Face]) -> Face | None:
        """Return the likeliest find near the window's middle, in pixels of the picture."""
        near = [find for find in finds if math.dist(find.box.center, (SIDE / 2, SIDE / 2)) < SIDE / 4]
        if not near:
            return None
        best = max(near, key=lambda find: find.confidence)
        x, y = self._outside(*best.box.center)
        width, height = best.box.width * self.step, best.box.height * self.step
        box = BoundingBox(x - width / 2, y - height / 2, width, height)
        return Face(box, best.confidence, tuple(self._outside(*point) for point in best.landmarks))

    def _outside(self, x: float, y: float) -> tuple[float, float]:
        u, v = (x - SIDE / 2) * self.step, (y - SIDE / 2) * self.step
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        return self.x + cos * u - sin * v, self.y + sin * u + cos * v
