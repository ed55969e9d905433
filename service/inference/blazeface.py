"""mediapipe's BlazeFace as a function from pixels to faces, imported without what it only draws and documents with.

Wherever TensorFlow is installed mediapipe imports it, sixteen seconds long, for one decorator of its documentation.
It has a fallback for where there is none, and that is what it is shown here. It imports matplotlib for drawing, which
takes a second and a half and refuses to start where no folder can be written: it is shown an empty one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final, cast

import numpy as np

from service.inference.faces import BoundingBox, Face, Pixels

_SHOWN: Final[dict[str, ModuleType | None]] = {
    "tensorflow": None,  # the import system's own mark for "cannot be imported"
    "matplotlib": ModuleType("matplotlib"),
    "matplotlib.pyplot": ModuleType("matplotlib.pyplot"),
}


@contextmanager
def _hidden() -> Iterator[None]:
    """Show `_SHOWN` to imports inside the block, but for packages that were imported before."""
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    shown = {name: module for name, module in _SHOWN.items() if name.split(".")[0] not in modules}
    modules.update(shown)
    try:
        yield
    finally:
        for name in shown:
            del modules[name]


with _hidden():
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
