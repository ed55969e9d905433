"""Where small faces might be: a small network of ours that sees the whole picture once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import FileMissing, InvalidModelFile
from service.inference.faces import BoundingBox, Face, Pixels
from service.inference.imaging import Pyramid
from service.inference.lockfile import LOCK_NAME, ModelLock, verified_path
from service.inference.onnx_session import open_session, ort, session_options

FILE: Final = "face-proposals.onnx"
INPUT: Final = "picture"
OUTPUT: Final = "proposals"
STRIDE: Final = 8
"""Pixels of the network's input per cell of its answer."""

ANSWERS: Final = ("probability", "x", "y", "width", "cosine", "sine")
"""What each cell says: how likely a small face's centre lies in it; where, from the cell's middle, and how wide the
face's box is, in pixels of the input; and the direction from the person's right eye to the left."""

MULTIPLE: Final = 32
"""Sides of the network's input are multiples of this."""

LONGER: Final = 512
"""Most pixels of the longer side that the network is shown."""

THRESHOLD: Final = 0.2

_ROOM: Final = 1.2  # a window somewhat too wide for a face loses fewer than one somewhat too narrow
_WIDEST: Final = 256.0  # pixels of the input; what a network answers to noise must not become a box without bounds


class FaceProposals:
    """Proposes small faces; whoever asks must look whether they are some. Safe to share between threads."""

    def __init__(self, models_dir: Path, threshold: float = THRESHOLD) -> None:
        """Load the locked file; raise FileMissing, ChecksumMismatch or InvalidModelFile."""
        entries = ModelLock.read(models_dir).of_kind("proposals")
        if not entries:
            raise FileMissing(f"{LOCK_NAME} names no file of kind `proposals` ({FILE}); run `git checkout models`")
        self._session = _session(verified_path(models_dir, entries[0]))
        self._threshold = threshold

    def propose(self, picture: Pyramid) -> list[Face]:
        """Return possible faces of 12 to 110 pixels where the longer side has 512, likeliest first.

        Boxes are a fifth too wide on purpose, and of landmarks there are only two, on the line through the eyes.
        """
        answer = self.answer(shown(picture))
        heat = np.ascontiguousarray(answer[..., 0])
        peaks = (heat >= self._threshold) & (heat >= cv2.dilate(heat, np.ones((3, 3), np.uint8)))
        rows, columns = np.nonzero(peaks)
        height, width = picture.pixels.shape[:2]
        across, down = width / (heat.shape[1] * STRIDE), height / (heat.shape[0] * STRIDE)
        order = np.argsort(-heat[rows, columns], kind="stable")
        return [_face(answer[rows[i], columns[i]], rows[i], columns[i], across, down) for i in order]

    def answer(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return `ANSWERS` for each cell, float32 [height / 8, width / 8, 6], sides being multiples of 32."""
        return np.asarray(self._session.run([OUTPUT], {INPUT: pixels[None]})[0][0], np.float32)


def shown(picture: Pyramid) -> Pixels:
    """Return what the network is shown: the picture, no larger than it is, at most `LONGER` pixels along."""
    height, width = picture.pixels.shape[:2]
    step = max(1.0, max(height, width) / LONGER)
    source, _ = picture.reduced(step)
    size = _rounded(width / step), _rounded(height / step)
    return np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _rounded(side: float) -> int:
    return max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE)


def _face(cell: NDArray[np.float32], row: int, column: int, across: float, down: float) -> Face:
    probability, x, y, width, cosine, sine = (float(value) for value in cell)
    center_x, center_y = ((column + 0.5) * STRIDE + x) * across, ((row + 0.5) * STRIDE + y) * down
    side = float(np.clip(width, 1.0, _WIDEST)) * _ROOM * math.sqrt(across * down)
    turn = math.atan2(sine, cosine)
    eye_x, eye_y = side / 5 * math.cos(turn), side / 5 * math.sin(turn)
    box = BoundingBox(center_x - side / 2, center_y - side / 2, side, side)
    return Face(box, probability, ((center_x - eye_x, center_y - eye_y), (center_x + eye_x, center_y + eye_y)))


def _session(path: Path) -> ort.InferenceSession:
    session = open_session(path, session_options(), ("CPUExecutionProvider",))
    found = [(node.name, node.type, node.shape[-1]) for node in (*session.get_inputs(), *session.get_outputs())]
    agreed = [(INPUT, "tensor(uint8)", 3), (OUTPUT, "tensor(float)", len(ANSWERS))]
    if found != agreed:
        raise InvalidModelFile(f"{path.name} has tensors {found}, agreed were {agreed}; run `git checkout models`")
    return session
