"""CORAL MobileNet as in an earlier project: the head, then IMDB-WIKI, then Adience's age groups.

Its labels on Adience are intervals; thresholds inside a group carry no weight. Three deliberate differences: task
importance over all thresholds of the whole training set, thresholds that start at the empirical odds, and a dropout of
0.2 before the score where the earlier project had 0.001.
"""

from dataclasses import replace

from training.data.augment import NO_AUGMENTATION
from training.recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="coral_imdb_adience",
    command="agelens-train train coral_imdb_adience --store prepared/imdb_wiki --store prepared/adience",
    cost="3 + 12 epochs of some 200,000 faces and 60 of some 12,000: days on two cores, hours on one GPU",
    expected="val MAE 8.07 years on IMDB-WIKI, as its authors report",
    backbone="mobilenet",
    head="coral",
    weights="imagenet",
    stages=(
        Stage("head", epochs=3, learning_rate=1e-3, trainable="head", sources=("imdb_wiki",)),
        Stage("imdb_wiki", epochs=12, learning_rate=1e-4, final_learning_rate=1e-6, sources=("imdb_wiki",)),
        Stage("adience", epochs=60, learning_rate=1e-4, final_learning_rate=1e-6, sources=("adience",)),
    ),
    size=224,
    augmentation=replace(NO_AUGMENTATION, flip_share=0.5),
    seed=1,
)
