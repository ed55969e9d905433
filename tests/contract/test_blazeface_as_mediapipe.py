"""BlazeFace in ONNX Runtime answers what mediapipe's own graph answers for the same file and the same pixels."""

import math
import subprocess
import sys
from contextlib import closing

import cv2
import numpy as np
import pytest

from service.inference.detection.blazeface.mediapipe_graph import MediapipeBlazeFace
from service.inference.detection.blazeface.network import BlazeFace
from service.inference.detection.detector import SHORT_RANGE, open_detector
from service.inference.faces import Face, Pixels
from service.inference.imaging import Pyramid
from service.inference.lockfile import default_models_dir
from tests.pictures import HEAD, astronaut, coffee, pasted

LEAST_SCORE = 0.2
FILE = default_models_dir() / SHORT_RANGE


def views() -> Pixels:
    """Heads of several sizes, places, turns and brightness, two in one view, cut-off ones, and views without any."""
    pictures = [coffee(), astronaut(), astronaut()[HEAD], astronaut()[:150, 150:300], astronaut()[60:260, 220:420]]
    pictures += [pasted(side, 300 - side // 2, 200 - side // 2) for side in (80, 140, 220, 300)]
    pictures += [pasted(200, 350, 150, pasted(160, 60, 60))]
    small = [cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA) for picture in pictures]
    for degrees in (-40, -20, 20, 40):
        matrix = cv2.getRotationMatrix2D((64, 64), degrees, 1.0)
        small.append(cv2.warpAffine(small[2], matrix, (128, 128), borderMode=cv2.BORDER_REFLECT))
    small += [(small[2] * share).astype(np.uint8) for share in (0.2, 0.5)]
    return np.stack([np.asarray(view, np.uint8) for view in small])


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Face, Face]]:
    """Each face of ours beside mediapipe's."""
    with closing(MediapipeBlazeFace(FILE, LEAST_SCORE)) as reference:
        ours, theirs = BlazeFace(FILE, LEAST_SCORE).find(views()), reference.find(views())
    assert [len(faces) for faces in ours] == [len(faces) for faces in theirs]
    return [
        pair
        for ours_here, theirs_here in zip(ours, theirs, strict=True)
        for pair in zip(ours_here, theirs_here, strict=True)
    ]


def test_there_are_faces_that_differ(pairs: list[tuple[Face, Face]]) -> None:
    assert len(pairs) >= 12
    assert np.ptp([ours.confidence for ours, _ in pairs]) > 0.3
    assert np.ptp([ours.box.width for ours, _ in pairs]) > 30


def test_scores_are_the_same(pairs: list[tuple[Face, Face]]) -> None:
    assert max(abs(ours.confidence - theirs.confidence) for ours, theirs in pairs) < 1e-3


def test_boxes_are_the_same_to_a_pixel(pairs: list[tuple[Face, Face]]) -> None:
    for ours, theirs in pairs:
        # mediapipe cuts fractions off, and moves a box that begins left of or above the view inside.
        x, y = max(ours.box.x, 0), max(ours.box.y, 0)
        here = (x, y, ours.box.width, ours.box.height)
        there = (theirs.box.x, theirs.box.y, theirs.box.width, theirs.box.height)
        assert max(abs(math.floor(a) - b) for a, b in zip(here, there, strict=True)) <= 1


def test_landmarks_are_the_same(pairs: list[tuple[Face, Face]]) -> None:
    assert max(np.abs(np.subtract(ours.landmarks, theirs.landmarks)).max() for ours, theirs in pairs) < 0.01


def test_the_search_finds_the_same_faces_with_either() -> None:
    scene = pasted(240, 20, 30, pasted(64, 400, 60))
    ours, theirs = (
        open_detector(default_models_dir(), kind).detect(Pyramid(scene)).faces for kind in ("onnxruntime", "mediapipe")
    )
    assert len(ours) == len(theirs) == 2
    for one, other in zip(ours, theirs, strict=True):
        assert math.dist(one.box.center, other.box.center) < 0.05 * one.box.width
        assert one.box.width == pytest.approx(other.box.width, rel=0.05)


def test_matplotlib_can_be_imported_after_mediapipe() -> None:
    code = (
        "from pathlib import Path\n"
        "from service.inference.detection.blazeface.mediapipe_graph import MediapipeBlazeFace\n"
        f"network = MediapipeBlazeFace(Path({str(FILE)!r}), 0.5)\n"
        "import matplotlib.pyplot as plt\n"
        "print(callable(plt.figure))\n"
        "network.close()"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "True"
    # mediapipe's C++ logs there as it frees its accelerators; anything else is a fault.
    assert [line for line in result.stderr.splitlines() if not line.startswith("INFO: [accelerator_registry")] == []
