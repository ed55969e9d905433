"""What runs BlazeFace is a setting; mediapipe without its extra is a clear error."""

import subprocess
import sys

import pytest

from service.errors import SetupError
from service.inference.detection.detector import open_detector
from service.inference.lockfile import default_models_dir


def test_mediapipe_without_its_extra_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(SetupError, match="AGELENS_DETECTOR=mediapipe needs"):
        open_detector(default_models_dir(), "mediapipe")


def test_the_default_needs_no_mediapipe() -> None:
    code = (
        "import sys; sys.modules['mediapipe'] = None; "
        "from service.inference.detection.detector import open_detector; "
        "from service.inference.lockfile import default_models_dir; "
        "open_detector(default_models_dir())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
