"""The network as a recipe starts it: backbone, pretrained weights, a head fitted to the labels."""

from __future__ import annotations

import keras
import numpy as np

from training.backbones import build_backbone
from training.config import Recipe
from training.data import FaceSet, train_batches
from training.heads import head_named
from training.model import AgeModel
from training.weights import is_folded, unfold_batch_norm

UNFOLD_FACES = 512
"""Faces that folded batch norms are re-estimated on: some hundred fix a mean to a few per cent."""


def new_model(recipe: Recipe, faces: FaceSet) -> AgeModel:
    """Build the recipe's network; biases and task weights come from the labels of `faces`, the training set."""
    keras.config.set_dtype_policy("mixed_bfloat16" if recipe.mixed_precision else "float32")
    try:
        backbone = build_backbone(
            recipe.backbone,
            recipe.size,
            recipe.weights,
            preprocessing=recipe.preprocessing,
            momentum=recipe.batch_norm_momentum,
        )
        if recipe.weights is not None and is_folded(backbone):
            unfold_batch_norm(backbone, _some_faces(recipe, faces))
        return AgeModel(backbone, head_named(recipe.head, faces.low, faces.high, **recipe.head_options))
    finally:
        keras.config.set_dtype_policy("float32")


def _some_faces(recipe: Recipe, faces: FaceSet) -> np.typing.NDArray[np.uint8]:
    """Take faces augmented as in training: those are what the statistics will follow from the first step on."""
    batches = train_batches(
        faces, recipe.size, recipe.batch_size, recipe.augmentation, recipe.sampling, recipe.seed, epoch=0
    )
    count = -(-UNFOLD_FACES // recipe.batch_size)
    return np.concatenate([batch.faces for batch, _ in zip(batches, range(count), strict=False)])
