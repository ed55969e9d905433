"""A softmax over the ages: plain soft labels, Mean-Variance, DLDL-v2."""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
from keras import ops

from service.errors import InvalidParameter
from service.inference.distribution import AGES, Floats
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
from training.model.imdb_wiki import ages_head
from training.model.label_priors import Ages, log_prior

GATE: Final = "head_gate"
"""Layer that weighs the IMDB-WIKI head against the softmax beside it."""


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
        return keras.layers.Dense(AGES, bias_initializer=biases, dtype="float32", name="head_ages")(
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
    """Softmax with penalties on the mean's error and on the variance (Pan, Han, Shan and Chen 2018, equation 6).

    The defaults are the paper's: λ1 = 0.2 on the mean's error, λ2 = 0.05 on the variance, one-hot labels (σ = 0). The
    shipped recipe, `mean_variance_together`, has 0.05 and 0.02, a quarter and two fifths, and Gaussian labels (σ = 2).
    """

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
        """CE + ramp · (λ1 · ½(μ − y)² + λ2 · Σ p_a (a − μ)²), [b].

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
    """Softmax against a Gaussian label, with an error on the mean (Gao et al. 2018, DLDL-v2, section 3.3).

    With `imdb_wiki` the IMDB-WIKI network's head stands beside it, kept alive by its own frozen answers, and a gate
    g(x) = σ(u·x + c) mixes both: p = (1 − g)·own + g·its (a mixture of experts; Jacobs et al. 1991). The gate gets no
    gradient from the loss, since both experts know the training faces: `training.export.gate` fits it on others. Logits
    are then the softmax's 101, the IMDB-WIKI head's 101 and the gate's.
    """

    name = "dldl"

    def __init__(
        self,
        low: Ages | None = None,
        high: Ages | None = None,
        *,
        dropout: float = 0.2,
        sigma: float = 2.0,
        mean_weight: float = 0.3,
        imdb_wiki: bool = False,
        imdb_wiki_weight: float = 1.0,
    ) -> None:
        """Keep the weight of the mean's smooth error; raise InvalidParameter where sigma is not positive."""
        if sigma <= 0:
            raise InvalidParameter(f"dldl needs a soft label: sigma > 0 years, got {sigma}")
        self.mean_weight = mean_weight
        self.imdb_wiki, self.imdb_wiki_weight = imdb_wiki, imdb_wiki_weight
        if imdb_wiki:
            self.units, self.taught_ages = 2 * AGES + 1, 2 * AGES
        super().__init__(low, high, dropout=dropout, sigma=sigma)

    def logits(self, features: Tensor) -> Tensor:
        """One dense layer, and where asked for the IMDB-WIKI head and the gate; logits float32 [b, units]."""
        own = super().logits(features)
        if not self.imdb_wiki:
            return own
        gate = keras.layers.Dense(1, kernel_initializer="zeros", dtype="float32", name=GATE)(features)
        return keras.layers.Concatenate(dtype="float32")([own, ages_head(features), gate])

    def loss(self, logits: Tensor, low: Tensor, high: Tensor, ramp: Any = 1.0) -> Tensor:
        """KL(label ‖ p) + ramp · weight · smooth-L1 of the mean's distance from the label, [b]; p is its own."""
        own = logits[:, :AGES]
        label = self.soft_label(low)
        negative_entropy = ops.sum(label * ops.log(ops.maximum(label, 1e-30)), axis=-1)
        entropy = ops.where(ops.equal(low, high), negative_entropy, 0.0)
        error = years_outside_label(mean_age(ops.softmax(own, axis=-1)), low, high)
        smooth = ops.where(error < 1, ops.square(error) / 2, error - 0.5)
        return self.cross_entropy(own, low, high) + entropy + ramp * self.mean_weight * smooth

    def taught(self, logits: Tensor, pmf: Tensor) -> Tensor:
        """Cross-entropy with a teacher's distribution [b, 101], [b]; of a pair [b, 202] the second teaches its head."""
        if not self.imdb_wiki:
            return super().taught(logits, pmf)
        if pmf.shape[-1] != 2 * AGES:
            raise ValueError(f"a head with imdb_wiki is taught by a pair, [b, {2 * AGES}], got {pmf.shape[-1]} lessons")
        own, kept = (ops.log_softmax(each, axis=-1) for each in (logits[:, :AGES], logits[:, AGES : 2 * AGES]))
        total = -ops.sum(pmf[:, :AGES] * own, axis=-1)
        return total - self.imdb_wiki_weight * ops.sum(pmf[:, AGES:] * kept, axis=-1)

    def lesson(self, logits: Tensor) -> Tensor:
        """Return the softmax, and the IMDB-WIKI head's behind it: unmixed, since the gate may not be fitted yet."""
        parts = [logits[:, start : start + AGES] for start in range(0, self.taught_ages, AGES)]
        return ops.concatenate([ops.softmax(part, axis=-1) for part in parts], axis=-1)

    def pmf(self, logits: Tensor) -> Tensor:
        """Softmax, or the gate's mixture of both, [b, 101]."""
        own = ops.softmax(logits[:, :AGES], axis=-1)
        if not self.imdb_wiki:
            return own
        gate = ops.sigmoid(logits[:, 2 * AGES :])
        return (1 - gate) * own + gate * ops.softmax(logits[:, AGES : 2 * AGES], axis=-1)

    def log_pmf(self, logits: Tensor) -> Tensor:
        """Logarithm of `pmf`; of the softmax alone where there are no others, [b, 101]."""
        if logits.shape[-1] == AGES:
            return ops.log_softmax(logits, axis=-1)
        return ops.log(ops.maximum(self.pmf(logits), 1e-30))
