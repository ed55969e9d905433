"""As `dldl_mobilenet`, from ImageNet's weights: a voice that began elsewhere. No shipped file has it."""

from dataclasses import replace

from training.recipes.dldl_mobilenet import RECIPE as FIRST

RECIPE = replace(
    FIRST,
    name="dldl_imagenet",
    expected="val MAE 4.51 years on UTKFace and 4.89 on All-Age-Faces",
    weights="imagenet",
    seed=105,
)
