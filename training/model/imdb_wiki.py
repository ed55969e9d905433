"""The network that learnt ages from IMDB-WIKI (HSE-FaceRec, Savchenko 2019): its head, and all of it as a teacher."""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
from keras import ops

from training.model.backbones import build_backbone
from training.weights.store import file_of, source_for

Tensor = Any

WEIGHTS: Final = "imdbwiki"
LAYERS: Final = {"feats": "head_imdb_wiki_features", "age_pred": "head_imdb_wiki_ages"}
"""Its file's names of the head's layers, and ours."""

_NEVER: Final = -30.0
"""Logit of age 0, which it does not know: its class i is age i + 1."""


def ages_head(features: Tensor) -> Tensor:
    """Add its head to features [b, 1024]: 256 with ReLU, then logits of the ages 0..100, [b, 101]."""
    hidden = keras.layers.Dense(256, activation="relu", dtype="float32", name=LAYERS["feats"])(features)
    ages = keras.layers.Dense(100, dtype="float32", name=LAYERS["age_pred"])(hidden)
    return ops.pad(ages, [[0, 0], [1, 0]], constant_values=_NEVER)


def load_ages_head(model: keras.Model) -> None:
    """Put the published weights of its head into a model that has it; raise FileMissing."""
    with np.load(file_of(source_for("mobilenet", WEIGHTS))) as stored:
        for theirs, ours in LAYERS.items():
            layer = model.get_layer(ours)
            layer.kernel.assign(stored[f"{theirs}/kernel"].astype(np.float32))
            layer.bias.assign(stored[f"{theirs}/bias"].astype(np.float32))


def imdb_wiki_network(size: int) -> keras.Model:
    """Build the published network: RGB faces in 0..255, [b, size, size, 3], to a distribution over 0..100, [b, 101]."""
    backbone = build_backbone("mobilenet", size, WEIGHTS)
    network = keras.Model(backbone.input, ops.softmax(ages_head(backbone.output), axis=-1), name="imdb_wiki")
    load_ages_head(network)
    return network
