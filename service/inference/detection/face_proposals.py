"""Propose faces of any size and turn with a one-shot network over a view of the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import FileMissing, InvalidModelFile
from service.inference.detection.views import View, close_view
from service.inference.faces import BoundingBox, Pixels
from service.inference.imaging import Pyramid
from service.inference.lockfile import LOCK_NAME, ModelLock, verified_path
from service.inference.onnx_session import open_session, ort, session_options

FILE: Final = "face-proposals.onnx"
INPUT: Final = "picture"
OUTPUT: Final = "proposals"
STRIDE: Final = 8
"""Pixels of the network's input per cell of its answer."""

ANSWERS: Final = ("probability", "x", "y", "width", "cosine", "sine")
"""What each cell says: how likely a face's centre lies in it; where, from the cell's middle, and how wide the
face's box is, in pixels of the input; and the direction from the person's right eye to the left."""

THRESHOLD: Final = 0.2
"""Least probability of a proposal."""

FAINT: Final = 0.1
"""Least probability of a proposal that is worth looking at beside many faces."""

MOST: Final = 250
"""Proposals of one view at most, the likeliest."""

LIKELY: Final = 0.3
"""Least probability of a proposal that is worth looking at where its turn is not sure."""

ROOM: Final = 1.2
"""Widths of a face that a proposal is wide: a window somewhat too wide loses fewer faces than one too narrow."""

_NEIGHBOURS: Final = np.ones((3, 3), np.uint8)
_SURE_OF_TURN: Final = 0.8  # least confidence of a turn that needs no other tried
_NEARER: Final = 2.0  # how much closer the second close view is; what is proposed twice too wide is seen well in it
_WIDEST: Final = 640.0  # pixels of the input; what a network answers to noise must not become a box without bounds


@dataclass(frozen=True, slots=True)
class Proposal:
    """A place where a face may be: its box, how likely, its turn in radians as `eye_angle`, and how sure that is."""

    box: BoundingBox
    probability: float
    turn: float
    turn_confidence: float

    @property
    def sure_of_turn(self) -> bool:
        """Whether the face need not be looked for in any other turn."""
        return self.turn_confidence >= _SURE_OF_TURN


class FaceProposals:
    """Proposes faces; whoever asks must look whether they are some. Safe to share between threads."""

    def __init__(self, models_dir: Path) -> None:
        """Load the locked file; raise FileMissing, ChecksumMismatch or InvalidModelFile."""
        entries = ModelLock.read(models_dir).of_kind("proposals")
        if not entries:
            raise FileMissing(f"{LOCK_NAME} names no file of kind `proposals` ({FILE}); run `git checkout models`")
        self._session = _session(verified_path(models_dir, entries[0]))

    def propose(self, picture: Pyramid, view: View, least: float = THRESHOLD) -> list[Proposal]:
        """Return possible faces of probability `least` or more in a view of the picture, likeliest first.

        Boxes are a fifth too wide on purpose.
        """
        pixels, seen = view.show(picture)
        answer = self.answer(pixels)
        heat = np.ascontiguousarray(answer[..., 0])
        rows, columns = np.nonzero((heat >= least) & (heat >= cv2.dilate(heat, _NEIGHBOURS)))
        order = np.argsort(-heat[rows, columns], kind="stable")[:MOST]
        rows, columns = rows[order], columns[order]
        cells = zip(columns.tolist(), rows.tolist(), answer[rows, columns].tolist(), strict=True)
        scale = seen.width / pixels.shape[1], seen.height / pixels.shape[0]
        return [_proposal(values, (column, row), scale, (seen.left, seen.top)) for column, row, values in cells]

    def propose_closely(self, picture: Pyramid, doubtful: Proposal) -> list[Proposal]:
        """Propose anew what a view shows too small to be sure of its turn, in a close view or in two.

        Returns what is at least `LIKELY` there: nothing, the face, or faces beside it too. A close view costs a fifth
        of a window that is judged.
        """
        height, width = picture.pixels.shape[:2]
        close = self.propose(picture, close_view(doubtful.box, width, height))
        if close and not (close[0].sure_of_turn and close[0].probability >= LIKELY):
            close += self.propose(picture, close_view(doubtful.box, width, height, _NEARER))
        return [proposal for proposal in close if proposal.probability >= LIKELY]

    def answer(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return `ANSWERS` for each cell, float32 [height / 8, width / 8, 6], sides being multiples of 32."""
        return np.asarray(self._session.run([OUTPUT], {INPUT: pixels[None]})[0][0], np.float32)


def _proposal(
    values: list[float], cell: tuple[int, int], scale: tuple[float, float], corner: tuple[float, float]
) -> Proposal:
    """Turn a cell's `ANSWERS` into a proposal; `scale` is pixels of the picture per shown one, across and down."""
    probability, x, y, width, cosine, sine = values
    center_x = corner[0] + ((cell[0] + 0.5) * STRIDE + x) * scale[0]
    center_y = corner[1] + ((cell[1] + 0.5) * STRIDE + y) * scale[1]
    side = min(max(width, 1.0), _WIDEST) * ROOM * math.sqrt(scale[0] * scale[1])
    box = BoundingBox(center_x - side / 2, center_y - side / 2, side, side)
    return Proposal(box, probability, math.atan2(sine, cosine), min(1.0, math.hypot(cosine, sine)))


def _session(path: Path) -> ort.InferenceSession:
    session = open_session(path, session_options(), ("CPUExecutionProvider",))
    found = [(node.name, node.type, node.shape[-1]) for node in (*session.get_inputs(), *session.get_outputs())]
    agreed = [(INPUT, "tensor(uint8)", 3), (OUTPUT, "tensor(float)", len(ANSWERS))]
    if found != agreed:
        raise InvalidModelFile(f"{path.name} has tensors {found}, agreed were {agreed}; run `git checkout models`")
    return session
