"""The families: what turns a backbone's features into a distribution over the ages 0..100, and its loss.

A family is a class here and a recipe; nothing else knows it. All tensors are of `keras.ops`, so every backend runs it.
Labels are `low`, `high` (int [b]): low == high is an exact age, low < high an age known only as a group.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from service.errors import InvalidParameter
from service.types import AGES, THRESHOLDS
from training.ordered import OrderedBiases
from training.priors import Ages, Floats, empirical_odds, log_prior, task_importance

Tensor = Any
"""A tensor of the running backend, or a symbolic one."""

_NEVER = -1e9
"""A logit that no probability survives, finite so that gradients are."""

_SLOPE = 0.3
"""What a year adds to a score at the start: errors of some six years are a logistic of 1 / 0.3 years."""


_MIDDLE = 50.0
"""The age in years that a score read from ages is 0 at."""

_HARDLY_BLENDED = 8
"""Power of the ramp for slope and thresholds read from ages: a face of nine parts in ten counts a sixth.

Fitted to 6,400 blended faces of one network, powers of 1, 2, 4, 8 and 16 gave slopes of 0.21, 0.24, 0.28, 0.32 and 0.35
and errors on `val` of 4.61, 4.57, 4.56, 4.56 and 4.55 years; to faces without blends 0.39 and 4.54.
"""


class AgeHead(ABC):
    """One family. `low`, `high` are the whole training set's labels; without them the head is only fit for loading."""

    name: ClassVar[str]
    units: int

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

    def taught(self, logits: Tensor, pmf: Tensor, ramp: Any = 1.0) -> Tensor:  # noqa: ARG002 - CORAL's has a use for it
        """Cross-entropy with a teacher's distribution [b, 101], [b]; `ramp` as in `loss`."""
        return -ops.sum(pmf * self.log_pmf(logits), axis=-1)

    def _drop(self, features: Tensor) -> Tensor:
        return keras.layers.Dropout(self.dropout, name="head_dropout")(features) if self.dropout else features


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
        mean = ops.expand_dims(_mean(ops.stop_gradient(self.by_age.pmf(ages))), -1)
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
        older = ops.cast(_column(low, "int32") > thresholds, logits.dtype)
        younger = ops.cast(_column(high, "int32") <= thresholds, logits.dtype)
        terms = older * ops.softplus(-logits) + younger * ops.softplus(logits)
        loss = ops.sum(ops.convert_to_tensor(self.importance, dtype=logits.dtype) * terms, axis=-1)
        if self.mean_weight:
            loss = loss + ramp * self.mean_weight * _outside(ops.sum(ops.sigmoid(logits), axis=-1), low, high)
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
        gaps = _gaps(logits)
        rest = ops.tanh(gaps / 2) * (1 + ops.exp(-gaps))
        between = ops.sigmoid(logits[:, :-1]) * ops.sigmoid(-logits[:, 1:]) * rest
        return ops.concatenate([ops.sigmoid(-logits[:, :1]), between, ops.sigmoid(logits[:, -1:])], axis=-1)

    def log_pmf(self, logits: Tensor) -> Tensor:
        """Log p_k = logσ(a) + logσ(−b) + log(1 − e^{b−a}) for neighbouring logits a ≥ b, [b, 101]."""
        logits = logits[:, :THRESHOLDS]
        gaps = ops.maximum(_gaps(logits), 1e-7)
        between = ops.log_sigmoid(logits[:, :-1]) + ops.log_sigmoid(-logits[:, 1:]) + ops.log(-ops.expm1(-gaps))
        return ops.concatenate([ops.log_sigmoid(-logits[:, :1]), between, ops.log_sigmoid(logits[:, -1:])], axis=-1)


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
        inside = ops.logsumexp(ops.where(_within(low, high), log_pmf, _NEVER), axis=-1)
        if not self.sigma:
            return -inside
        soft = -ops.sum(self.soft_label(low) * log_pmf, axis=-1)
        return ops.where(ops.equal(low, high), soft, -inside)

    def soft_label(self, age: Tensor) -> Tensor:
        """Return a Gaussian of `sigma` years around each age, cut to 0..100 and rescaled, [b, 101]."""
        return ops.softmax(-ops.square((_ages() - _column(age)) / self.sigma) / 2, axis=-1)


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
        mean = _mean(pmf)
        exact = ops.expand_dims(ops.equal(low, high), -1)
        counted = ops.logical_or(exact, ops.logical_not(_within(low, high)))
        spread = ops.square(_ages() - ops.expand_dims(mean, -1)) * ops.cast(counted, pmf.dtype)
        variance = ops.sum(pmf * spread, axis=-1)
        error = ops.square(_outside(mean, low, high)) / 2
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
        error = _outside(_mean(self.pmf(logits)), low, high)
        smooth = ops.where(error < 1, ops.square(error) / 2, error - 0.5)
        return self.cross_entropy(logits, low, high) + entropy + ramp * self.mean_weight * smooth


HEADS: dict[str, type[AgeHead]] = {head.name: head for head in (CoralHead, MeanVarianceHead, DldlHead)}
"""The families by name."""


def head_named(name: str, low: Ages | None = None, high: Ages | None = None, **options: Any) -> AgeHead:
    """Make the head of a family, from the labels of a whole training set (int [n]) or none; raise InvalidParameter."""
    if name not in HEADS:
        raise InvalidParameter(f"no family is called {name!r}; there are {', '.join(sorted(HEADS))}")
    return HEADS[name](low, high, **options)


def _ages() -> Tensor:
    return ops.arange(AGES, dtype="float32")


def _mean(pmf: Tensor) -> Tensor:
    """Mean age of distributions [..., 101], in years; exportable, since its constant is no tensor."""
    return ops.sum(ops.multiply(pmf, np.arange(AGES, dtype=np.float32)), axis=-1)


def _column(labels: Tensor, dtype: str = "float32") -> Tensor:
    return ops.expand_dims(ops.cast(labels, dtype), -1)


def _within(low: Tensor, high: Tensor) -> Tensor:
    """Which ages a label allows, bool [b, 101]."""
    return ops.logical_and(_ages() >= _column(low), _ages() <= _column(high))


def _outside(age: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Years between an age and the label's range, 0 inside it, [b]."""
    below = ops.cast(low, age.dtype) - age
    return ops.maximum(ops.maximum(below, age - ops.cast(high, age.dtype)), 0.0)


def _gaps(logits: Tensor) -> Tensor:
    return logits[:, :-1] - logits[:, 1:]
