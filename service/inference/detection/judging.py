"""Judge places of a picture by BlazeFace: a face is found again in two upright windows, with a limit on its work."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import cv2
import numpy as np

from service.inference.detection.crowd import Crowd
from service.inference.detection.face_proposals import LIKELY, Proposal
from service.inference.detection.search_work import SearchWork
from service.inference.detection.upright_window import Window
from service.inference.faces import BoundingBox, Face, Pixels
from service.inference.imaging import Pyramid, eye_angle

CANDIDATE: Final = 0.4
"""Least score of an answer that is looked at again."""

_LOOKS: Final = (2.0, 1.3)  # box widths seen when a face is measured again; a tight picture holds little more
_QUARTER: Final = math.pi / 2
_HINT: Final = 0.5  # least score in one turn of what is looked at in all: a face shows as much on its head or its side
_TOO_WIDE: Final = 1.7  # a window of so many times the width that is found in it is laid anew around what is found
_TOO_TURNED: Final = 0.4  # and so is one that the face lies in at such an angle, in radians
_DOUBT: Final = 0.1  # how much surer a face must be that is turned otherwise than proposed
_AT_BORDER: Final = (0.6, 0.75)  # least confidence of a face that shows in a mirrored window only: turn sure, or not
_CUT_OFF: Final = 0.1  # share of a candidate's box that lies beyond the border
_GLANCE: Final = 0.8  # share of the longer side whose window, twice as wide, holds the picture and some border

_GROUP: Final = 16  # candidates that are judged together, likeliest first
_SAME: Final = 0.4  # widths of a face from its middle within which a crowd's next candidate is the same face


class Judge(Protocol):
    """Anything that says which of many small pictures show faces."""

    def find(self, views: Pixels) -> list[list[Face]]:
        """Return the faces in each of uint8 [n, 128, 128, 3] RGB, in pixels of the view."""
        ...

    def close(self) -> None:
        """Free the network."""
        ...


class Judging:
    """Judges the places of one picture, as far as its work goes."""

    def __init__(self, judge: Judge, picture: Pyramid, threshold: float, work: SearchWork) -> None:
        """Take a face where `judge` is sure of it by `threshold`."""
        self._judge, self._picture, self._threshold = judge, picture, threshold
        self._work = work

    def measured(self, candidates: Sequence[Proposal]) -> list[Face]:
        """Measure each candidate that is a face; pass the likeliest first.

        One that is likely but not found may be turned otherwise than it seems: it is looked at all ways. One that the
        border cuts off may show only in a window that is mirrored there. Where many faces were found that are turned
        alike, the others are looked for in that turn only.
        """
        found: list[Face] = []
        missed: list[Proposal] = []
        for group in _groups(candidates):
            crowd = Crowd.of(found)
            new = crowd.outside(group, _SAME) if crowd else group
            faces, lost = self._split([crowd.turned(each) for each in new] if crowd else new, cv2.BORDER_CONSTANT)
            found += faces
            missed += [new[n] for n in lost]
        again = [
            replace(each, turn_confidence=0.0) for each in missed if each.sure_of_turn and each.probability >= LIKELY
        ]
        turned, _ = self._split(again, cv2.BORDER_CONSTANT)
        mirrored, _ = self._split([each for each in missed if _cut_off(each.box, self._picture)], cv2.BORDER_REFLECT)
        return [*found, *turned, *mirrored]

    def measured_beside(self, crowd: Crowd, places: Sequence[Proposal]) -> list[Face]:
        """Measure faint places beside many faces: turned as those are, and as wide as most, or else as they seem.

        At the first look they must be surer than what is likely.
        """
        found: list[Face] = []
        for group in _groups(places):
            faces, missed = self._split([crowd.like_others(each) for each in group], cv2.BORDER_CONSTANT, _DOUBT)
            alike = [crowd.turned_like_others(group[n]) for n in missed]
            found += [*faces, *self._looks(alike, cv2.BORDER_CONSTANT, _DOUBT).values()]
        return found

    def at_a_glance(self) -> list[Proposal]:
        """Propose what BlazeFace finds in the whole picture, whichever way up: tight or unsharp faces, mostly."""
        height, width = self._picture.pixels.shape[:2]
        side = _GLANCE * max(width, height)
        middle = BoundingBox((width - side) / 2, (height - side) / 2, side, side)
        starts = [_Start(n, Window.around(middle, n * _QUARTER), 0.0) for n in range(4)]
        faces = (find.face for find in self._look(starts, _LOOKS[0], cv2.BORDER_CONSTANT))
        return [Proposal(face.box, face.confidence, eye_angle(face), 1.0) for face in faces]

    def _split(self, candidates: Sequence[Proposal], border: int, doubt: float = 0.0) -> tuple[list[Face], list[int]]:
        """Return the faces among candidates, and the numbers of the candidates that are none."""
        found = self._looks(candidates, border, doubt)
        return list(found.values()), [n for n in range(len(candidates)) if n not in found]

    def _looks(self, candidates: Sequence[Proposal], border: int, doubt: float) -> dict[int, Face]:
        """Find candidates again in two windows; return by number those confident enough in each."""
        first = _sure(self._first_looks(candidates, border, doubt))
        starts = [replace(find.start, window=find.window_around) for find in first]
        if doubt:
            starts = [replace(start, least=self._threshold) for start in starts]
        second = self._look(starts, _LOOKS[1], border)
        before = {find.start.number: find.face for find in first}
        return {find.start.number: _mean(before[find.start.number], find.face) for find in second}

    def _first_looks(self, candidates: Sequence[Proposal], border: int, doubt: float) -> list[_Find]:
        """Return each candidate's surest find: in its turn, by quarters where that is not sure, and where it is found.

        The other quarters are looked at where upright something shows, and a window is laid anew around a find that it
        was much too wide for or turned otherwise.
        """
        starts = [self._start(n, candidate, border, doubt) for n, candidate in enumerate(candidates)]
        finds = self._seen(starts, _LOOKS[0], border)
        hints = [find.start.number for find in finds if find.face.confidence >= _HINT]
        unsure = [number for number in hints if not candidates[number].sure_of_turn]
        turned = [self._start(n, candidates[n], border, _DOUBT, quarter) for n in unsure for quarter in (1, 2, 3)]
        finds = _surest([*finds, *self._seen(turned, _LOOKS[0], border)])
        again = [
            replace(find.start, window=find.window_around, least=self._threshold + _DOUBT)
            for find in finds
            if find.face.confidence < find.start.least
            and (
                find.face.box.width * _TOO_WIDE < candidates[find.start.number].box.width
                or abs(math.remainder(eye_angle(find.face) - find.start.window.turn, math.tau)) > _TOO_TURNED
            )
        ]
        return _surest([*self._seen(again, _LOOKS[0], border), *finds])

    def _start(self, number: int, candidate: Proposal, border: int, doubt: float, quarter: int = 0) -> _Start:
        """Return where a candidate is looked for: turned as it seems, or by quarters where that is not sure."""
        least = self._threshold + doubt
        if border == cv2.BORDER_REFLECT:
            least = _AT_BORDER[0] if candidate.sure_of_turn else _AT_BORDER[1]
        turn = candidate.turn if candidate.sure_of_turn else 0.0
        return _Start(number, Window.around(candidate.box, turn + quarter * _QUARTER), least)

    def _look(self, starts: Sequence[_Start], shown: float, border: int) -> list[_Find]:
        """Return the surest find of each candidate, where it is sure enough."""
        return _sure(_surest(self._seen(starts, shown, border)))

    def _seen(self, starts: Sequence[_Start], shown: float, border: int) -> list[_Find]:
        """Find candidates, sure or not, in windows of which only the middle, `shown` box widths, is seen."""
        starts = self._work.afforded(starts)
        if not starts:
            return []
        pixels = np.stack([start.window.pixels(self._picture, shown, border) for start in starts])
        seen = (
            (start, start.window.nearest(finds)) for start, finds in zip(starts, self._judge.find(pixels), strict=True)
        )
        return [
            _Find(start, replace(face, confidence=min(face.confidence, start.confidence)))
            for start, face in seen
            if face
        ]


@dataclass(frozen=True, slots=True)
class _Start:
    """A candidate's next search window, the confidence it needs there, and its confidence in the previous one."""

    number: int
    window: Window
    least: float
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class _Find:
    """The face found in a window, and the window."""

    start: _Start
    face: Face

    @property
    def window_around(self) -> Window:
        """The window that the face stands upright in."""
        return Window.around(self.face.box, eye_angle(self.face))


def _groups(places: Sequence[Proposal]) -> Iterator[Sequence[Proposal]]:
    """Yield places that are judged together: where windows run out, what came before has had both of its own."""
    return (places[start : start + _GROUP] for start in range(0, len(places), _GROUP))


def _mean(one: Face, other: Face) -> Face:
    """Return the face between two finds of it, as sure as the second: what each is off by is less in the mean."""
    mean = (one.box.x + other.box.x, one.box.y + other.box.y, one.box.width + other.box.width)
    box = BoundingBox(*(value / 2 for value in (*mean, one.box.height + other.box.height)))
    pairs = zip(one.landmarks, other.landmarks, strict=True)
    return Face(box, other.confidence, tuple(((a + c) / 2, (b + d) / 2) for (a, b), (c, d) in pairs))


def _surest(finds: Iterable[_Find]) -> list[_Find]:
    """Keep each candidate's surest find, the first of equals."""
    best: dict[int, _Find] = {}
    for find in finds:
        number = find.start.number
        if number not in best or find.face.confidence > best[number].face.confidence:
            best[number] = find
    return list(best.values())


def _sure(finds: Iterable[_Find]) -> list[_Find]:
    """Keep the finds that are as sure as their candidates must be, which are then no surer themselves."""
    sure = (find for find in finds if find.face.confidence >= find.start.least)
    return [_Find(replace(find.start, confidence=find.face.confidence), find.face) for find in sure]


def _cut_off(box: BoundingBox, picture: Pyramid) -> bool:
    """Whether the border cuts off a part of a candidate, whose box is somewhat too wide."""
    height, width = picture.pixels.shape[:2]
    beyond = max(-box.x, -box.y, box.x + box.width - width, box.y + box.height - height)
    return bool(beyond > _CUT_OFF * box.width)
