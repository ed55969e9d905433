"""Networks that teach: files, runs and pretrained weights, asked alike."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from service.errors import FileMissing, InvalidParameter
from service.inference.imaging import exposed
from tests.training.export.bell_model import bell_manifest, grey_faces, write_bell_model
from tests.training.tiny_run import FACES, SIZE, tiny_network, tiny_recipe
from training.data.store import FaceStore
from training.export.graph import embed
from training.fit.train import train
from training.fit.weight_average import read
from training.teaching.teacher import AT_ONCE, Teacher, teacher_named
from training.weights.store import save_npz


def test_an_exported_file_teaches_its_distribution(tmp_path: Path) -> None:
    teacher = teacher_named(str(write_bell_model(tmp_path, size=SIZE)), SIZE)
    pmf = teacher.run(grey_faces([20, 60], SIZE))
    assert (teacher.ages, teacher.features) == (101, 0)
    assert pmf @ np.arange(101) == pytest.approx([20, 60], abs=0.5)


def test_a_run_teaches_its_distribution_and_its_features(store_path: Path, tmp_path: Path) -> None:
    train(tiny_recipe(epochs=1), [FaceStore.open(store_path)], tmp_path)
    teacher = teacher_named(str(tmp_path), SIZE)
    told = teacher.run(FACES)
    assert (teacher.ages, teacher.features, told.shape) == (101, 16, (40, 117))
    assert told[:, :101].sum(axis=1) == pytest.approx(np.ones(40), abs=1e-5)


def test_pretrained_weights_teach_their_features(tmp_path: Path) -> None:
    network = tiny_network()
    save_npz(network.backbone, tmp_path / "teacher.npz")
    teacher = teacher_named(f"two_convolutions:{tmp_path / 'teacher.npz'}", SIZE)
    assert (teacher.ages, teacher.features) == (0, 16)
    expected = read([network.backbone(FACES.astype(np.float32))])[0]
    assert teacher.run(FACES) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_teacher_is_asked_about_many_faces_in_batches() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (2 * AT_ONCE + 5, 2, 2, 3), dtype=np.uint8)
    asked: list[int] = []

    def run(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        asked.append(len(batch))
        return batch.reshape(len(batch), -1).astype(np.float32)

    told = Teacher(run, 0, 12).of_many(faces)
    assert asked == [AT_ONCE, AT_ONCE, 5]
    assert (told == faces.reshape(len(faces), -1)).all()


def test_two_teachers_answer_side_by_side(tmp_path: Path) -> None:
    paths = [str(write_bell_model(tmp_path / name, size=SIZE, sigma=sigma)) for name, sigma in (("a", 2), ("b", 9))]
    faces = grey_faces([20, 60], SIZE)
    both = teacher_named("+".join(paths), SIZE)
    assert (both.ages, both.features) == (202, 0)
    apart = [teacher_named(path, SIZE).run(faces) for path in paths]
    np.testing.assert_allclose(both.run(faces), np.concatenate(apart, axis=1), atol=1e-6)


def test_an_exported_teacher_sees_faces_exposed_as_its_manifest_says(tmp_path: Path) -> None:
    path = write_bell_model(tmp_path, size=SIZE)
    model = onnx.load(path)
    manifest = bell_manifest(size=SIZE)
    crop = manifest.crop.model_copy(update={"exposure": "stretched"})
    embed(model, manifest.model_copy(update={"crop": crop}))
    faces = np.random.default_rng(0).integers(90, 121, (3, SIZE, SIZE, 3), dtype=np.uint8)
    plain = teacher_named(str(path), SIZE)
    expected = plain.run(np.stack([exposed(face, crop) for face in faces]))
    onnx.save(model, path)
    told = teacher_named(str(path), SIZE).run(faces)
    np.testing.assert_allclose(told, expected, atol=1e-6)
    assert np.abs(told - plain.run(faces)).max() > 0.01


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nosuch", InvalidParameter, "BACKBONE:WEIGHTS"),
        ("nosuch.onnx", FileMissing, "no teacher nosuch.onnx"),
    ],
)
def test_a_teacher_that_is_not_there_is_named(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        teacher_named(name, SIZE)


@pytest.mark.parametrize(("size", "how"), [(SIZE // 2, cv2.INTER_LINEAR), (2 * SIZE, cv2.INTER_AREA)])
def test_a_teacher_of_another_size_sees_the_faces_at_its_own(tmp_path: Path, size: int, how: int) -> None:
    path = str(write_bell_model(tmp_path, size=SIZE))
    faces = np.random.default_rng(2).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    own = np.stack([cv2.resize(face, (SIZE, SIZE), interpolation=how) for face in faces])
    assert (teacher_named(path, size).run(faces) == teacher_named(path, SIZE).run(own)).all()
