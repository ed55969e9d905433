"""An exponential moving average of a whole model, batch-norm statistics included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

EVERY = 4
"""Steps between updates: the copy out of the backend costs, and neighbouring steps hardly differ."""


class WeightAverage:
    """The average of all weights of a model, kept in numpy so that it is the same on every backend.

    Keras's own `use_ema` averages trainable weights only; with the moving statistics of batch norms averaged too, the
    network errs less where a run ends (docs/adr/0016).
    """

    def __init__(self, variables: Sequence[Any], decay: float) -> None:
        """Start from the variables' present values."""
        self.variables = tuple(variables)
        self.decay = decay
        self.values = read(self.variables)
        self.steps = 0

    def update(self) -> None:
        """Count one training step; update every fourth, with the decay of four."""
        self.steps += 1
        if self.steps % EVERY:
            return
        # A young average forgets its start sooner (Tan and Le 2019's TF schedule: min(decay, (1 + n)/(10 + n))).
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps)) ** EVERY
        for average, value in zip(self.values, read(self.variables), strict=True):
            if np.issubdtype(average.dtype, np.floating):
                average[...] += (1 - decay) * (value - average)
            else:
                average[...] = value

    def restore(self, values: Sequence[NDArray[Any]], steps: int) -> None:
        """Take up an average that was saved after `steps` steps."""
        self.values = [np.array(value) for value in values]
        self.steps = steps

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use the average as the model's weights inside the block."""
        own = read(self.variables)
        assign(self.variables, self.values)
        try:
            yield
        finally:
            assign(self.variables, own)


def read(variables: Sequence[Any]) -> list[NDArray[Any]]:
    """Copy the variables' values out of the backend."""
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    """Put values into variables; raise ValueError where their number or a shape differs."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
