"""Real small things that stand in for heavy ones: a detector that sees a face in the middle, pictures of one grey."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from service.inference.decoding.decoder import Decoder, DirectDecoder
from service.inference.detection.detector import Detection, FaceDetector
from service.inference.detection.search_work import MOST_WORK
from service.inference.faces import BoundingBox, Face
from service.inference.imaging import Pyramid
from service.inference.pipeline import Pipeline, load_models
from service.runtime.decode_budget import open_decoders
from service.runtime.state import Load, Loaded, LoadedModel
from service.settings import Settings


class Gate:
    """Lets nobody through until opened, and counts who came."""

    def __init__(self) -> None:
        self._came = threading.Semaphore(0)
        self._open = threading.Event()

    def pass_through(self) -> None:
        self._came.release()
        assert self._open.wait(60), "nobody opened the gate"

    def wait_for(self, count: int = 1) -> None:
        for _ in range(count):
            assert self._came.acquire(timeout=60), "nobody came to the gate"

    def open(self) -> None:
        self._open.set()


class MiddleFace(FaceDetector):
    """Sees one upright face in the middle half of every picture that is not black."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self._before = before

    def detect(self, picture: Pyramid, min_size: float | None = None, work: float = MOST_WORK) -> Detection:  # noqa: ARG002
        self._before()
        height, width = picture.pixels.shape[:2]
        if not picture.pixels.any():
            return Detection(())
        x, y, side = width / 4, height / 4, min(width, height) / 2
        if side < (min_size or 0):
            return Detection(())
        points = ((0.7, 0.3), (0.3, 0.3), (0.5, 0.5), (0.5, 0.7), (0.9, 0.4), (0.1, 0.4))
        eyes_first = tuple((x + (1 - u) * side, y + v * side) for u, v in points)
        return Detection((Face(BoundingBox(x, y, side, side), 0.9, eyes_first),))


def load_double(
    models_dir: Path, before: Callable[[], None] = lambda: None, decoders: Sequence[str] | None = None
) -> Load:
    """Load real models of `models_dir` behind a `MiddleFace` in each thread; `before` runs before it looks.

    Pictures are decoded in the same process, or by the program `decoders` within the settings' limits.
    """

    def load(settings: Settings) -> Loaded:
        estimators = load_models(models_dir, settings.models or None)
        default = settings.default_model or next(iter(estimators))
        models = {name: LoadedModel(each.manifest, each.sha256, each.faces_share) for name, each in estimators.items()}
        open_decoder: Callable[[], Decoder] = DirectDecoder
        if decoders:
            open_decoder = open_decoders(settings.decode_limits, decoders)
        return Loaded(models, default, lambda: Pipeline(MiddleFace(before), estimators, default, open_decoder()))

    return load


def grey(value: int = 102, side: int = 64, fmt: str = "PNG") -> bytes:
    """A picture of one grey; the brightness model's age for it is `value` · 100 / 255."""
    return encoded(np.full((side, side, 3), value, np.uint8), fmt)


def encoded(pixels: np.typing.NDArray[np.uint8], fmt: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, fmt)
    return buffer.getvalue()
