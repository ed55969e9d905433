"""mediapipe's BlazeFace as a function from pixels to faces, imported without TensorFlow.

Wherever TensorFlow is installed mediapipe imports it, sixteen seconds long, for one decorator of its documentation.
It has a fallback for where there is none, and that is what it is shown here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from service.types import BoundingBox, Face, Pixels


@contextmanager
def _no_tensorflow() -> Iterator[None]:
    """Make `import tensorflow` fail inside the block, unless it was imported before."""
    if "tensorflow" in sys.modules:
        yield
        return
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # the import system's own mark for "cannot"
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


with _no_tensorflow():
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python.vision import FaceDetector, FaceDetectorOptions


class BlazeFace:
    """One BlazeFace network. Calls on it are serialised: give each thread its own."""

    def __init__(self, path: Path, least_score: float) -> None:
        """Load the .tflite file; scores below `least_score` are not returned."""
        # The buffer, not the path: mediapipe's own file loading needs a writable working directory.
        options = BaseOptions(model_asset_buffer=path.read_bytes())
        self._network = FaceDetector.create_from_options(
            FaceDetectorOptions(base_options=options, min_detection_confidence=least_score)
        )

    def find(self, pixels: Pixels) -> list[Face]:
        """Return the faces of uint8 [height, width, 3] RGB; boxes in whole pixels, landmarks finer."""
        height, width = pixels.shape[:2]
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
        faces = []
        for found in self._network.detect(image).detections:
            box = found.bounding_box
            faces.append(
                Face(
                    BoundingBox(float(box.origin_x), float(box.origin_y), float(box.width), float(box.height)),
                    float(found.categories[0].score),
                    tuple((float(point.x) * width, float(point.y) * height) for point in found.keypoints),
                )
            )
        return faces

    def close(self) -> None:
        """Free the network."""
        self._network.close()
