"""Smoke test of an installation: everything a real run does, in under a minute on artificial faces."""

from training.data.augment import NO_AUGMENTATION
from training.recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="smoke",
    command="agelens-train synthetic prepared/synthetic && agelens-train train smoke --store prepared/synthetic",
    cost="under a minute on two idle cores",
    expected="val MAE of about 5 years, where the constant median has 23",
    backbone="mobilenet",
    head="coral",
    stages=(
        Stage("head", epochs=1, learning_rate=3e-3, final_learning_rate=1e-3, trainable="head", warmup_steps=5),
        Stage("all", epochs=3, learning_rate=3e-3, final_learning_rate=1e-4, warmup_steps=10),
    ),
    head_options={"dropout": 0.0},
    size=48,
    batch_size=32,
    augmentation=NO_AUGMENTATION,
    seed=1,
    batch_norm_momentum=0.8,
    ema_decay=0.9,
    checkpoint_steps=20,
)
