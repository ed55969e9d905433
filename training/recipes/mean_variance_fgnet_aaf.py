"""Mean-Variance as in an earlier project: FG-NET and All-Age-Faces, on three backbones.

It compared ResNet-34 from random weights with InceptionV3 and ResNet-50 from ImageNet:

agelens-train train mean_variance_fgnet_aaf --run runs/resnet34 ...
agelens-train train mean_variance_fgnet_aaf --run runs/inception_v3 --backbone inception_v3 --weights imagenet ...
agelens-train train mean_variance_fgnet_aaf --run runs/resnet50 --backbone resnet50 --weights imagenet ...
"""

from dataclasses import replace

from training.data.augment import NO_AUGMENTATION
from training.recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="mean_variance_fgnet_aaf",
    command="agelens-train train mean_variance_fgnet_aaf --store prepared/fgnet --store prepared/all_age_faces",
    cost="30 epochs of some 7,500 faces: ResNet-34 a day on two cores, the others two; an hour on one GPU",
    expected="MAE 4.10 years on FG-NET, leaving one person out (Pan et al. 2018, from ImageNet weights)",
    backbone="resnet34",
    head="mean_variance",
    stages=(
        Stage("head", epochs=1, learning_rate=1e-3, trainable="head"),
        Stage("all", epochs=30, learning_rate=1e-3, final_learning_rate=1e-5, weight_decay=5e-4, patience=10),
    ),
    head_options={"mean_weight": 0.2, "variance_weight": 0.05},
    size=224,
    batch_size=32,
    augmentation=replace(NO_AUGMENTATION, flip_share=0.5, scale_low=0.9, scale_high=1.1, shift=0.05),
    seed=1,
)
