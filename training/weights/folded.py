"""Batch norms that only add a bias, since their scale is in the convolution before them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


def fold_batch_norm(model: keras.Model) -> None:
    """Put each batch norm's scale into the convolution before it and leave the norm to add a bias: the same function.

    The inverse of `unfold_batch_norm`, but for the statistics, which are gone.
    """
    for convolution, norm in pairs(model):
        gamma, beta, mean, variance = (
            np.array(each.numpy()) for each in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
        )
        scale = gamma / np.sqrt(variance + norm.epsilon)
        kernel = np.array(convolution.kernel.numpy())
        depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
        convolution.kernel.assign(kernel * (scale[:, None] if depthwise else scale))
        add_only(norm, beta - scale * mean)


def pairs(model: keras.Model) -> Iterator[tuple[Any, Any]]:
    """Yield each convolution with the batch norm that follows it."""
    by_input = {id(layer.input): layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    for layer in model.layers:
        if id(layer.output) in by_input:
            yield layer, by_input[id(layer.output)]


def add_only(norm: Any, bias: NDArray[Any]) -> None:
    """Make a batch norm add a bias [C] and nothing else."""
    norm.gamma.assign(np.full(bias.shape, np.sqrt(1 + norm.epsilon), np.float32))
    norm.beta.assign(bias.astype(np.float32))
    norm.moving_mean.assign(np.zeros(bias.shape, np.float32))
    norm.moving_variance.assign(np.ones(bias.shape, np.float32))
