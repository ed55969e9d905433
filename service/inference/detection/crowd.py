"""What many faces of one picture have in common, which tells where the fainter ones stand beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from service.inference.detection.face_proposals import ROOM, Proposal
from service.inference.faces import BoundingBox, Face
from service.inference.imaging import eye_angle

_LEAST: Final = 16  # faces
_ALIKE: Final = 0.9  # share of them that must be turned alike
_TURNED_ALIKE: Final = 0.4  # radians


@dataclass(frozen=True, slots=True)
class Crowd:
    """Many faces that are turned alike: their places, their turn in radians and the median of their widths."""

    centers: NDArray[np.float64]
    widths: NDArray[np.float64]
    turn: float

    @classmethod
    def of(cls, faces: Sequence[Face]) -> Self | None:
        """Describe faces as a crowd; None where they are few or turned in several ways."""
        if len(faces) < _LEAST:
            return None
        turns = np.array([eye_angle(face) for face in faces])
        turn = math.atan2(float(np.sin(turns).mean()), float(np.cos(turns).mean()))
        off = np.abs(np.remainder(turns - turn + math.pi, math.tau) - math.pi)
        if (off < _TURNED_ALIKE).mean() < _ALIKE:
            return None
        centers, widths = (np.array(each) for each in zip(*((f.box.center, f.box.width) for f in faces), strict=True))
        return cls(centers, widths, turn)

    def outside(self, places: Iterable[Proposal], reach: float) -> list[Proposal]:
        """Return the places whose middle is farther than `reach` widths from that of every face."""
        return [
            place
            for place in places
            if (np.abs(self.centers - place.box.center).max(axis=1) > reach * self.widths).all()
        ]

    def turned(self, place: Proposal) -> Proposal:
        """Return a place with the turn that all have, unless its own is sure."""
        return place if place.sure_of_turn else self.turned_like_others(place)

    def turned_like_others(self, place: Proposal) -> Proposal:
        """Return a place with the turn that all have, whatever its own."""
        return replace(place, turn=self.turn, turn_confidence=1.0)

    def like_others(self, place: Proposal) -> Proposal:
        """Return a place turned as all are and as wide as most."""
        side = float(np.median(self.widths)) * ROOM
        x, y = place.box.center
        return replace(self.turned_like_others(place), box=BoundingBox(x - side / 2, y - side / 2, side, side))
