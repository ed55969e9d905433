"""Biases that cannot cross: the thresholds of CORAL, decreasing by construction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray


@keras.saving.register_keras_serializable("agelens")
class OrderedBiases(keras.layers.Layer):
    """Add biases b_k = b_0 − Σ_{i<k} softplus(d_i), which decrease whatever is learnt, to one score [b, 1]."""

    def __init__(self, initial: Sequence[float] | NDArray[np.float64], **options: Any) -> None:
        """Start from strictly decreasing biases [K]; raise ValueError where they are not."""
        super().__init__(**options)
        self.initial = [float(value) for value in initial]
        gaps = -np.diff(self.initial)
        if not gaps.size or gaps.min() <= 0:
            raise ValueError("initial biases must decrease strictly, at least two of them")
        self._start = gaps + np.log(-np.expm1(-gaps))  # the inverse of softplus, stable for large gaps

    def build(self, shape: Any) -> None:  # noqa: ARG002 - Keras passes the shape by position
        """Create b_0 and the gaps d; both names hold `bias`, so that weight decay can leave them out."""
        constant = keras.initializers.Constant
        self.first = self.add_weight(shape=(1,), initializer=constant(self.initial[0]), name="bias_first")
        self.gaps = self.add_weight(
            shape=(len(self._start),), initializer=constant(self._start.tolist()), name="bias_gaps"
        )

    def biases(self) -> Any:
        """Return the biases as they stand, [K]."""
        falls = ops.cumsum(ops.softplus(ops.convert_to_tensor(self.gaps)))
        return ops.concatenate([self.first, self.first - falls])

    def call(self, score: Any) -> Any:
        """Logits [b, K] from a score [b, 1]."""
        return score + self.biases()

    def get_config(self) -> dict[str, Any]:
        """Everything needed to build the layer again."""
        return {**super().get_config(), "initial": self.initial}
