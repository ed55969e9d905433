"""BlazeFace out of mediapipe's file, in ONNX Runtime: views in, faces out, and files that are not it are refused."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from service.errors import InvalidModelFile
from service.inference.detection.blazeface.graph import blazeface_graph
from service.inference.detection.blazeface.network import CHUNKS, BlazeFace
from service.inference.detection.blazeface.onnx_writer import GraphWriter
from service.inference.detection.blazeface.tflite import read_tflite
from service.inference.detection.detector import SHORT_RANGE
from service.inference.faces import Pixels
from service.inference.lockfile import default_models_dir
from service.inference.onnx_session import ort
from tests.pictures import HEAD, astronaut, coffee

RELU, SOFTMAX = 19, 25  # codes of operators
FILE = default_models_dir() / SHORT_RANGE


@pytest.fixture(scope="module")
def blazeface() -> BlazeFace:
    return BlazeFace(FILE, 0.6)


def view(picture: Pixels) -> Pixels:
    return np.asarray(cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA), np.uint8)


def head() -> Pixels:
    return view(astronaut()[HEAD])


def test_a_head_is_one_face_with_its_landmarks_in_place(blazeface: BlazeFace) -> None:
    ((face,),) = blazeface.find(head()[None])
    assert face.confidence > 0.8
    assert abs(face.box.center[0] - 64) < 12
    right_eye, left_eye, nose, mouth, right_ear, left_ear = face.landmarks
    assert right_ear[0] < right_eye[0] < nose[0] < left_eye[0] < left_ear[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < mouth[1]


def test_a_view_without_a_face_gives_none(blazeface: BlazeFace) -> None:
    assert blazeface.find(view(coffee())[None]) == [[]]


@pytest.mark.parametrize("count", [0, 1, 3, 7, 8, 13])
def test_views_together_give_what_each_gives_alone(blazeface: BlazeFace, count: int) -> None:
    views = np.stack([np.roll(head(), 3 * number, axis=1) for number in range(13)])[:count]
    alone = [blazeface.find(one[None])[0] for one in views]
    together = blazeface.find(views)
    assert len(together) == count
    for one, other in zip(alone, together, strict=True):
        assert [face.confidence for face in one] == pytest.approx([face.confidence for face in other], abs=1e-5)
    if count > 1:
        assert together[0][0].box.center[0] + 1 < together[1][0].box.center[0]


def test_batches_are_of_few_sizes() -> None:
    assert CHUNKS[-1] == 1
    assert list(CHUNKS) == sorted(CHUNKS, reverse=True)


def test_the_graph_is_valid_onnx() -> None:
    model = onnx.load_from_string(blazeface_graph(read_tflite(FILE.read_bytes())))
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_written_graph_computes() -> None:
    writer = GraphWriter()
    two = writer.constant("two", np.array([2.0, 300.0], np.float32))
    doubled = writer.node("Mul", ["x", two], "doubled")
    writer.node("Unsqueeze", [doubled, writer.constant("axes", np.array([0], np.int64))], "y")
    model = writer.model("tiny", {"x": ("float32", ("n", 2))}, {"y": ("float32", (1, "n", 2))})
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    answer = session.run(["y"], {"x": np.array([[1, 2], [3, 4]], np.float32)})[0]
    assert answer.tolist() == [[[2, 600], [6, 1200]]]


def refused(tmp_path: Path, data: bytes, match: str) -> None:
    path = tmp_path / SHORT_RANGE
    path.write_bytes(data)
    with pytest.raises(InvalidModelFile, match=match):
        BlazeFace(path, 0.2)


@pytest.mark.parametrize("data", [b"", b"<html>", b"PK\x03\x04TFL3"])
def test_another_file_is_refused(tmp_path: Path, data: bytes) -> None:
    refused(tmp_path, data, "TensorFlow Lite")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
def test_half_a_file_is_refused(tmp_path: Path, share: float) -> None:
    data = FILE.read_bytes()
    refused(tmp_path, data[: int(len(data) * share)], "TensorFlow Lite")


def test_an_operator_that_is_not_read_is_named(tmp_path: Path) -> None:
    data = bytearray(FILE.read_bytes())
    candidates = (at for at in reversed(range(len(data))) if data[at] == RELU)
    data[next(at for at in candidates if names_softmax(data, at))] = SOFTMAX
    refused(tmp_path, bytes(data), f"operators of code {SOFTMAX}")


def names_softmax(data: bytearray, at: int) -> bool:
    """Whether a file whose byte `at` is changed has a layer of another kind."""
    changed = data.copy()
    changed[at] = SOFTMAX
    try:
        read_tflite(bytes(changed))
    except InvalidModelFile as error:
        return f"operators of code {SOFTMAX}" in str(error)
    return False


def test_a_network_of_other_tensors_is_refused() -> None:
    network = read_tflite(FILE.read_bytes())
    other = replace(network, outputs=network.outputs[::-1])
    with pytest.raises(InvalidModelFile, match="not BlazeFace's"):
        blazeface_graph(other)
