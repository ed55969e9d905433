"""The shipped models on OpenVINO: the ages that plain ONNX Runtime gives, since it is told to compute in float32.

`make test-openvino` runs this with an ONNX Runtime that was built with OpenVINO, which runs on any x86-64 processor.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from service.errors import InvalidModelFile
from service.inference.distribution import AGES
from service.inference.estimator import Estimator
from service.inference.lockfile import ModelLock, sha256_of
from service.inference.onnx_session import OPTIONS, ort

MODELS = Path(__file__).parents[2] / "models"
OPENVINO, PLAIN = "OpenVINOExecutionProvider", "CPUExecutionProvider"
FACE = (164, 65, 284, 185)
"""Where NASA's portrait has it: left, top, right, bottom."""

IN_BFLOAT16 = '{"CPU": {"INFERENCE_PRECISION_HINT": "bf16"}}'


def portraits() -> NDArray[np.uint8]:
    """Return one face cut, lit and turned in sixteen ways, uint8 [16, 160, 160, 3]."""
    portrait = Image.open(MODELS / "astronaut.png").convert("RGB")
    made = []
    for number in range(16):
        left, top, right, bottom = FACE
        grown = 3 * (number % 4)
        face = portrait.crop((left - grown, top - grown, right + grown, bottom + grown)).resize((160, 160))
        face = ImageEnhance.Brightness(face).enhance(0.6 + 0.05 * number)
        made.append(face.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number % 2 else face)
    return np.stack([np.asarray(face) for face in made])


def estimator(name: str, *providers: str) -> Estimator:
    path = MODELS / f"{name}.onnx"
    return Estimator(path, sha256_of(path), providers=providers)


def ages(name: str, *providers: str) -> NDArray[np.float64]:
    return np.asarray(estimator(name, *providers).estimate(portraits()) @ np.arange(AGES), np.float64)


SHIPPED = [entry.file.removesuffix(".onnx") for entry in ModelLock.read(MODELS).of_kind("model")]
MOVED = "mean-variance-resnet-int8"
"""OpenVINO seems to round the means in its shortcuts to eight bits."""


def test_this_runtime_was_built_with_openvino() -> None:
    assert OPENVINO in ort.get_available_providers()


@pytest.mark.parametrize("name", sorted(set(SHIPPED) - {MOVED}))
def test_a_shipped_file_gives_the_same_ages(name: str) -> None:
    plain = ages(name, PLAIN)
    assert np.ptp(plain) > 1
    on_openvino = ages(name, OPENVINO, PLAIN)
    assert on_openvino == pytest.approx(plain, abs=0.3 if name.endswith("-int8") else 0.01)
    assert (on_openvino != plain).any(), "it ran on the CPU"


def test_a_file_that_answers_otherwise_there_runs_on_the_cpu_with_a_warning() -> None:
    with pytest.warns(RuntimeWarning, match=f"{MOVED} runs on the CPU: on OpenVINOExecutionProvider, CPUExecution"):
        told = estimator(MOVED, OPENVINO, PLAIN)
    np.testing.assert_array_equal(told.estimate(portraits()), estimator(MOVED, PLAIN).estimate(portraits()))


def test_openvino_listens_to_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the processor has bfloat16; elsewhere OpenVINO computes in float32 whatever it is told."""
    plain = ages("coral-mobilenet", PLAIN)
    monkeypatch.setitem(OPTIONS, OPENVINO, {"load_config": IN_BFLOAT16})
    moved = np.abs(ages("coral-mobilenet", OPENVINO, PLAIN) - plain).max()
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert (moved > 0.05) == bool(flags & {"avx512_bf16", "amx_bf16"})


def test_a_provider_that_cannot_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIONS, OPENVINO, {"load_config": "no JSON"})
    with pytest.raises(InvalidModelFile, match="names OpenVINOExecutionProvider, which is installed but could not"):
        ages("coral-mobilenet", OPENVINO, PLAIN)
