"""Find faces: proposals in views of the picture, each judged and measured by BlazeFace in an upright window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar

import numpy as np

from service.errors import FileMissing
from service.inference.detection.blazeface.network import BlazeFace, overlaps
from service.inference.detection.crowd import Crowd
from service.inference.detection.face_proposals import FAINT, LIKELY, MOST, THRESHOLD, FaceProposals, Proposal
from service.inference.detection.judging import CANDIDATE, Judge, Judging
from service.inference.detection.search_work import CLOSE_SHARE, CLOSE_VIEWS, MOST_WORK, SearchWork
from service.inference.detection.views import MAX_VIEWS, close_view, smallest_sought, views
from service.inference.faces import Face
from service.inference.imaging import Pyramid
from service.inference.lockfile import LOCK_NAME, ModelLock, verified_path

SHORT_RANGE: Final = "face_detection_short_range.tflite"
CONFIDENCE: Final = 0.7
"""Default least confidence of a face; docs/adr/0002 has the measurement."""

Kind = Literal["onnxruntime", "mediapipe"]
"""What runs BlazeFace: ONNX Runtime, or mediapipe's own graph, the extra `mediapipe`."""

_MOST_PROPOSALS: Final = 1000  # compared pair by pair for the places they have in common
_FAINT_SHARE: Final = 0.5  # of the work that is left; the other half judges what the close views show
_FREE: Final = 1.0  # widths of a face around its middle in which no other one stands
_SAME_FACE: Final = 0.4  # overlap from which two finds are one face

Found = TypeVar("Found", Face, Proposal)


@dataclass(frozen=True, slots=True)
class Detection:
    """The faces of a picture, largest first, and whether a limit of views or of work left something unsearched."""

    faces: tuple[Face, ...]
    capped: bool = False


class FaceDetector(Protocol):
    """Anything that finds faces in a picture."""

    def detect(self, picture: Pyramid, min_size: float | None = None, work: float = MOST_WORK) -> Detection:
        """Find the faces of `picture`; those narrower than `min_size` pixels need not be found.

        `work` is how much the search may be, counted in windows that BlazeFace judges.
        """
        ...

    def close(self) -> None:
        """Free what the detector holds outside Python; nothing by default."""
        return


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
        entries = [entry for entry in ModelLock.read(models_dir).of_kind("detector") if entry.file == SHORT_RANGE]
        if not entries:
            raise FileMissing(
                f"{LOCK_NAME} names no file of kind `detector` ({SHORT_RANGE}); run `git checkout models`"
            )
        self._threshold, self._max_views = threshold, max_views
        self._judge = judge(verified_path(models_dir, entries[0]), CANDIDATE)
        self._proposals = FaceProposals(models_dir)

    def detect(self, picture: Pyramid, min_size: float | None = None, work: float = MOST_WORK) -> Detection:
        """Find the faces of `picture`, each with a confidence of at least the threshold."""
        height, width = picture.pixels.shape[:2]
        sought = smallest_sought(width, height) if min_size is None else min_size
        planned, capped = views(width, height, sought, self._max_views)
        seen = [self._proposals.propose(picture, view, FAINT) for view in planned]
        every = _likeliest(each for proposals in seen for each in proposals)
        proposed = [each for each in every if each.probability >= THRESHOLD]
        places = self._places(proposed[:_MOST_PROPOSALS])
        spent = SearchWork(work, len(planned))
        near = self._closely(picture, places, spent)
        # A close view shows smaller ones.
        candidates = _distinct(each for each in _likeliest(near) if each.box.width > sought / 2)
        judging = Judging(self._judge, picture, self._threshold, spent)
        found = judging.measured(candidates) or self._at_a_glance(picture)
        faces = _surest(found)
        if crowd := Crowd.of(faces):
            faint = self._faint(picture, crowd, _distinct(every[:_MOST_PROPOSALS]), spent)
            faces = _surest([*found, *judging.measured_beside(crowd, faint)])
        faces.sort(key=lambda face: (-face.box.area, face.box.x, face.box.y))
        cut = any(len(proposals) == MOST and proposals[-1].probability >= THRESHOLD for proposals in seen)
        cut = cut or len(every if crowd else proposed) > _MOST_PROPOSALS
        return Detection(tuple(faces), capped or cut or spent.capped)

    def _places(self, proposed: Sequence[Proposal]) -> list[Proposal]:
        sure = [each for each in proposed if each.sure_of_turn]
        return _distinct([*sure, *proposed])

    def _closely(self, picture: Pyramid, places: Sequence[Proposal], spent: SearchWork) -> Iterator[Proposal]:
        """Yield what is sure of its turn, and what is proposed in close views of all else."""
        yield from (place for place in places if place.sure_of_turn)
        unsure = [place for place in places if not place.sure_of_turn]
        for place in spent.afforded(unsure, CLOSE_VIEWS, CLOSE_SHARE):
            yield from self._proposals.propose_closely(picture, place)

    def _faint(self, picture: Pyramid, crowd: Crowd, proposed: Sequence[Proposal], spent: SearchWork) -> list[Proposal]:
        """Return places beside a crowd's faces: what close views as wide as suits the others show, and all else.

        A whole figure is often proposed by its body; the close view shows the head above it.
        """
        height, width = picture.pixels.shape[:2]
        faint = crowd.outside(proposed, _FREE)
        near = (
            each
            for place in spent.afforded(faint, CLOSE_VIEWS / 2, _FAINT_SHARE)
            for each in self._proposals.propose(picture, close_view(crowd.like_others(place).box, width, height))
            if each.probability >= LIKELY
        )
        return crowd.outside(_distinct([*_likeliest(near), *faint]), _FREE)

    def _at_a_glance(self, picture: Pyramid) -> list[Face]:
        judging = Judging(self._judge, picture, self._threshold, SearchWork(0, 0))
        return judging.measured(_distinct(_likeliest(judging.at_a_glance())))

    def close(self) -> None:
        """Free the judge."""
        self._judge.close()


def open_detector(models_dir: Path, kind: Kind = "onnxruntime", max_views: int = MAX_VIEWS) -> BlazeFaceDetector:
    """Load the detector of a models folder for one thread; raise SetupError where something it needs is missing."""
    if kind == "onnxruntime":
        return BlazeFaceDetector(models_dir, max_views=max_views)
    from service.inference.detection.blazeface.mediapipe_graph import MediapipeBlazeFace

    return BlazeFaceDetector(models_dir, max_views=max_views, judge=MediapipeBlazeFace)


def _likeliest(proposals: Iterable[Proposal]) -> list[Proposal]:
    return sorted(proposals, key=lambda proposal: -proposal.probability)


def _surest(found: Iterable[Face]) -> list[Face]:
    return _distinct(sorted(found, key=lambda face: -face.confidence))


def _distinct(found: Iterable[Found]) -> list[Found]:
    """Keep the first of each overlapping group; pass the best first."""
    every = list(found)
    boxes = np.array([(each.box.x, each.box.y, each.box.width, each.box.height) for each in every]).reshape(-1, 4)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    kept, left = [], np.arange(len(every))
    while left.size:
        first, others = left[0], left[1:]
        kept.append(every[first])
        left = others[overlaps(corners[first], corners[others]) < _SAME_FACE]
    return kept
