"""A softmax over the ages: plain soft labels, Mean-Variance, DLDL-v2."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from service.errors import InvalidParameter
from service.inference.distribution import AGES
from training.model.heads.base import (
    NEVER,
    AgeHead,
    Tensor,
    all_ages,
    column,
    mean_age,
    within_label,
    years_outside_label,
)
from training.model.label_priors import Ages, Floats, log_prior


class SoftmaxHead(AgeHead):
    """A softmax over the ages 0..100 whose bias starts at the log prior; what the softmax families share."""

    units = AGES

    def __init__(
        self, low: Ages | None = None, high: Ages | None = None, *, dropout: float = 0.2, sigma: float = 0.0
    ) -> None:
        """Keep `sigma`, the years of a Gaussian around an exact label; 0 puts all of it on the label."""
        self.sigma = sigma
        self.initial_biases: Floats = np.zeros(AGES)
        super().__init__(low, high, dropout=dropout)

    def adapt(self, low: Ages, high: Ages) -> None:
        """Take the log prior from the labels of a whole training set (int [n])."""
        self.initial_biases = log_prior(low, high)

    def logits(self, features: Tensor) -> Tensor:
        """One dense layer; logits float32 [b, 101]."""
        biases = keras.initializers.Constant(self.initial_biases.tolist())
        return keras.layers.Dense(self.units, bias_initializer=biases, dtype="float32", name="head_ages")(
            self._drop(features)
        )

    def pmf(self, logits: Tensor) -> Tensor:
        """Softmax, [b, 101]."""
        return ops.softmax(logits, axis=-1)

    def log_pmf(self, logits: Tensor) -> Tensor:
        """Log softmax, [b, 101]."""
        return ops.log_softmax(logits, axis=-1)

    def cross_entropy(self, logits: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Cross-entropy with the (soft) label of an exact age; −log Σ p_a over the ages of a group; [b]."""
        log_pmf = self.log_pmf(logits)
        inside = ops.logsumexp(ops.where(within_label(low, high), log_pmf, NEVER), axis=-1)
        if not self.sigma:
            return -inside
        soft = -ops.sum(self.soft_label(low) * log_pmf, axis=-1)
        return ops.where(ops.equal(low, high), soft, -inside)

    def soft_label(self, age: Tensor) -> Tensor:
        """Return a Gaussian of `sigma` years around each age, cut to 0..100 and rescaled, [b, 101]."""
        return ops.softmax(-ops.square((all_ages() - column(age)) / self.sigma) / 2, axis=-1)


class MeanVarianceHead(SoftmaxHead):
    """Softmax with penalties on the mean's error and on the variance (Pan, Han, Shan and Chen 2018, equation 6)."""

    name = "mean_variance"

    def __init__(
        self,
        low: Ages | None = None,
        high: Ages | None = None,
        *,
        dropout: float = 0.2,
        sigma: float = 0.0,
        mean_weight: float = 0.2,
        variance_weight: float = 0.05,
    ) -> None:
        """Keep the weights of the mean loss and of the variance loss."""
        self.mean_weight = mean_weight
        self.variance_weight = variance_weight
        super().__init__(low, high, dropout=dropout, sigma=sigma)

    def loss(self, logits: Tensor, low: Tensor, high: Tensor, ramp: Any = 1.0) -> Tensor:
        """CE + ramp · (0.2 · ½(μ − y)² + 0.05 · Σ p_a (a − μ)²), [b].

        For a group the mean is penalised outside it only and the variance counts only the mass outside it, so that a
        wide group does not collapse to a point.
        """
        pmf = self.pmf(logits)
        mean = mean_age(pmf)
        exact = ops.expand_dims(ops.equal(low, high), -1)
        counted = ops.logical_or(exact, ops.logical_not(within_label(low, high)))
        spread = ops.square(all_ages() - ops.expand_dims(mean, -1)) * ops.cast(counted, pmf.dtype)
        variance = ops.sum(pmf * spread, axis=-1)
        error = ops.square(years_outside_label(mean, low, high)) / 2
        penalty = self.mean_weight * error + self.variance_weight * variance
        return self.cross_entropy(logits, low, high) + ramp * penalty


class DldlHead(SoftmaxHead):
    """Softmax against a Gaussian label, with an error on the mean (Gao et al. 2018, DLDL-v2, section 3.3)."""

    name = "dldl"

    def __init__(
        self,
        low: Ages | None = None,
        high: Ages | None = None,
        *,
        dropout: float = 0.2,
        sigma: float = 2.0,
        mean_weight: float = 0.3,
    ) -> None:
        """Keep the weight of the mean's smooth error; raise InvalidParameter where sigma is not positive."""
        if sigma <= 0:
            raise InvalidParameter(f"dldl needs a soft label: sigma > 0 years, got {sigma}")
        self.mean_weight = mean_weight
        super().__init__(low, high, dropout=dropout, sigma=sigma)

    def loss(self, logits: Tensor, low: Tensor, high: Tensor, ramp: Any = 1.0) -> Tensor:
        """KL(label ‖ p) + ramp · weight · smooth-L1 of the mean's distance from the label, [b]."""
        label = self.soft_label(low)
        negative_entropy = ops.sum(label * ops.log(ops.maximum(label, 1e-30)), axis=-1)
        entropy = ops.where(ops.equal(low, high), negative_entropy, 0.0)
        error = years_outside_label(mean_age(self.pmf(logits)), low, high)
        smooth = ops.where(error < 1, ops.square(error) / 2, error - 0.5)
        return self.cross_entropy(logits, low, high) + entropy + ramp * self.mean_weight * smooth
