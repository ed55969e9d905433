"""CORAL (Cao, Mirjalili and Raschka 2020): one score, ordered thresholds, task importance; and a width per picture.

CORAL gives every face of one score the same distribution, however good or bad its picture is:
P(age > k) = σ(w·x + b_k). Read as a latent age w·x + ε with ε logistic, that is a noise of one width for all. Here the
noise has a width of its own for each picture, s(x) = exp(v·x + c), as in heteroscedastic
ordinal regression (McCullagh 1980, section 6.1):

    P(age > k) = P(w·x + s(x)·ε > −b_k) = σ((w·x + b_k) / s(x)).

The division by s(x) > 0 keeps the order of the thresholds, so ranks stay consistent, as they are in CORAL; with s = 1
it is CORAL. v starts at 0, so every picture starts with the same width.
"""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
from keras import ops

from service.inference.distribution import AGES, THRESHOLDS, Floats
from training.model.heads.base import AgeHead, Tensor, column, neighbour_differences
from training.model.heads.softmax import DldlHead
from training.model.imdb_wiki import ages_head
from training.model.label_priors import Ages, empirical_odds, task_importance
from training.model.ordered_biases import OrderedBiases

_WIDEST: Final = 3.0
"""Bound of a scale's logarithm, reached by a tanh: no face is answered with a width beyond e^±3 times the usual."""


class CoralHead(AgeHead):
    """One score w·x without bias, 100 ordered thresholds and a scale per picture, taught by CORAL's loss.

    With `per_picture` False it is CORAL as published. What else may teach the features, and is not served: with `ages`
    a softmax of DLDL's beside it, and then CORAL's loss has the share `weight`; with `imdb_wiki` the head of the
    IMDB-WIKI network, kept alive by its own frozen answers, which a second teacher gives (`imdb_wiki_weight`).
    Logits are CORAL's 100, then the softmax's 101, then the IMDB-WIKI head's 101.
    """

    name = "coral"
    only_teach = ("ages", "imdb_wiki")

    def __init__(
        self,
        low: Ages | None = None,
        high: Ages | None = None,
        *,
        dropout: float = 0.2,
        importance: bool = True,
        per_picture: bool = True,
        smoothness: float = 0.0,
        ages: bool = False,
        weight: float = 1.0,
        imdb_wiki: bool = False,
        imdb_wiki_weight: float = 1.0,
    ) -> None:
        """Start at even thresholds of equal weight, then from the labels where given."""
        self.weighted, self.per_picture, self.smoothness = importance, per_picture, smoothness
        self.weight, self.imdb_wiki, self.imdb_wiki_weight = weight, imdb_wiki, imdb_wiki_weight
        self.importance: Floats = np.ones(THRESHOLDS)
        self.initial_biases: Floats = np.linspace(5.0, -5.0, THRESHOLDS)
        # Both read the same features, dropped out once.
        self.by_age = DldlHead(low, high, dropout=0.0) if ages else None
        self.units = THRESHOLDS + AGES * (bool(ages) + imdb_wiki)
        self.taught_ages = AGES * (1 + imdb_wiki)
        super().__init__(low, high, dropout=dropout)

    def adapt(self, low: Ages, high: Ages) -> None:
        """Take task importance and the empirical odds from the labels of a whole training set (int [n])."""
        self.initial_biases = empirical_odds(low, high, smooth_years=2.0 if self.smoothness else 0.0)
        if self.weighted:
            self.importance = task_importance(low, high)

    def logits(self, features: Tensor) -> Tensor:
        """Add score, biases and scale to features [b, C], then the heads that only teach; [b, units]."""
        seen = self._drop(features)
        # From 0: until a score says something of age, it does not pull at features that another head reads well.
        dense = {"use_bias": False, "kernel_initializer": "zeros", "dtype": "float32"}
        score = keras.layers.Dense(1, name="head_score", **dense)(seen)
        biases = OrderedBiases(self.initial_biases, smoothness=self.smoothness, dtype="float32", name="head_biases")
        logits = biases(score)
        if self.per_picture:
            width = keras.layers.Dense(1, kernel_initializer="zeros", dtype="float32", name="head_width")(seen)
            logits = logits * ops.exp(-_WIDEST * ops.tanh(width / _WIDEST))
        parts = [logits]
        if self.by_age is not None:
            parts.append(self.by_age.logits(seen))
        if self.imdb_wiki:
            parts.append(ages_head(features))
        return keras.layers.Concatenate(dtype="float32")(parts) if parts[1:] else logits

    def loss(self, logits: Tensor, low: Tensor, high: Tensor, ramp: Any = 1.0) -> Tensor:
        """−Σ_k λ_k [level_k·logσ(l_k) + (1 − level_k)·(logσ(l_k) − l_k)], [b] (Cao et al. 2020, equation 4).

        Thresholds inside a group carry no weight. DLDL's loss comes on top where there is a softmax beside it.
        """
        coral = logits[:, :THRESHOLDS]
        thresholds = ops.arange(THRESHOLDS, dtype="int32")
        older = ops.cast(column(low, "int32") > thresholds, logits.dtype)
        younger = ops.cast(column(high, "int32") <= thresholds, logits.dtype)
        own = self._weighted(older * ops.softplus(-coral) + younger * ops.softplus(coral))
        return own if self.by_age is None else own + self.by_age.loss(self._ages(logits), low, high, ramp)

    def taught(self, logits: Tensor, pmf: Tensor) -> Tensor:
        """CORAL's loss whose levels are a teacher's P(age > k), and the other heads' cross-entropies, [b].

        `pmf` is a teacher's [b, 101]; with `imdb_wiki` the IMDB-WIKI network's follow, [b, 202].
        """
        if self.imdb_wiki != (pmf.shape[-1] == 2 * AGES):
            raise ValueError(f"a head {'with' if self.imdb_wiki else 'without'} imdb_wiki got {pmf.shape[-1]} lessons")
        pmf = ops.cast(pmf, logits.dtype)
        coral, taught = logits[:, :THRESHOLDS], pmf[:, :AGES]
        levels = 1 - ops.cumsum(taught, axis=-1)[:, :THRESHOLDS]
        total = self._weighted(ops.softplus(coral) - levels * coral)
        if self.by_age is not None:
            total = total + self.by_age.taught(self._ages(logits), taught)
        if self.imdb_wiki:
            kept = ops.log_softmax(logits[:, -AGES:], axis=-1)
            total = total - self.imdb_wiki_weight * ops.sum(pmf[:, AGES:] * kept, axis=-1)
        return total

    def _weighted(self, terms: Tensor) -> Tensor:
        importance = ops.convert_to_tensor(self.weight * self.importance, dtype=terms.dtype)
        return ops.sum(importance * terms, axis=-1)

    def _ages(self, logits: Tensor) -> Tensor:
        return logits[:, THRESHOLDS : THRESHOLDS + AGES]

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
