"""The fused batch normalisation against Keras's own."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from training.backbones import build_backbone
from training.batch_norm import FusedBatchNormalization, with_fused_batch_norms

RNG = np.random.default_rng(0)


def small_network() -> keras.Model:
    """Build a network of one normalised convolution."""
    faces = keras.Input((8, 8, 3))
    maps = keras.layers.BatchNormalization(name="norm", epsilon=1e-3)(keras.layers.Conv2D(5, 3, name="conv")(faces))
    return keras.Model(faces, keras.layers.Dense(1, name="out")(keras.layers.Flatten()(maps)))


def test_training_steps_are_the_same_as_with_keras_own() -> None:
    plain = small_network()
    plain.get_layer("norm").momentum = 0.9
    fused = with_fused_batch_norms(plain, momentum=0.9)
    assert isinstance(fused.get_layer("norm"), FusedBatchNormalization)
    fused.set_weights(plain.get_weights())
    faces, answers = RNG.normal(1, 3, (6, 8, 8, 3)).astype(np.float32), RNG.normal(size=(6, 1)).astype(np.float32)
    for model in (plain, fused):
        model.compile(keras.optimizers.SGD(0.01), "mse")
        for _ in range(3):
            model.train_on_batch(faces, answers)
    for mine, other in zip(fused.weights, plain.weights, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-4, atol=1e-5, err_msg=other.path)


@pytest.mark.parametrize("trainable", [True, False])
def test_only_a_trainable_one_looks_at_its_batch(trainable: bool) -> None:
    layer = FusedBatchNormalization(trainable=trainable)
    maps = RNG.normal(5, 2, (4, 3, 3, 2)).astype(np.float32)
    normalised = ops.convert_to_numpy(layer(maps, training=True))
    assert bool(abs(normalised.mean()) < 0.01) is trainable


def test_backbones_are_built_with_it_and_its_momentum() -> None:
    norms = [layer for layer in build_backbone("mobilenet", 32, momentum=0.8).layers if "bn" in layer.name]
    assert norms
    assert all(isinstance(norm, FusedBatchNormalization) and norm.momentum == 0.8 for norm in norms)
