"""Finding faces: BlazeFace on the whole picture, proposals of small ones, each measured again on an upright window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol, Self

import cv2
import numpy as np

from service.inference.blazeface import BlazeFace
from service.inference.face_proposals import FaceProposals
from service.inference.faces import BoundingBox, Face
from service.inference.imaging import Pyramid, crop_face, crop_step, eye_angle
from service.inference.lockfile import ModelLock, verified_path
from service.inference.manifest import CropSpec
from service.inference.native_libraries import require_libraries

SHORT_RANGE: Final = "face_detection_short_range.tflite"
FULL_RANGE: Final = "face_detection_full_range_sparse.tflite"
CONFIDENCE: Final = 0.7
"""Default least confidence of a face; docs/adr/0002 has the measurement."""

_CANDIDATE: Final = 0.2  # scores below are not looked at again
_FULL_INPUT, _SHORT_INPUT = 192, 128  # pixels a side of the networks' own inputs
_BORDER: Final = 0.3  # share of the longer side padded around for faces that fill the picture
_SMALLEST_SHARE: Final = 0.09  # least box width, as a share of its input, that full range finds reliably
_SMALL: Final = 22.5  # pixels; where full range finds faces of that width, smaller ones are not looked for
_WINDOW: Final = CropSpec(size=256, margin=0.5)  # two box widths, upright; mediapipe rounds boxes to whole pixels
_LOOKS: Final = (2.0, 1.3, 1.3)  # box widths seen when a face is measured again; a tight picture holds little more
_SAME_FACE: Final = 0.4  # overlap from which two finds are one face
_MOST_CANDIDATES: Final = 200


class FaceDetector(Protocol):
    """Anything that finds faces in a picture."""

    def detect(self, picture: Pyramid, min_size: float = 0.0) -> list[Face]:
        """Return the faces of `picture`, largest first; boxes narrower than `min_size` pixels need not be found."""
        ...

    def close(self) -> None:
        """Free what the detector holds outside Python; nothing by default."""
        return


class MediapipeDetector(FaceDetector):
    """BlazeFace, short and full range. Not safe to share between threads: give each thread its own.

    The whole picture is searched by both networks; a third one, ours, proposes faces too small for them. Every
    candidate is then found again, three times, by the short-range network in a window that is turned upright: two boxes
    wide, then with all but 1.3 boxes blacked out, so that the box does not depend on what else the photograph shows;
    what is not found again is no face.
    """

    def __init__(self, models_dir: Path, threshold: float = CONFIDENCE) -> None:
        """Load the networks; raise FileMissing or ChecksumMismatch where a file is not as locked.

        Raises SetupError where a shared library that mediapipe needs is missing.
        """
        require_libraries()
        entries = {entry.file: entry for entry in ModelLock.read(models_dir).of_kind("detector")}
        short, full = (verified_path(models_dir, entries[name]) for name in (SHORT_RANGE, FULL_RANGE))
        self._threshold = threshold
        self._short = BlazeFace(short, _CANDIDATE)
        self._full = BlazeFace(full, _CANDIDATE)
        self._proposals = FaceProposals(models_dir)

    def detect(self, picture: Pyramid, min_size: float = 0.0) -> list[Face]:
        """Return the faces of `picture`, largest first, each with a confidence of at least the threshold."""
        candidates = _distinct(self._candidates(picture, min_size))[:_MOST_CANDIDATES]
        measured = (self._measure(picture, face) for face in candidates)
        faces = _distinct(sorted((face for face in measured if face), key=lambda face: -face.confidence))
        return sorted(faces, key=lambda face: (-face.box.area, face.box.x, face.box.y))

    def close(self) -> None:
        """Free both networks."""
        self._short.close()
        self._full.close()

    def __enter__(self) -> Self:
        """Use as a context manager that closes at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _candidates(self, picture: Pyramid, min_size: float) -> list[Face]:
        """Return what might be a face, likeliest first; proposals last, for their probability is another measure."""
        height, width = picture.pixels.shape[:2]
        longer = max(height, width)
        found = [
            *_search(self._short, picture, _Frame.padded(width, height, _BORDER), _SHORT_INPUT),
            *_search(self._full, picture, _Frame(0, 0, longer), _FULL_INPUT),
        ]
        found.sort(key=lambda face: -face.confidence)
        if longer * _SMALLEST_SHARE > max(min_size, _SMALL):
            found += self._proposals.propose(picture)
        return found

    def _measure(self, picture: Pyramid, face: Face) -> Face | None:
        """Find the face again in its upright window, three times; None where it is not there."""
        confidence = 1.0
        for seen in _LOOKS:
            again = self._in_window(picture, face, seen)
            if again is None or again.confidence < self._threshold:
                return None
            face, confidence = again, min(confidence, again.confidence)
        return Face(face.box, confidence, face.landmarks)

    def _in_window(self, picture: Pyramid, face: Face, seen: float) -> Face | None:
        """Find the face again in its window, of which only the middle, `seen` box widths, is shown."""
        window = crop_face(picture, face, _WINDOW)
        hidden = round(_WINDOW.size * (1 - seen / (1 + 2 * _WINDOW.margin)) / 2)
        shown = slice(hidden, _WINDOW.size - hidden)
        view = np.zeros_like(window)
        view[shown, shown] = window[shown, shown]
        finds = self._short.find(view)
        middle = _WINDOW.size / 2
        near = [find for find in finds if math.dist(find.box.center, (middle, middle)) < _WINDOW.size / 4]
        if not near:
            return None
        best = max(near, key=lambda find: find.confidence)
        return _out_of_window(best, face, crop_step(face, _WINDOW))


class _Frame:
    """A square part of a picture, which may reach past its border: left, top and side in pixels."""

    def __init__(self, left: float, top: float, side: float) -> None:
        self.left, self.top, self.side = left, top, side

    @classmethod
    def padded(cls, width: int, height: int, border: float) -> _Frame:
        side = max(width, height) * (1 + 2 * border)
        return cls((width - side) / 2, (height - side) / 2, side)


def _search(network: BlazeFace, picture: Pyramid, frame: _Frame, size: int) -> Iterator[Face]:
    """Yield what `network` finds in `frame`, in pixels of the picture."""
    step = frame.side / size
    source, factor = picture.reduced(step)
    # Area-true down to the network's input: source pixels → input pixels, centres on centres.
    scale = factor / step
    shift_x, shift_y = -frame.left / step, -frame.top / step
    matrix = np.array([[scale, 0, shift_x + scale / 2 - 0.5], [0, scale, shift_y + scale / 2 - 0.5]])
    view = cv2.warpAffine(source, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    for find in network.find(np.asarray(view, dtype=np.uint8)):
        moved = find.scaled(step)
        box = BoundingBox(moved.box.x + frame.left, moved.box.y + frame.top, moved.box.width, moved.box.height)
        yield Face(box, find.confidence, tuple((x + frame.left, y + frame.top) for x, y in moved.landmarks))


def _out_of_window(find: Face, window: Face, step: float) -> Face:
    """Map a find in the upright window of `window` back into the picture."""
    angle = eye_angle(window)
    cos, sin = step * math.cos(angle), step * math.sin(angle)
    center_x, center_y = window.box.center
    middle = _WINDOW.size / 2

    def out(x: float, y: float) -> tuple[float, float]:
        u, v = x - middle, y - middle
        return center_x + cos * u - sin * v, center_y + sin * u + cos * v

    x, y = out(*find.box.center)
    width, height = find.box.width * step, find.box.height * step
    box = BoundingBox(x - width / 2, y - height / 2, width, height)
    return Face(box, find.confidence, tuple(out(*point) for point in find.landmarks))


def _distinct(faces: Iterable[Face]) -> list[Face]:
    """Keep the first of each group that overlaps: give them best first."""
    kept: list[Face] = []
    for face in faces:
        if all(face.box.overlap(other.box) < _SAME_FACE for other in kept):
            kept.append(face)
    return kept
