"""A real network and recipe, small enough to train in a test, and a tracker that remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import keras
import numpy as np

from service.inference.faces import Pixels
from training.data.augment import NO_AUGMENTATION
from training.model.age_model import AgeModel
from training.model.backbones import BACKBONES, build_backbone
from training.model.heads import head_named
from training.recipes.recipe import Recipe, Stage
from training.teaching.teacher import Faces, Targets
from training.tracking.trackers import Tracker

SIZE = 32


def two_convolutions(faces: Any) -> Any:
    """Map 32 px faces to 8 px maps of 16 channels."""
    for filters in (8, 16):
        # Named, so that arrays of one network fit another of the same process.
        faces = keras.layers.Conv2D(
            filters, 3, strides=2, padding="same", use_bias=False, name=f"convolution_{filters}"
        )(faces)
        faces = keras.layers.BatchNormalization(name=f"norm_{filters}")(faces)
        faces = keras.layers.ReLU()(faces)
    return faces


BACKBONES["two_convolutions"] = two_convolutions


def tiny_recipe(epochs: int = 2, **changes: Any) -> Recipe:
    """Return a recipe for `synthetic_store(..., size=32, bleed=6)`: 70 training faces give 8 steps an epoch."""
    recipe = Recipe(
        name="tiny",
        command="-",
        cost="-",
        expected="-",
        backbone="two_convolutions",
        head="coral",
        stages=(Stage("all", epochs, 1e-2, final_learning_rate=1e-3, warmup_steps=2),),
        head_options={"dropout": 0.0},
        size=SIZE,
        batch_size=8,
        augmentation=NO_AUGMENTATION,
        seed=3,
        ema_decay=0.9,
        checkpoint_steps=4,
    )
    return replace(recipe, **changes)


FACES: Final = np.random.default_rng(0).integers(0, 256, (40, SIZE, SIZE, 3), dtype=np.uint8)
"""Noise, cut as faces are."""

AGES: Final = np.arange(40)


def tiny_network() -> AgeModel:
    """Return a network of `tiny_recipe`'s backbone under a head of Mean-Variance."""
    return AgeModel(build_backbone("two_convolutions", SIZE), head_named("mean_variance", AGES, AGES, dropout=0.0))


def corner(faces: Faces) -> Targets:
    """Give the brightness of the upper left pixel and of the face, so that a mirror image differs."""
    return np.stack([faces[:, 0, 0, 0], faces.mean(axis=(1, 2, 3))], axis=1).astype(np.float32)


class Memory(Tracker):
    """A tracker that remembers, and can cut the run off at a step as a power cut would."""

    def __init__(self, cut_at: int = -1) -> None:
        self.values: dict[str, list[float]] = {}
        self.images: list[tuple[int, str, int]] = []
        self.cut_at = cut_at

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)
        if step == self.cut_at:
            raise KeyboardInterrupt

    def image(self, step: int, name: str, pixels: Pixels) -> None:
        self.images.append((step, name, pixels.shape[2]))
