"""Networks from faces to features: shapes, and plain formulas for what keras.applications does not have."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import InvalidParameter
from training.model.backbones import BACKBONES, PREPROCESSING, build_backbone
from training.model.resnets import _dlib_block, _grown
from training.weights.store import save_npz

Maps = NDArray[np.float32]


@pytest.mark.parametrize(
    ("name", "size", "channels", "parameters"),
    [
        ("mobilenet", 32, 1024, 3_228_864),
        ("separable_resnet", 32, 1024, 3_228_864),
        ("resnet29", 128, 256, 5_585_376),
        ("resnet34", 32, 512, 21_301_696),
        ("resnet50", 32, 2048, 23_587_712),
        ("inception_v3", 75, 2048, 21_802_784),
    ],
)
def test_a_backbone_has_the_published_number_of_parameters(
    name: str, size: int, channels: int, parameters: int
) -> None:
    model = build_backbone(name, size)
    assert model.input.shape == (None, size, size, 3)
    assert model.output.shape == (None, channels)
    assert model.count_params() == parameters


def test_every_backbone_is_among_the_ones_tested() -> None:
    # `tiny_run` adds a double of two convolutions for other tests.
    assert set(BACKBONES) - {"two_convolutions"} == {
        "mobilenet", "separable_resnet", "resnet29", "resnet34", "resnet50", "inception_v3"
    }  # fmt: skip


def test_every_block_of_the_separable_network_adds_what_it_was_given() -> None:
    network = build_backbone("separable_resnet", 64)
    inside = [network.get_layer(f"conv_pw_{block}_relu").output for block in range(1, 14)]
    branches = [network.get_layer(f"conv_pw_{block}_bn").output for block in range(1, 14)]
    first = network.get_layer("conv1_relu").output
    seen = keras.Model(network.input, [first, *inside, *branches])
    faces = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    maps = [np.asarray(each) for each in seen(faces)]
    for block, out, branch in zip(maps[:13], maps[1:14], maps[14:], strict=True):
        given = block
        if given.shape[1] != out.shape[1]:
            rows, columns = out.shape[1:3]
            given = given.reshape(2, rows, 2, columns, 2, -1).mean(axis=(2, 4))
        padded = np.pad(given, [(0, 0), (0, 0), (0, 0), (0, out.shape[-1] - given.shape[-1])])
        np.testing.assert_allclose(out, np.maximum(padded + branch, 0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [75, 112])
def test_the_separable_network_takes_any_size(size: int) -> None:
    faces = np.zeros((1, size, size, 3), np.float32)
    assert np.asarray(build_backbone("separable_resnet", size)(faces)).shape == (1, 1024)


@pytest.mark.parametrize("size", [64, 112, 128, 150])
def test_dlibs_network_takes_any_size(size: int) -> None:
    assert build_backbone("resnet29", size).output.shape == (None, 256)


@pytest.mark.parametrize(
    ("kind", "black", "white"),
    [
        ("symmetric", [-1, -1, -1], [1, 1, 1]),
        ("imagenet-mean", [-123.68, -116.779, -103.939], [131.32, 138.221, 151.061]),
        ("dlib", [-0.479617, -0.457035, -0.407414], [0.516477, 0.539059, 0.588680]),
    ],
)
def test_preprocessing_is_what_the_weights_saw(kind: str, black: list[float], white: list[float]) -> None:
    model = build_backbone("mobilenet", 32, preprocessing=kind)
    seen = keras.Model(model.input, model.get_layer("preprocessing").output)
    pixels = np.stack([np.zeros((32, 32, 3)), np.full((32, 32, 3), 255.0)]).astype(np.float32)
    np.testing.assert_allclose(np.asarray(seen(pixels))[:, 0, 0], [black, white], atol=1e-4)


def test_a_network_can_shrink_its_faces_first() -> None:
    shrunk = build_backbone("mobilenet", 64, shrunk_to=32)
    plain = build_backbone("mobilenet", 32)
    plain.set_weights(shrunk.get_weights())
    faces = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    # Bilinear at half the side: the mean of four pixels.
    halves = faces.reshape(2, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(np.asarray(shrunk(faces)), np.asarray(plain(halves)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [16, 128])
def test_faces_are_shrunk_to_what_a_network_can_see_and_not_enlarged(side: int) -> None:
    with pytest.raises(InvalidParameter, match=f"can shrink them: got 64, shrunk to {side}"):
        build_backbone("mobilenet", 64, shrunk_to=side)


def test_batch_norms_get_the_momentum() -> None:
    model = build_backbone("mobilenet", 32, momentum=0.9)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {norm.momentum for norm in norms} == {0.9}
    assert len(norms) == 27


def test_a_file_of_ones_own_is_loaded_with_the_named_preprocessing(tmp_path: Path) -> None:
    model = build_backbone("mobilenet", 32, preprocessing="dlib")
    save_npz(model, tmp_path / "own.npz")
    again = build_backbone("mobilenet", 32, tmp_path / "own.npz", preprocessing="dlib")
    faces = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(again(faces)), np.asarray(model(faces)))


@pytest.mark.parametrize(
    ("name", "size", "preprocessing", "message"),
    [
        ("vgg16", 128, None, "no backbone is called 'vgg16'"),
        ("mobilenet", 16, None, "at least 32 pixels"),
        ("mobilenet", 32, "caffe", "there are dlib, imagenet-mean, symmetric"),
    ],
)
def test_what_is_unknown_is_named(name: str, size: int, preprocessing: str | None, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        build_backbone(name, size, preprocessing=preprocessing)


def test_the_known_preprocessings_are_the_ones_tested() -> None:
    assert set(PREPROCESSING) == {"symmetric", "imagenet-mean", "dlib"}


def test_zeros_are_appended_after_what_is_there() -> None:
    x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    grown = np.asarray(_grown(x, [3, 2, 3]))
    np.testing.assert_array_equal(grown[:, :2, :2, :2], x)
    assert grown.shape == (1, 3, 2, 3)
    assert grown.sum() == x.sum()


def convolved(x: Maps, kernel: Maps, stride: int) -> Maps:
    """Valid cross-correlation, [rows, columns, in] to [rows', columns', out]."""
    rows, columns = ((side - 3) // stride + 1 for side in x.shape[:2])
    out = np.zeros((rows, columns, kernel.shape[-1]), np.float32)
    for r in range(rows):
        for c in range(columns):
            patch = x[r * stride : r * stride + 3, c * stride : c * stride + 3]
            out[r, c] = np.tensordot(patch, kernel, axes=3)
    return out


def test_a_down_block_is_dlibs() -> None:
    """Even sides: the shortcut's pooling keeps a row that the valid convolution loses."""
    faces = keras.Input((6, 6, 2))
    block = keras.Model(faces, _dlib_block(faces, 4, 2, "down"))
    x = np.random.default_rng(0).normal(size=(6, 6, 2)).astype(np.float32)
    first, second = (block.get_layer(f"down_conv{n}").get_weights()[0] for n in (1, 2))
    norm = np.sqrt(np.float32(1.001))
    inner = np.maximum(convolved(x, first, 2) / norm, 0)
    inner = convolved(np.pad(inner, ((1, 1), (1, 1), (0, 0))), second, 1) / norm
    pooled = x.reshape(3, 2, 3, 2, 2).mean(axis=(1, 3))
    total = np.pad(pooled, ((0, 0), (0, 0), (0, 2))) + np.pad(inner, ((0, 1), (0, 1), (0, 0)))
    np.testing.assert_allclose(np.asarray(block(x[None]))[0], np.maximum(total, 0), atol=1e-5)
