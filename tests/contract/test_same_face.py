"""Training and service must see the same face: same crop bytes, same distribution, whatever the framing."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.detector import MediapipeDetector
from service.estimator import Estimator
from service.manifest import ModelLock, verified_path
from service.model_folder import default_models_dir
from service.pipeline import Pipeline
from service.types import Floats, Pixels
from tests.pictures import HEAD, astronaut, jpeg
from training.data import FaceStore, centre
from training.datasets import read
from training.prepare import prepare

MODELS = default_models_dir()
SHIPPED = [entry for entry in ModelLock.read(MODELS).of_kind("model") if entry.default]


class Listening(Estimator):
    """A shipped model that keeps the crops it was given."""

    heard: NDArray[np.uint8]

    def estimate(self, faces: NDArray[np.uint8]) -> Floats:
        self.heard = faces
        return super().estimate(faces)


@pytest.fixture(scope="module", params=SHIPPED, ids=lambda entry: entry.file)
def model(request: pytest.FixtureRequest) -> Listening:
    return Listening(verified_path(MODELS, request.param), request.param.sha256)


@pytest.fixture(scope="module")
def detector() -> Iterator[MediapipeDetector]:
    with MediapipeDetector(MODELS) as loaded:
        yield loaded


def pictures() -> list[Pixels]:
    """The portrait, its head alone, its mirror, and a faded one: four different faces to a network."""
    faded = (astronaut() * 0.4 + 120).astype(np.uint8)
    return [astronaut(), np.ascontiguousarray(astronaut()[HEAD]), np.ascontiguousarray(astronaut()[:, ::-1]), faded]


def test_a_model_is_shipped() -> None:
    assert SHIPPED


def test_both_ways_give_the_same_crop_and_distribution(
    tmp_path: Path, model: Listening, detector: MediapipeDetector
) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    for i, picture in enumerate(pictures()):
        (folder / f"4{i}_1_0_2017010100000000{i}.jpg.chip.jpg").write_bytes(jpeg(picture))
    listing = read("utkface", folder)
    prepare(listing, tmp_path / "store", MODELS, model.manifest.crop, workers=1)
    store = FaceStore.open(tmp_path / "store")
    trained_on = np.stack([centre(store.faces[i], model.manifest.crop.size) for i in range(len(listing.samples))])
    from_training = Estimator.estimate(model, trained_on)
    assert np.abs(np.diff(from_training, axis=0)).max(axis=1).min() > 1e-3, "different faces must give different ages"
    pipeline = Pipeline(detector, {"model": model}, "model")
    for i, sample in enumerate(listing.samples):
        (answer,) = pipeline.predict(listing.open(sample.path)).faces
        assert np.array_equal(model.heard[0], trained_on[i])
        assert np.abs(answer.distribution.pmf - from_training[i]).max() < 1e-4


def test_framing_changes_neither_scale_nor_age(model: Listening, detector: MediapipeDetector) -> None:
    pipeline = Pipeline(detector, {"model": model}, "model")
    (loose,) = pipeline.predict(jpeg(astronaut())).faces
    x, y = loose.face.box.center
    scales, ages = [], []
    for share in (1.25, 1.4, 1.6, 1.8, 2.0):
        half = loose.face.box.width * share / 2
        top, bottom, left, right = (round(value) for value in (y - half, y + half, x - half, x + half))
        (tight,) = pipeline.predict(jpeg(np.ascontiguousarray(astronaut()[top:bottom, left:right]))).faces
        scales.append(tight.face.box.width / loose.face.box.width)
        ages.append(tight.age - loose.age)
    assert abs(np.median(scales) - 1) < 0.03
    assert abs(np.median(ages)) < 0.5
