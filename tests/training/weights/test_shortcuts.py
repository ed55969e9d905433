"""A MobileNet's weights in a residual network: each block gives what it gave."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from training.model.backbones import build_backbone
from training.weights.shortcuts import SHORTCUT, fit_shortcuts
from training.weights.store import save_npz

SIZE = 64
FACES = np.random.default_rng(0).integers(0, 256, (48, SIZE, SIZE, 3), dtype=np.uint8)


def sums(network: keras.Model, layer: str) -> NDArray[np.float32]:
    return np.asarray(keras.Model(network.input, network.get_layer(layer).output).predict_on_batch(FACES))


def wrong(network: keras.Model, plain: keras.Model, block: int) -> float:
    """Share of what a block of the plain network gives that another's sum does not."""
    wanted, given = sums(plain, f"conv_pw_{block}_bn"), sums(network, f"{SHORTCUT}{block}")
    return float(np.square(given - wanted).sum() / np.square(wanted - wanted.mean(axis=(0, 1, 2))).sum())


def test_a_fitted_block_sums_to_what_the_plain_one_gave(tmp_path: Path) -> None:
    plain = build_backbone("mobilenet", SIZE)
    rng = np.random.default_rng(1)
    for layer in plain.layers:  # as trained ones, depthwise kernels let through most of what they are given
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            middle = np.zeros(layer.kernel.shape)
            middle[1, 1] = 1
            layer.kernel.assign(middle + rng.normal(0, 0.1, middle.shape))
        elif isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(rng.normal(0, (2 / np.prod(layer.kernel.shape[:3])) ** 0.5, layer.kernel.shape))
    save_npz(plain, tmp_path / "plain.npz")
    added, fitted = (build_backbone("separable_resnet", SIZE, tmp_path / "plain.npz") for _ in range(2))
    fit_shortcuts(plain, fitted, FACES, batch=16)
    for block in (1, 3, 6):  # one that widens, one that keeps size and width, one that halves and widens
        assert wrong(fitted, plain, block) < 0.2 * wrong(added, plain, block)


def test_without_faces_there_is_nothing_to_fit() -> None:
    network = build_backbone("separable_resnet", 32)
    with pytest.raises(ValueError, match="got none"):
        fit_shortcuts(network, network, FACES[:0])
