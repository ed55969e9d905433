"""The trainable model, and the graph that is served: uint8 faces to a distribution over ages."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from training.model.age_model import AgeModel, servable, with_mirror_image
from training.model.heads import HEADS, head_named

SIZE = 32
RNG = np.random.default_rng(11)
BRIGHTNESS = np.linspace(0.1, 1, 5)[:, None, None, None]
FACES = (RNG.integers(0, 256, (5, SIZE, SIZE, 3)) * BRIGHTNESS).astype(np.uint8)
AGES = RNG.integers(0, 101, 500)


def tiny(size: int = SIZE) -> keras.Model:
    """A backbone of one convolution whose features differ between faces."""
    faces = keras.Input((size, size, 3), name="faces")
    x = keras.layers.Rescaling(1 / 127.5, -1, dtype="float32", name="preprocessing")(faces)
    x = keras.layers.BatchNormalization(name="norm")(keras.layers.Conv2D(6, 5, 4, name="convolution")(x))
    x = keras.layers.GlobalAveragePooling2D(name="features")(keras.layers.ReLU()(x))
    return keras.Model(faces, x, name="tiny")


def age_model(name: str = "coral", size: int = SIZE, seed: int = 4) -> AgeModel:
    keras.utils.set_random_seed(seed)
    model = AgeModel(tiny(size), head_named(name, AGES, AGES))
    for variable in model.head_variables:
        if variable.name == "kernel":
            variable.assign(np.random.default_rng(seed).normal(0, 5, variable.shape).astype(np.float32))
    return model


def probabilities(graph: keras.Model, faces: NDArray[np.uint8] = FACES) -> NDArray[np.float32]:
    return np.asarray(graph(faces))


@pytest.mark.parametrize("name", HEADS)
def test_logits_have_the_families_units(name: str) -> None:
    model = age_model(name)
    assert np.asarray(model(FACES.astype(np.float32))).shape == (5, model.head.units)


@pytest.mark.parametrize("name", HEADS)
def test_the_served_graph_gives_distributions(name: str) -> None:
    graph = servable(age_model(name))
    pmf = probabilities(graph)
    assert graph.input.dtype == "uint8"
    assert pmf.shape == (5, 101)
    assert pmf.dtype == np.float32
    np.testing.assert_allclose(pmf.sum(1), 1, atol=1e-5)
    assert pmf.std(axis=0).max() > 1e-3


def test_head_and_backbone_share_out_the_trainable_variables() -> None:
    model = age_model()
    head = {variable.path for variable in model.head_variables}
    width = {"head_width/kernel", "head_width/bias"}
    assert head == {"head_score/kernel", "head_biases/bias_first", "head_biases/bias_gaps", *width}
    assert len(model.backbone_variables) + len(head) == len(model.trainable_variables)


def test_freezing_the_backbone_leaves_the_head() -> None:
    model = age_model()
    model.backbone.trainable = False
    assert {id(v) for v in model.trainable_variables} == {id(v) for v in model.head_variables}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, with NumPy 2
def test_saved_weights_come_back(tmp_path: Path) -> None:
    model, other = age_model(seed=1), age_model(seed=2)
    model.save_weights(tmp_path / "x.weights.h5")
    other.load_weights(tmp_path / "x.weights.h5")
    np.testing.assert_array_equal(probabilities(servable(other)), probabilities(servable(model)))


def test_flip_averages_a_face_and_its_mirror_image() -> None:
    model = age_model("dldl")
    plain = servable(model)
    mirrored = np.ascontiguousarray(FACES[:, :, ::-1])
    expected = (probabilities(plain) + probabilities(plain, mirrored)) / 2
    np.testing.assert_allclose(probabilities(with_mirror_image(plain)), expected, atol=1e-6)
    assert np.abs(expected - probabilities(plain)).max() > 1e-4
