"""AdamW of the recipes: a slower backbone, and decay of kernels only."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from training.fit.optimizer import GroupedAdamW, build_optimizer
from training.fit.weight_average import read
from training.recipes.recipe import Stage


def variables(*names: str) -> list[keras.Variable]:
    return [keras.Variable(np.ones(4, dtype=np.float32), name=name) for name in names]


def applied(optimizer: GroupedAdamW, weights: list[keras.Variable], gradient: float) -> list[float]:
    optimizer.build(weights)
    gradients = [keras.ops.convert_to_tensor(np.full(4, gradient, dtype=np.float32)) for _ in weights]
    optimizer.apply(gradients, weights)
    return [float(value[0]) for value in read(weights)]


def test_the_backbone_moves_at_its_share_of_the_rate() -> None:
    weights = variables("backbone_kernel", "head_kernel")
    stage = Stage("all", 1, learning_rate=0.1, backbone_rate=0.1, weight_decay=0.0)
    backbone, head = applied(build_optimizer(stage, 0.0, weights[:1]), weights, 1.0)
    assert 1 - head == pytest.approx(0.1, rel=1e-3)
    assert 1 - backbone == pytest.approx(0.01, rel=1e-3)


def test_kernels_decay_and_biases_and_norms_do_not() -> None:
    weights = variables("kernel", "bias", "gamma", "beta", "bias_gaps")
    stage = Stage("all", 1, learning_rate=0.1, weight_decay=0.5)
    assert applied(build_optimizer(stage, 0.0, ()), weights, 0.0) == pytest.approx([0.95, 1, 1, 1, 1])


def test_a_large_gradient_is_clipped_to_its_norm() -> None:
    stage = Stage("all", 1, learning_rate=0.1)
    optimizer, weights = build_optimizer(stage, 2.0, ()), variables("kernel")
    applied(optimizer, weights, 100.0)
    momentum = next(value for value in read(optimizer.variables) if value.shape == (4,))
    assert np.linalg.norm(momentum) == pytest.approx(0.1 * 2.0, rel=1e-4)
