"""CORAL (Cao, Mirjalili & Raschka 2020): one score, a bias for each threshold, importance weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from service.inference.distribution import AGES, THRESHOLDS
from training.model.heads.base import (
    AgeHead,
    Tensor,
    column,
    mean_age,
    neighbour_differences,
    years_outside_label,
)
from training.model.heads.softmax import DldlHead
from training.model.label_priors import Ages, Floats, empirical_odds, task_importance
from training.model.ordered_biases import OrderedBiases

_SLOPE = 0.3
"""What a year adds to a score at the start: errors of some six years are a logistic of 1 / 0.3 years."""

_MIDDLE = 50.0
"""The age in years that a score read from ages is 0 at."""

_HARDLY_BLENDED = 8
"""Power of the ramp for slope and thresholds read from ages: a face of nine parts in ten counts a sixth.

Fitted to 6,400 blended faces of one network, powers of 1, 2, 4, 8 and 16 gave slopes of 0.21, 0.24, 0.28, 0.32 and 0.35
and errors on `val` of 4.61, 4.57, 4.56, 4.56 and 4.55 years; to faces without blends 0.39 and 4.54.
"""


class CoralHead(AgeHead):
    """One score and 100 ordered thresholds, P(age > k) = σ(score + b_k) (Cao, Mirjalili and Raschka 2020).

    The thresholds are ordered by construction, not only at the optimum. `mean_weight` adds that much of the absolute
    error of the mean age Σ σ(logit_k), in years, to the loss; 0 is CORAL as published. With `from_ages` the score is
    read from the mean of a softmax over the ages instead of the features: DLDL's loss teaches softmax and features,
    CORAL's the score's slope and the thresholds, and logits carry the softmax's, 201 in all.
    """

    name = "coral"
    units = THRESHOLDS

    def __init__(
        self,
        low: Ages | None = None,
        high: Ages | None = None,
        *,
        dropout: float = 0.2,
        mean_weight: float = 0.0,
        importance: bool = True,
        from_ages: bool = False,
    ) -> None:
        """Start at even thresholds of equal weight, then from the labels where given."""
        self.mean_weight = mean_weight
        self.weighted = importance
        self.importance: Floats = np.ones(THRESHOLDS)
        self.initial_biases: Floats = np.linspace(5.0, -5.0, THRESHOLDS)
        self.by_age = DldlHead(low, high, dropout=dropout) if from_ages else None
        if self.by_age:
            self.units = THRESHOLDS + self.by_age.units
        super().__init__(low, high, dropout=dropout)

    def adapt(self, low: Ages, high: Ages) -> None:
        """Take task importance and the empirical odds from the labels of a whole training set (int [n])."""
        self.initial_biases = empirical_odds(low, high)
        if self.weighted:
            self.importance = task_importance(low, high)

    def logits(self, features: Tensor) -> Tensor:
        """One score for all thresholds plus their ordered biases, then the ages' where there are some; [b, units]."""
        if self.by_age is None:
            biases = OrderedBiases(self.initial_biases, dtype="float32", name="head_biases")
            score = keras.layers.Dense(1, use_bias=False, dtype="float32", name="head_score")
            return biases(score(self._drop(features)))
        ages = self.by_age.logits(features)
        start = keras.initializers.Constant(_SLOPE)
        score = keras.layers.Dense(1, use_bias=False, kernel_initializer=start, dtype="float32", name="head_score")
        # CORAL pulls a face's score by its whole error; what it is read from learns from the softmax alone. It is the
        # mean and no other sum: weights of their own for every age are learnt from faces whose ages are known by heart.
        mean = ops.expand_dims(mean_age(ops.stop_gradient(self.by_age.pmf(ages))), -1)
        # The softmax starts at the prior, so its mean does, and the thresholds there at their odds.
        prior = np.exp(self.by_age.initial_biases)
        start_score = _SLOPE * (prior @ np.arange(AGES) / prior.sum() - _MIDDLE)
        biases = OrderedBiases(self.initial_biases - start_score, dtype="float32", name="head_biases")
        return keras.layers.Concatenate(dtype="float32")([biases(score(mean - _MIDDLE)), ages])

    def loss(self, logits: Tensor, low: Tensor, high: Tensor, ramp: Any = 1.0) -> Tensor:
        """−Σ_k λ_k [level_k·logσ(l_k) + (1 − level_k)·(logσ(l_k) − l_k)], [b] (Cao et al. 2020, equation 4).

        Thresholds inside a group carry no weight. DLDL's loss of the ages comes on top where the score is read from
        them; then the eighth power of `ramp` scales all of CORAL's, so that no blend of two faces tells slope and
        thresholds that a mean of 40 years may as well be 20 or 60.
        """
        logits, ages = logits[:, :THRESHOLDS], logits[:, THRESHOLDS:]
        thresholds = ops.arange(THRESHOLDS, dtype="int32")
        older = ops.cast(column(low, "int32") > thresholds, logits.dtype)
        younger = ops.cast(column(high, "int32") <= thresholds, logits.dtype)
        terms = older * ops.softplus(-logits) + younger * ops.softplus(logits)
        loss = ops.sum(ops.convert_to_tensor(self.importance, dtype=logits.dtype) * terms, axis=-1)
        if self.mean_weight:
            loss = loss + ramp * self.mean_weight * years_outside_label(
                ops.sum(ops.sigmoid(logits), axis=-1), low, high
            )
        return loss if self.by_age is None else ramp**_HARDLY_BLENDED * loss + self.by_age.loss(ages, low, high, ramp)

    def taught(self, logits: Tensor, pmf: Tensor, ramp: Any = 1.0) -> Tensor:
        """Cross-entropy with a teacher's distribution, that of the ages too where the score is read from them, [b]."""
        own = super().taught(logits, pmf)
        if self.by_age is None:
            return own
        return ramp**_HARDLY_BLENDED * own + self.by_age.taught(logits[:, THRESHOLDS:], pmf)

    def pmf(self, logits: Tensor) -> Tensor:
        """p_k = σ(a)·σ(−b)·(1 − e^{b−a}) for neighbouring logits a ≥ b: no difference of nearly equal numbers.

        1 − e^{−g} is written as tanh(g/2)·(1 + e^{−g}), since ONNX has no expm1.
        """
        logits = logits[:, :THRESHOLDS]
        gaps = neighbour_differences(logits)
        rest = ops.tanh(gaps / 2) * (1 + ops.exp(-gaps))
        between = ops.sigmoid(logits[:, :-1]) * ops.sigmoid(-logits[:, 1:]) * rest
        return ops.concatenate([ops.sigmoid(-logits[:, :1]), between, ops.sigmoid(logits[:, -1:])], axis=-1)

    def log_pmf(self, logits: Tensor) -> Tensor:
        """Log p_k = logσ(a) + logσ(−b) + log(1 − e^{b−a}) for neighbouring logits a ≥ b, [b, 101]."""
        logits = logits[:, :THRESHOLDS]
        gaps = ops.maximum(neighbour_differences(logits), 1e-7)
        between = ops.log_sigmoid(logits[:, :-1]) + ops.log_sigmoid(-logits[:, 1:]) + ops.log(-ops.expm1(-gaps))
        return ops.concatenate([ops.log_sigmoid(-logits[:, :1]), between, ops.log_sigmoid(logits[:, -1:])], axis=-1)
