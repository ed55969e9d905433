"""Ordered biases for CORAL's thresholds, decreasing by construction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

PACE = 10.0
"""How much faster than other weights the biases move under Adam, whose steps know no scale.

From the prior's odds they have to spread by several units; at a backbone's rate 2,700 steps had not moved them.
"""

LEAST_GAP = 1e-6
"""Between two thresholds that are read from a file: none may be equal."""


@keras.saving.register_keras_serializable("agelens")
class OrderedBiases(keras.layers.Layer):
    """Add biases b_k = b_0 − Σ_{i<k} softplus(d_i), which decrease whatever is learnt, to one score [b, 1].

    The variables hold b_0 and d divided by `PACE`.
    """

    def __init__(self, initial: Sequence[float] | NDArray[np.float64], smoothness: float = 0.0, **options: Any) -> None:
        """Start from strictly decreasing biases [K]; raise ValueError where they are not.

        `smoothness` times the mean square of neighbouring gaps' difference in logarithm is added to the loss: each
        threshold's bias is fitted on its own, and where its gaps are uneven so is every face's distribution.
        """
        super().__init__(**options)
        self.smoothness = smoothness
        self.initial = [float(value) for value in initial]
        gaps = -np.diff(self.initial)
        if not gaps.size or gaps.min() <= 0:
            raise ValueError("initial biases must decrease strictly, at least two of them")
        self._start = _inverse_softplus(gaps)

    def build(self, shape: Any) -> None:  # noqa: ARG002 - Keras passes the shape by position
        """Create b_0 and the gaps d; both names hold `bias`, so that weight decay can leave them out."""
        constant = keras.initializers.Constant
        first, gaps = self.initial[0] / PACE, (self._start / PACE).tolist()
        self.first = self.add_weight(shape=(1,), initializer=constant(first), name="bias_first")
        self.gaps = self.add_weight(shape=(len(gaps),), initializer=constant(gaps), name="bias_gaps")

    def take(self, biases: NDArray[np.floating]) -> None:
        """Set the biases to strictly decreasing ones [K]."""
        values = biases.astype(np.float64)
        # Two thresholds may have come out equal in float32.
        gaps = np.maximum(-np.diff(values), LEAST_GAP)
        self.first.assign(values[:1] / PACE)
        self.gaps.assign(_inverse_softplus(gaps) / PACE)

    def biases(self) -> Any:
        """Return the biases as they stand, [K]."""
        first = PACE * ops.convert_to_tensor(self.first)
        falls = ops.cumsum(ops.softplus(PACE * ops.convert_to_tensor(self.gaps)))
        return ops.concatenate([first, first - falls])

    def call(self, score: Any) -> Any:
        """Logits [b, K] from a score [b, 1]."""
        if self.smoothness:
            self.add_loss(self.smoothness * self.roughness())
        return score + self.biases()

    def roughness(self) -> Any:
        """Mean square of Δ log(b_k − b_{k+1}): 0 where the biases fall evenly, or ever faster or slower at one pace."""
        gaps = ops.log(ops.softplus(PACE * ops.convert_to_tensor(self.gaps)) + LEAST_GAP)
        return ops.mean(ops.square(gaps[1:] - gaps[:-1]))

    def get_config(self) -> dict[str, Any]:
        """Everything needed to build the layer again."""
        return {**super().get_config(), "initial": self.initial, "smoothness": self.smoothness}


def _inverse_softplus(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve softplus(x) = value, stable for large values."""
    return values + np.log(-np.expm1(-values))
