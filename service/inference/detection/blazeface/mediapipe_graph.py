"""BlazeFace in mediapipe's own graph, the extra `mediapipe`, imported without what it only draws and documents with.

Wherever TensorFlow is installed mediapipe imports it, sixteen seconds long, for one decorator of its documentation.
It has a fallback for where there is none, and that is what it is shown here. It imports matplotlib for drawing, which
takes a second and a half and refuses to start where no folder can be written: it is shown an empty one.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final, cast

import numpy as np

from service.errors import SetupError, needs_extra
from service.inference.faces import BoundingBox, Face, Pixels

DEBIAN_PACKAGES: Final = {"libEGL.so.1": "libegl1", "libGLESv2.so.2": "libgles2"}
"""Library that mediapipe needs and no wheel carries → the Debian package that has it."""

_SHOWN: Final[dict[str, ModuleType | None]] = {
    "tensorflow": None,  # the import system's own mark for "cannot be imported"
    "matplotlib": ModuleType("matplotlib"),
    "matplotlib.pyplot": ModuleType("matplotlib.pyplot"),
}


class MediapipeBlazeFace:
    """The short-range network as mediapipe's own graph runs it. Not safe to share between threads."""

    def __init__(self, path: Path, least_score: float) -> None:
        """Load the .tflite file; scores below `least_score` are not returned.

        Raises SetupError where mediapipe, or a shared library that it needs, is not installed.
        """
        _require_libraries()
        with _hidden():
            try:
                import mediapipe
                from mediapipe.tasks.python import BaseOptions
                from mediapipe.tasks.python.vision import FaceDetector, FaceDetectorOptions
            except ImportError as error:
                raise SetupError(needs_extra("AGELENS_DETECTOR=mediapipe", "mediapipe") + f" ({error})") from error
        # The buffer, not the path: mediapipe's own file loading needs a writable working directory.
        options = BaseOptions(model_asset_buffer=path.read_bytes())
        self._mediapipe = mediapipe
        with _silent():
            self._network = FaceDetector.create_from_options(
                FaceDetectorOptions(base_options=options, min_detection_confidence=least_score)
            )
            self.find(np.zeros((1, 128, 128, 3), np.uint8))

    def find(self, views: Pixels) -> list[list[Face]]:
        """Return the faces in each of uint8 [n, height, width, 3] RGB: boxes in whole pixels, landmarks finer."""
        return [self._find(view) for view in views]

    def close(self) -> None:
        """Free the graph; a process ends only after that."""
        self._network.close()

    def _find(self, pixels: Pixels) -> list[Face]:
        height, width = pixels.shape[:2]
        srgb = self._mediapipe.ImageFormat.SRGB
        image = self._mediapipe.Image(image_format=srgb, data=np.ascontiguousarray(pixels))
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


@contextmanager
def _silent() -> Iterator[None]:
    """Close standard error to C++: mediapipe logs a hundred lines when a graph starts, below Python's reach."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


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


def _require_libraries() -> None:
    missing = [name for name in DEBIAN_PACKAGES if not _loads(name)]
    if missing:
        wanted = " ".join(DEBIAN_PACKAGES[name] for name in missing)
        raise SetupError(
            f"AGELENS_DETECTOR=mediapipe needs {' and '.join(missing)}, which this system lacks; "
            f"on Debian or Ubuntu: apt-get install {wanted}"
        )


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
