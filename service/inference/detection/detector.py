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
from service.inference.detection.face_proposals import LIKELY, FaceProposals, Proposal
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
_QUARTER: Final = math.pi / 2
_HINT: Final = 0.5  # least score in one turn of what is looked at in all: a face shows as much on its head or its side
_TOO_WIDE: Final = 1.7  # a window of so many times the width that is found in it is laid anew around what is found
_TOO_TURNED: Final = 0.4  # and so is one that the face lies in at such an angle, in radians
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
        sure = [each for each in proposed if each.sure_of_turn]
        places = _distinct([*_likeliest(sure), *_likeliest(proposed)])
        likely = _likeliest(self._closely(picture, places[:_MOST_CANDIDATES]))
        candidates = _distinct(
            each for each in likely if each.box.width > sought / 2
        )  # a close view shows smaller ones
        found = self._measured(picture, candidates[:_MOST_CANDIDATES])
        found = found or self._measured(picture, self._at_a_glance(picture))
        faces = _distinct(sorted(found, key=lambda face: -face.confidence))
        faces.sort(key=lambda face: (-face.box.area, face.box.x, face.box.y))
        return Detection(tuple(faces), capped or max(len(places), len(candidates)) > _MOST_CANDIDATES)

    def _closely(self, picture: Pyramid, places: Sequence[Proposal]) -> Iterator[Proposal]:
        """Yield what is sure of its turn, and what is proposed in close views of all else."""
        for place in places:
            yield from [place] if place.sure_of_turn else self._proposals.propose_closely(picture, place)

    def _at_a_glance(self, picture: Pyramid) -> list[Proposal]:
        """Propose what BlazeFace finds in the whole picture, whichever way up: tight or unsharp faces, mostly."""
        height, width = picture.pixels.shape[:2]
        side = _GLANCE * max(width, height)
        middle = BoundingBox((width - side) / 2, (height - side) / 2, side, side)
        starts = [_Start(n, Window.around(middle, n * _QUARTER), 0.0) for n in range(4)]
        faces = (find.face for find in self._look(picture, starts, _LOOKS[0], cv2.BORDER_CONSTANT))
        found = [Proposal(face.box, face.confidence, eye_angle(face), 1.0) for face in faces]
        return _distinct(_likeliest(found))

    def close(self) -> None:
        """Free the judge."""
        self._judge.close()

    def _measured(self, picture: Pyramid, candidates: Sequence[Proposal]) -> list[Face]:
        """Measure each candidate that is a face.

        One that is likely but not found may be turned otherwise than it seems: it is looked at all ways. One that the
        border cuts off may show only in a window that is mirrored there.
        """
        found, missed = self._split(picture, candidates, cv2.BORDER_CONSTANT)
        again = [
            replace(each, turn_confidence=0.0) for each in missed if each.sure_of_turn and each.probability >= LIKELY
        ]
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
        """Find candidates again in two windows; return by number those confident enough in each."""
        first = _sure(self._first_looks(picture, candidates, border))
        starts = [replace(find.start, window=find.window_around) for find in first]
        second = self._look(picture, starts, _LOOKS[1], border)
        before = {find.start.number: find.face for find in first}
        return {find.start.number: _mean(before[find.start.number], find.face) for find in second}

    def _first_looks(self, picture: Pyramid, candidates: Sequence[Proposal], border: int) -> list[_Find]:
        """Return each candidate's surest find: in its turn, by quarters where that is not sure, and where it is found.

        The other quarters are looked at where upright something shows, and a window is laid anew around a find that it
        was much too wide for or turned otherwise.
        """
        starts = [self._start(n, candidate, border) for n, candidate in enumerate(candidates)]
        finds = self._seen(picture, starts, _LOOKS[0], border)
        hints = [find.start.number for find in finds if find.face.confidence >= _HINT]
        unsure = [number for number in hints if not candidates[number].sure_of_turn]
        turned = [self._start(n, candidates[n], border, quarter) for n in unsure for quarter in (1, 2, 3)]
        finds = _surest([*finds, *self._seen(picture, turned, _LOOKS[0], border)])
        again = [
            replace(find.start, window=find.window_around, least=self._threshold + _DOUBT)
            for find in finds
            if find.face.confidence < find.start.least
            and (
                find.face.box.width * _TOO_WIDE < candidates[find.start.number].box.width
                or abs(math.remainder(eye_angle(find.face) - find.start.window.turn, math.tau)) > _TOO_TURNED
            )
        ]
        return _surest([*self._seen(picture, again, _LOOKS[0], border), *finds])

    def _start(self, number: int, candidate: Proposal, border: int, quarter: int = 0) -> _Start:
        """Return where a candidate is looked for: turned as it seems, or by quarters where that is not sure."""
        least, doubted = self._threshold, self._threshold + _DOUBT
        if border == cv2.BORDER_REFLECT:
            doubted = _AT_BORDER[1]
            least = _AT_BORDER[0] if candidate.sure_of_turn else doubted
        turn = candidate.turn if candidate.sure_of_turn else 0.0
        return _Start(number, Window.around(candidate.box, turn + quarter * _QUARTER), doubted if quarter else least)

    def _look(self, picture: Pyramid, starts: Sequence[_Start], shown: float, border: int) -> list[_Find]:
        """Return the surest find of each candidate, where it is sure enough."""
        return _sure(_surest(self._seen(picture, starts, shown, border)))

    def _seen(self, picture: Pyramid, starts: Sequence[_Start], shown: float, border: int) -> list[_Find]:
        """Find candidates, sure or not, in windows of which only the middle, `shown` box widths, is seen."""
        if not starts:
            return []
        pixels = np.stack([start.window.pixels(picture, shown, border) for start in starts])
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


def _likeliest(proposals: Iterable[Proposal]) -> list[Proposal]:
    return sorted(proposals, key=lambda proposal: -proposal.probability)


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
