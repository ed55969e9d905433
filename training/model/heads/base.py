"""What every family has: its layers, its distribution and its loss, and arithmetic on labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from service.inference.distribution import AGES
from training.model.label_priors import Ages

Tensor = Any
"""A tensor of the running backend, or a symbolic one."""

NEVER = -1e9
"""A logit that no probability survives, finite so that gradients are."""


class AgeHead(ABC):
    """One family. `low`, `high` are the whole training set's labels; without them the head is only fit for loading."""

    name: ClassVar[str]
    units: int
    only_teach: ClassVar[tuple[str, ...]] = ()
    """Options for heads beside it that teach the features and are not served."""
    taught_ages = AGES
    """Probabilities of a teacher that `taught` takes of each face."""

    def __init__(self, low: Ages | None = None, high: Ages | None = None, *, dropout: float = 0.2) -> None:
        """Keep the dropout on the features; take from the labels what the family starts from."""
        self.dropout = dropout
        if low is not None and high is not None:
            self.adapt(low, high)

    @abstractmethod
    def adapt(self, low: Ages, high: Ages) -> None:
        """Take initial biases and weights of the loss from the labels of a whole training set (int [n])."""

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """Add the family's layers to features [b, C]; logits float32 [b, units]."""

    @abstractmethod
    def loss(self, logits: Tensor, low: Tensor, high: Tensor, ramp: Any = 1.0) -> Tensor:
        """Loss of each sample, [b]; `ramp` in 0..1 scales everything but the likelihood that teaches the features."""

    @abstractmethod
    def pmf(self, logits: Tensor) -> Tensor:
        """Probability of each age, [b, 101], sums to 1."""

    @abstractmethod
    def log_pmf(self, logits: Tensor) -> Tensor:
        """Logarithm of `pmf`, [b, 101], finite where the probability underflows."""

    def lesson(self, logits: Tensor) -> Tensor:
        """Return what its network teaches another: its distribution, [b, 101], or each of two that it has, [b, 202]."""
        return self.pmf(logits)

    def taught(self, logits: Tensor, pmf: Tensor) -> Tensor:
        """Cross-entropy with a teacher's distribution [b, 101], [b]."""
        return -ops.sum(pmf * self.log_pmf(logits), axis=-1)

    def _drop(self, features: Tensor) -> Tensor:
        return keras.layers.Dropout(self.dropout, name="head_dropout")(features) if self.dropout else features


def all_ages() -> Tensor:
    """Return the ages 0..100, float32 [101]."""
    return ops.arange(AGES, dtype="float32")


def mean_age(pmf: Tensor) -> Tensor:
    """Mean age of distributions [..., 101], in years; exportable, since its constant is no tensor."""
    return ops.sum(ops.multiply(pmf, np.arange(AGES, dtype=np.float32)), axis=-1)


def column(labels: Tensor, dtype: str = "float32") -> Tensor:
    """Return labels [b] as a column [b, 1]."""
    return ops.expand_dims(ops.cast(labels, dtype), -1)


def within_label(low: Tensor, high: Tensor) -> Tensor:
    """Which ages a label allows, bool [b, 101]."""
    return ops.logical_and(all_ages() >= column(low), all_ages() <= column(high))


def years_outside_label(age: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Years between an age and the label's range, 0 inside it, [b]."""
    below = ops.cast(low, age.dtype) - age
    return ops.maximum(ops.maximum(below, age - ops.cast(high, age.dtype)), 0.0)


def neighbour_differences(logits: Tensor) -> Tensor:
    """Return logit k minus logit k + 1, [b, K - 1]."""
    return logits[:, :-1] - logits[:, 1:]
