"""Training and service must see the same face: same crop bytes, same distribution, whatever the framing."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.detection.detector import BlazeFaceDetector
from service.inference.distribution import Floats
from service.inference.estimator import Estimator
from service.inference.faces import Pixels
from service.inference.lockfile import ModelLock, default_models_dir, verified_path
from service.inference.pipeline import Pipeline
from tests.pictures import astronaut, jpeg
from training.data.augment import centre
from training.data.prepare import prepare
from training.data.store import FaceStore
from training.datasets import read

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
def detector() -> BlazeFaceDetector:
    return BlazeFaceDetector(MODELS)


def pictures() -> list[Pixels]:
    """The portrait, a blurred one, its mirror, and a faded one: four different faces to a network."""
    faded = (astronaut() * 0.4 + 120).astype(np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(astronaut(), (0, 0), 3), dtype=np.uint8)
    return [astronaut(), blurred, np.ascontiguousarray(astronaut()[:, ::-1]), faded]


def test_a_model_is_shipped() -> None:
    assert SHIPPED


def test_both_ways_give_the_same_crop_and_distribution(
    tmp_path: Path, model: Listening, detector: BlazeFaceDetector
) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    for i, picture in enumerate(pictures()):
        (folder / f"4{i}_1_0_2017010100000000{i}.jpg.chip.jpg").write_bytes(jpeg(picture))
    listing = read("utkface", folder)
    prepare(listing, tmp_path / "store", MODELS, model.manifest.crop, bleed=8, workers=1)
    store = FaceStore.open(tmp_path / "store")
    trained_on = np.stack([centre(store.faces[i], model.manifest.crop.size) for i in range(len(listing.samples))])
    from_training = Estimator.estimate(model, trained_on)
    assert np.ptp(from_training @ np.arange(101.0)) > 1, "different faces must give different ages"
    pipeline = Pipeline(detector, {"model": model}, "model")
    for i, sample in enumerate(listing.samples):
        (answer,) = pipeline.predict(listing.open(sample.path)).faces
        assert np.array_equal(model.heard[0], trained_on[i])
        assert np.abs(answer.distribution.pmf - from_training[i]).max() < 1e-4


def ages_and_scales(pipeline: Pipeline, cuts: list[Pixels]) -> tuple[Floats, Floats]:
    faces = [pipeline.predict(jpeg(np.ascontiguousarray(cut), quality=100)).faces[0] for cut in cuts]
    return np.array([face.age for face in faces]), np.array([face.face.box.width for face in faces])


def test_framing_changes_neither_scale_nor_age(model: Listening, detector: BlazeFaceDetector) -> None:
    pipeline = Pipeline(detector, {"model": model}, "model")
    portrait = astronaut()
    box = pipeline.predict(jpeg(portrait, quality=100)).faces[0].face.box
    x, y = box.center
    # Ages scatter by half a year or more from cut to cut: of six each, the medians do by a third.
    loose = [portrait[: 500 - 3 * i, 2 * i : 500 - 3 * i // 2] for i in range(24)]
    halves = box.width / 2 * np.linspace(1.1, 1.5, 24)
    tight = [portrait[round(y - h) : round(y + h), round(x - h) : round(x + h)] for h in halves]
    loose_ages, loose_scales = ages_and_scales(pipeline, loose)
    tight_ages, tight_scales = ages_and_scales(pipeline, tight)
    assert abs(np.median(tight_scales) / np.median(loose_scales) - 1) < 0.03
    assert abs(np.median(tight_ages) - np.median(loose_ages)) < 0.5
