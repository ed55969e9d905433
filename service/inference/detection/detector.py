"""Find faces: proposals in views of the picture, each judged and measured by BlazeFace in an upright window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar

import cv2
import numpy as np

from service.inference.detection.blazeface.network import BlazeFace, overlaps
from service.inference.detection.face_proposals import FaceProposals, Proposal
from service.inference.detection.upright_window import Window
from service.inference.detection.views import MAX_VIEWS, smallest_sought, views
from service.inference.faces import BoundingBox, Face, Pixels
from service.inference.imaging import Pyramid, eye_angle
from service.inference.lockfile import ModelLock, verified_path

SHORT_RANGE: Final = "face_detection_short_range.tflite"
CONFIDENCE: Final = 0.7
"""Default least confidence of a face; docs/adr/0002 has the measurement."""

Kind = Literal["onnxruntime", "mediapipe"]
"""What runs BlazeFace: ONNX Runtime, or mediapipe's own graph, the extra `mediapipe`."""

_CANDIDATE: Final = 0.4  # scores below are not looked at again
_LOOKS: Final = (2.0, 1.3)  # box widths seen when a face is measured again; a tight picture holds little more
_SAME_FACE: Final = 0.4  # overlap from which two finds are one face
_MOST_CANDIDATES: Final = 500
_SURE_OF_TURN: Final = 0.8  # where the network of proposals is less sure of a face's turn, four are looked at
_LIKELY: Final = 0.3  # least probability of a proposal that is worth looking at in several turns
_DOUBT: Final = 0.1  # how much surer a face must be that is turned otherwise than proposed
_AT_BORDER: Final = (0.6, 0.75)  # least confidence of a face that shows in a mirrored window only: turn sure, or not

_GLANCE: Final = 0.8  # share of the longer side whose window, twice as wide, holds the picture and some border
_CUT_OFF: Final = 0.1  # share of a candidate's box that lies beyond the border

Found = TypeVar("Found", Face, Proposal)


@dataclass(frozen=True, slots=True)
class Detection:
    """The faces of a picture, largest first, and whether the limit of views left parts unsearched."""

    faces: tuple[Face, ...]
    capped: bool = False


class FaceDetector(Protocol):
    """Anything that finds faces in a picture."""

    def detect(self, picture: Pyramid, min_size: float | None = None) -> Detection:
        """Find the faces of `picture`; those narrower than `min_size` pixels need not be found."""
        ...

    def close(self) -> None:
        """Free what the detector holds outside Python; nothing by default."""
        return


class Judge(Protocol):
    """Anything that says which of many small pictures show faces."""

    def find(self, views: Pixels) -> list[list[Face]]:
        """Return the faces in each of uint8 [n, 128, 128, 3] RGB, in pixels of the view."""
        ...

    def close(self) -> None:
        """Free the network."""
        ...


class BlazeFaceDetector(FaceDetector):
    """Our network of proposals and mediapipe's BlazeFace. Safe to share between threads if the judge is.

    The network proposes faces of any size and turn in views of the picture. Each is then found again by BlazeFace in a
    window that is turned upright: two boxes wide, then with all but 1.3 boxes blacked out, so that the box does not
    depend on what else the photograph shows; what is not found again is no face.
    """

    def __init__(
        self,
        models_dir: Path,
        threshold: float = CONFIDENCE,
        max_views: int = MAX_VIEWS,
        judge: Callable[[Path, float], Judge] = BlazeFace,
    ) -> None:
        """Load the networks; raise FileMissing or ChecksumMismatch where a file is not as locked."""
        entries = {entry.file: entry for entry in ModelLock.read(models_dir).of_kind("detector")}
        self._threshold, self._max_views = threshold, max_views
        self._judge = judge(verified_path(models_dir, entries[SHORT_RANGE]), _CANDIDATE)
        self._proposals = FaceProposals(models_dir)

    def detect(self, picture: Pyramid, min_size: float | None = None) -> Detection:
        """Find the faces of `picture`, each with a confidence of at least the threshold."""
        height, width = picture.pixels.shape[:2]
        sought = smallest_sought(width, height) if min_size is None else min_size
        planned, capped = views(width, height, sought, self._max_views)
        proposed = [face for view in planned for face in self._proposals.propose(picture, view)]
        likely = [each for each in proposed if _sure(each) or each.probability >= _LIKELY]
        candidates = _distinct(sorted(likely, key=lambda proposal: -proposal.probability))
        found = self._measured(picture, candidates[:_MOST_CANDIDATES])
        found = found or self._measured(picture, self._at_a_glance(picture))
        faces = _distinct(sorted(found, key=lambda face: -face.confidence))
        faces.sort(key=lambda face: (-face.box.area, face.box.x, face.box.y))
        return Detection(tuple(faces), capped or len(candidates) > _MOST_CANDIDATES)

    def _at_a_glance(self, picture: Pyramid) -> list[Proposal]:
        """Propose what BlazeFace finds in the whole picture, whichever way up: tight or unsharp faces, mostly."""
        height, width = picture.pixels.shape[:2]
        side = _GLANCE * max(width, height)
        middle = BoundingBox((width - side) / 2, (height - side) / 2, side, side)
        starts = [_Start(n, Window.around(middle, n * math.pi / 2), 0.0) for n in range(4)]
        faces = (find.face for find in self._look(picture, starts, _LOOKS[0], cv2.BORDER_CONSTANT))
        found = [Proposal(face.box, face.confidence, eye_angle(face), 1.0) for face in faces]
        return _distinct(sorted(found, key=lambda proposal: -proposal.probability))

    def close(self) -> None:
        """Free the judge."""
        self._judge.close()

    def _measured(self, picture: Pyramid, candidates: Sequence[Proposal]) -> list[Face]:
        """Measure each candidate that is a face.

        One that is likely but not found may be turned otherwise than it seems: it is looked at all ways. One that the
        border cuts off may show only in a window that is mirrored there.
        """
        found, missed = self._split(picture, candidates, cv2.BORDER_CONSTANT)
        again = [replace(each, turn_confidence=0.0) for each in missed if _sure(each) and each.probability >= _LIKELY]
        turned, _ = self._split(picture, again, cv2.BORDER_CONSTANT)
        mirrored, _ = self._split(picture, [each for each in missed if _cut_off(each.box, picture)], cv2.BORDER_REFLECT)
        return [*found, *turned, *mirrored]

    def _split(
        self, picture: Pyramid, candidates: Sequence[Proposal], border: int
    ) -> tuple[list[Face], list[Proposal]]:
        """Return the faces among candidates, and the candidates that are none."""
        found = self._looks(picture, candidates, border)
        return list(found.values()), [candidate for n, candidate in enumerate(candidates) if n not in found]

    def _looks(self, picture: Pyramid, candidates: Sequence[Proposal], border: int) -> dict[int, Face]:
        """Find candidates again in a series of windows; return by number those confident enough in each."""
        starts = [start for n, candidate in enumerate(candidates) for start in self._starts(n, candidate, border)]
        before: dict[int, Face] = {}
        found: dict[int, Face] = {}
        for shown in _LOOKS:
            finds = self._look(picture, starts, shown, border)
            before, found = found, {find.start.number: find.face for find in finds}
            starts = [replace(find.start, window=Window.around(find.face.box, eye_angle(find.face))) for find in finds]
        return {number: _mean(before[number], face) for number, face in found.items()}

    def _starts(self, number: int, candidate: Proposal, border: int) -> Iterator[_Start]:
        """Yield where a candidate is looked for: turned as it seems, and by quarters where that is not sure."""
        least, doubted = self._threshold, self._threshold + _DOUBT
        if border == cv2.BORDER_REFLECT:
            doubted = _AT_BORDER[1]
            least = _AT_BORDER[0] if _sure(candidate) else doubted
        yield _Start(number, Window.around(candidate.box, candidate.turn), least)
        for quarter in range(1, 1 if _sure(candidate) else 4):
            yield _Start(number, Window.around(candidate.box, candidate.turn + quarter * math.pi / 2), doubted)

    def _look(self, picture: Pyramid, starts: Sequence[_Start], shown: float, border: int) -> list[_Find]:
        """Find candidates in windows of which only the middle, `shown` box widths, is seen; of each the surest find."""
        if not starts:
            return []
        pixels = np.stack([start.window.pixels(picture, shown, border) for start in starts])
        best: dict[int, _Find] = {}
        for start, finds in zip(starts, self._judge.find(pixels), strict=True):
            face = start.window.nearest(finds)
            if face and (start.number not in best or face.confidence > best[start.number].face.confidence):
                best[start.number] = _Find(start, replace(face, confidence=min(face.confidence, start.confidence)))
        sure = [find for find in best.values() if find.face.confidence >= find.start.least]
        return [_Find(replace(find.start, confidence=find.face.confidence), find.face) for find in sure]


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


def open_detector(
    models_dir: Path, kind: Kind = "onnxruntime", threshold: float = CONFIDENCE, max_views: int = MAX_VIEWS
) -> BlazeFaceDetector:
    """Load the detector of a models folder for one thread; raise SetupError where something it needs is missing."""
    if kind == "onnxruntime":
        return BlazeFaceDetector(models_dir, threshold, max_views)
    from service.inference.detection.blazeface.mediapipe_graph import MediapipeBlazeFace

    return BlazeFaceDetector(models_dir, threshold, max_views, MediapipeBlazeFace)


def _mean(one: Face, other: Face) -> Face:
    """Return the face between two finds of it, as sure as the second: what each is off by is less in the mean."""
    mean = (one.box.x + other.box.x, one.box.y + other.box.y, one.box.width + other.box.width)
    box = BoundingBox(*(value / 2 for value in (*mean, one.box.height + other.box.height)))
    pairs = zip(one.landmarks, other.landmarks, strict=True)
    return Face(box, other.confidence, tuple(((a + c) / 2, (b + d) / 2) for (a, b), (c, d) in pairs))


def _sure(proposal: Proposal) -> bool:
    return proposal.turn_confidence >= _SURE_OF_TURN


def _cut_off(box: BoundingBox, picture: Pyramid) -> bool:
    """Whether the border cuts off a part of a candidate, whose box is somewhat too wide."""
    height, width = picture.pixels.shape[:2]
    beyond = max(-box.x, -box.y, box.x + box.width - width, box.y + box.height - height)
    return bool(beyond > _CUT_OFF * box.width)


def _distinct(found: Iterable[Found]) -> list[Found]:
    """Keep the first of each overlapping group; pass the best first."""
    every = list(found)
    boxes = np.array([(each.box.x, each.box.y, each.box.width, each.box.height) for each in every]).reshape(-1, 4)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    kept: list[int] = []
    for n in range(len(every)):
        if not (overlaps(corners[n], corners[kept]) >= _SAME_FACE).any():
            kept.append(n)
    return [every[n] for n in kept]
