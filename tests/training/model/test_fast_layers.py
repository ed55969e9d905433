"""The faster layers against Keras's own."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from training.model.backbones import build_backbone
from training.model.fast_layers import Conv2D, FusedBatchNormalization, with_fast_layers

RNG = np.random.default_rng(0)


def small_network(scale: bool = True) -> keras.Model:
    """Build a network of a normalised convolution and a pointwise one."""
    faces = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(5, 3, name="conv")(faces)
    maps = keras.layers.BatchNormalization(name="norm", epsilon=1e-3, scale=scale, center=scale)(maps)
    maps = keras.layers.Conv2D(4, 1, use_bias=False, name="pointwise")(maps)
    return keras.Model(faces, keras.layers.Dense(1, name="out")(keras.layers.Flatten()(maps)))


@pytest.mark.parametrize("scale", [True, False])
def test_training_steps_are_the_same_as_with_keras_own(scale: bool) -> None:
    plain = small_network(scale)
    plain.get_layer("norm").momentum = 0.9
    fused = with_fast_layers(plain, momentum=0.9)
    assert isinstance(fused.get_layer("norm"), FusedBatchNormalization)
    assert isinstance(fused.get_layer("pointwise"), Conv2D)
    assert not isinstance(fused.get_layer("conv"), Conv2D)
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


def test_with_a_momentum_of_one_training_goes_by_the_statistics_it_has() -> None:
    layer = FusedBatchNormalization(momentum=1.0)
    maps = RNG.normal(5, 2, (4, 3, 3, 2)).astype(np.float32)
    np.testing.assert_array_equal(layer(maps, training=True), layer(maps, training=False))
    assert layer.moving_mean.numpy() == pytest.approx([0, 0])


def test_backbones_are_built_with_it_and_its_momentum() -> None:
    norms = [layer for layer in build_backbone("mobilenet", 32, momentum=0.8).layers if "bn" in layer.name]
    assert norms
    assert all(isinstance(norm, FusedBatchNormalization) and norm.momentum == 0.8 for norm in norms)


def test_a_pointwise_convolution_answers_alike_in_training_and_after() -> None:
    layer, plain = (kind(7, 1, use_bias=False, activation="relu") for kind in (Conv2D, keras.layers.Conv2D))
    maps = RNG.normal(size=(2, 5, 6, 3)).astype(np.float32)
    trained, served = layer(maps, training=True), layer(maps, training=False)
    plain.build(maps.shape)
    plain.set_weights(layer.get_weights())
    for answer in (trained, served):
        np.testing.assert_allclose(ops.convert_to_numpy(answer), ops.convert_to_numpy(plain(maps)), atol=1e-6)


def test_weights_saved_by_keras_own_layers_can_be_read(tmp_path: Path) -> None:
    plain = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 1, use_bias=False, name="pointwise")])
    plain.save_weights(tmp_path / "old.weights.h5")
    fast = with_fast_layers(plain, momentum=0.9)
    fast.load_weights(tmp_path / "old.weights.h5")
    np.testing.assert_array_equal(fast.get_weights()[0], plain.get_weights()[0])


@pytest.mark.parametrize("name", ["separable_resnet", "resnet34", "resnet50"])
def test_only_pointwise_convolutions_without_bias_are_replaced(name: str) -> None:
    layers = [layer for layer in build_backbone(name, 32).layers if isinstance(layer, keras.layers.Conv2D)]
    mine = [isinstance(layer, Conv2D) for layer in layers]
    assert mine == [layer.kernel_size == layer.strides == (1, 1) and not layer.use_bias for layer in layers]
