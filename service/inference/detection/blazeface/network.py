"""BlazeFace's short-range network, mediapipe's own, in ONNX Runtime: from pixels to faces (Bazarevsky et al. 2019)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidModelFile
from service.inference.detection.blazeface.graph import INPUT, OUTPUTS, SIDE, blazeface_graph
from service.inference.detection.blazeface.tflite import read_tflite
from service.inference.faces import BoundingBox, Face, Pixels
from service.inference.onnx_session import ort, session_options

CHUNKS: Final = (8, 4, 2, 1)
"""Sizes of the batches that the network is run on; more would not fit a core's cache."""

_CELLS: Final = ((16, 2), (8, 6))  # cells a side, and anchors a cell
_SAME_FACE: Final = 0.3  # overlap from which answers are averaged into one face


class BlazeFace:
    """One BlazeFace network. Safe to share between threads."""

    def __init__(self, path: Path, least_score: float) -> None:
        """Load mediapipe's .tflite file; scores below `least_score` are not returned. Raises InvalidModelFile."""
        graph = blazeface_graph(read_tflite(path.read_bytes()))
        try:
            self._session = ort.InferenceSession(graph, session_options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own
            raise InvalidModelFile(f"{path.name} cannot be run by ONNX Runtime: {error}") from error
        self._least_logit = float(np.log(least_score / (1 - least_score)))

    def find(self, views: Pixels) -> list[list[Face]]:
        """Return the faces in each of uint8 [n, 128, 128, 3] RGB, likeliest first, in pixels of the view."""
        found: list[list[Face]] = []
        while len(found) < len(views):
            size = next(size for size in CHUNKS if size <= len(views) - len(found))
            boxes, scores = self._session.run(OUTPUTS, {INPUT: views[len(found) : len(found) + size]})
            found += [self._faces(*answer) for answer in zip(boxes, scores[..., 0], strict=True)]
        return found

    def close(self) -> None:
        """Do nothing: ONNX Runtime frees a session with its last reference."""

    def _faces(self, boxes: NDArray[np.float32], logits: NDArray[np.float32]) -> list[Face]:
        (likely,) = np.nonzero(logits >= self._least_logit)
        likely = likely[np.argsort(-logits[likely], kind="stable")]
        points = boxes[likely].reshape(-1, 8, 2).astype(np.float64)
        points[:, 0] += _ANCHORS[likely]
        points[:, 2:] += _ANCHORS[likely, None]
        return _merged(points, 1 / (1 + np.exp(-logits[likely].astype(np.float64))))


def _anchors() -> NDArray[np.float64]:
    """Return the anchors' centres (x, y) in pixels of the input, float64 [896, 2], in the order of the answers."""
    rows = []
    for cells, each in _CELLS:
        middles = (np.arange(cells) + 0.5) * (SIDE / cells)
        y, x = np.meshgrid(middles, middles, indexing="ij")
        rows.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), each, axis=0))
    return np.concatenate(rows)


_ANCHORS: Final = _anchors()


def _merged(points: NDArray[np.float64], scores: NDArray[np.float64]) -> list[Face]:
    """Average answers that overlap the likeliest, weighed by their scores, then go on with those that are left.

    `points` float64 [n, 8, 2]: centre, size and six landmarks, likeliest first. It is the paper's "blending".
    """
    half = points[:, 1] / 2
    corners = np.concatenate([points[:, 0] - half, points[:, 0] + half], -1)
    faces, left = [], np.arange(len(points))
    while left.size:
        same = overlaps(corners[left[0]], corners[left]) > _SAME_FACE
        same[0] = True  # also where the network answers a box without area
        group, left = left[same], left[~same]
        weights = scores[group] / scores[group].sum()
        x0, y0, x1, y1 = (float(value) for value in weights @ corners[group])
        landmarks = np.tensordot(weights, points[group, 2:], 1)
        box = BoundingBox(x0, y0, x1 - x0, y1 - y0)
        faces.append(Face(box, float(scores[group[0]]), tuple((float(x), float(y)) for x, y in landmarks)))
    return faces


def overlaps(one: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the intersection over union of a box with each of others, all given by two corners."""
    left, top, right, bottom = others.T
    across = np.maximum(np.minimum(one[2], right) - np.maximum(one[0], left), 0)
    shared = across * np.maximum(np.minimum(one[3], bottom) - np.maximum(one[1], top), 0)
    areas = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    return np.asarray(shared / np.maximum((one[2] - one[0]) * (one[3] - one[1]) + areas - shared, 1e-9))
