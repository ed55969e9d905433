"""Find faces: proposals in views of the picture, each judged and measured by BlazeFace in an upright window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar

import cv2
import numpy as np

from service.inference.blazeface.network import BlazeFace
from service.inference.face_proposals import FaceProposals, Proposal
from service.inference.faces import BoundingBox, Face, Pixels
from service.inference.imaging import Pyramid, eye_angle
from service.inference.lockfile import ModelLock, verified_path
from service.inference.upright_window import Window
from service.inference.views import MAX_VIEWS, smallest_sought, views

SHORT_RANGE: Final = "face_detection_short_range.tflite"
CONFIDENCE: Final = 0.7
"""Default least confidence of a face; docs/adr/0002 has the measurement."""

Kind = Literal["onnxruntime", "mediapipe"]
"""What runs BlazeFace: ONNX Runtime, or mediapipe's own graph, the extra `mediapipe`."""

_CANDIDATE: Final = 0.4  # scores below are not looked at again
_LOOKS: Final = (2.0, 1.3)  # box widths seen when a face is measured again; a tight picture holds little more
_SAME_FACE: Final = 0.4  # overlap from which two finds are one face
_MOST_CANDIDATES: Final = 500
_SURE_OF_TURN: Final = 0.7  # where the network of proposals is less sure of a face's turn, four are looked at
_LIKELY: Final = 0.3  # least probability of a proposal whose turn is not sure
_DOUBT: Final = 0.1  # how much surer a face must be whose turn was not
_AT_BORDER: Final = (0.5, 0.75)  # least confidence of a face that shows in a mirrored window only: turn sure, or not

Found = TypeVar("Found", Face, Proposal)


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found in a picture: faces, largest first, and whether there was more to see than was looked at."""

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
        faces = _distinct(sorted(found, key=lambda face: -face.confidence))
        faces.sort(key=lambda face: (-face.box.area, face.box.x, face.box.y))
        return Detection(tuple(faces), capped or len(candidates) > _MOST_CANDIDATES)

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
        pairs = list(zip(candidates, self._looks(picture, candidates, border), strict=True))
        return [face for _, face in pairs if face], [candidate for candidate, face in pairs if face is None]

    def _looks(self, picture: Pyramid, candidates: Sequence[Proposal], border: int) -> list[Face | None]:
        """Find candidates again, look after look; None for one that is not sure enough in any."""
        starts = [(n, window) for n, candidate in enumerate(candidates) for window in _windows(candidate)]
        found = self._look(picture, starts, _LOOKS[0], border)
        for shown in _LOOKS[1:]:
            again = [(n, Window.around(face.box, eye_angle(face))) for n, face in found.items()]
            closer = self._look(picture, again, shown, border)
            found = {
                n: replace(face, confidence=min(face.confidence, found[n].confidence)) for n, face in closer.items()
            }
        sure = {n: face for n, face in found.items() if face.confidence >= self._least(candidates[n], border)}
        return [sure.get(n) for n in range(len(candidates))]

    def _least(self, candidate: Proposal, border: int) -> float:
        """Return how sure a face must be: surer where nothing says which way up it is, less where it is cut off."""
        sure, unsure = _AT_BORDER if border == cv2.BORDER_REFLECT else (self._threshold, self._threshold + _DOUBT)
        return min(sure, self._threshold) if _sure(candidate) else min(unsure, self._threshold + _DOUBT)

    def _look(
        self, picture: Pyramid, starts: Sequence[tuple[int, Window]], shown: float, border: int
    ) -> dict[int, Face]:
        """Find numbered candidates in windows of which only the middle, `shown` box widths, is seen.

        Of one with several windows the surest find counts.
        """
        if not starts:
            return {}
        pixels = np.stack([window.pixels(picture, shown, border) for _, window in starts])
        best: dict[int, Face] = {}
        for (n, window), finds in zip(starts, self._judge.find(pixels), strict=True):
            face = window.nearest(finds)
            if face and (n not in best or face.confidence > best[n].confidence):
                best[n] = face
        return best


def open_detector(
    models_dir: Path, kind: Kind = "onnxruntime", threshold: float = CONFIDENCE, max_views: int = MAX_VIEWS
) -> BlazeFaceDetector:
    """Load the detector of a models folder for one thread; raise SetupError where something it needs is missing."""
    if kind == "onnxruntime":
        return BlazeFaceDetector(models_dir, threshold, max_views)
    from service.inference.blazeface.mediapipe_graph import MediapipeBlazeFace

    return BlazeFaceDetector(models_dir, threshold, max_views, MediapipeBlazeFace)


def _windows(candidate: Proposal) -> Iterator[Window]:
    """Yield a candidate's window, and where its turn is not sure those turned by quarters."""
    for quarter in range(1 if _sure(candidate) else 4):
        yield Window.around(candidate.box, candidate.turn + quarter * math.pi / 2)


def _sure(candidate: Proposal) -> bool:
    return candidate.turn_confidence >= _SURE_OF_TURN


def _cut_off(box: BoundingBox, picture: Pyramid) -> bool:
    """Whether the border cuts off a part of a candidate, whose box is somewhat too wide."""
    height, width = picture.pixels.shape[:2]
    return bool(max(-box.x, -box.y, box.x + box.width - width, box.y + box.height - height) > 0)


def _distinct(found: Iterable[Found]) -> list[Found]:
    """Keep the first of each group that overlaps: give them best first."""
    kept: list[Found] = []
    for each in found:
        if all(each.box.overlap(other.box) < _SAME_FACE for other in kept):
            kept.append(each)
    return kept
