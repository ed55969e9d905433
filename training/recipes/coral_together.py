"""CORAL with a width per picture, from the network of `coral_imdbwiki`, together with `dldl_mobilenet`."""

from dataclasses import replace

from training.recipes.dldl_mobilenet import RECIPE as FIRST

RECIPE = replace(
    FIRST,
    name="coral_together",
    expected="val MAE 4.48 years on UTKFace and 4.77 on All-Age-Faces; from coral-mobilenet 1.1.0, which commit "
    "ff409a9 holds",
    head="coral",
    head_options={
        "dropout": 0.2,
        "smoothness": 0.1,
        "ages": True,
        "weight": 1.0,
        "imdb_wiki": True,
        "imdb_wiki_weight": 1.0,
    },
    weights="models/coral-mobilenet.onnx",
    seed=103,
    stages=tuple(replace(stage, backbone_rate=0.7) for stage in FIRST.stages),
)
