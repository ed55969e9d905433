"""Mean-Variance ResNet grown from VGGFace2's MobileNet, on UTKFace and All-Age-Faces."""

from training.data.augment import MILD, Augmentation
from training.recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="mean_variance_mobile_resnet",
    command="agelens-train train mean_variance_mobile_resnet --store stores/utkface160 --store stores/aaf160 "
    "--weights vggface2",
    cost="65 minutes on one core of a 2024 server (56 faces a second, 10 epochs)",
    expected="val MAE 4.72 years, 4.66 with the mirror image",
    backbone="mobile_resnet",
    head="mean_variance",
    # A quarter of the published weight on the squared error: a wrong label must not pull by all it is wrong.
    head_options={"sigma": 2.0, "dropout": 0.0, "mean_weight": 0.05, "variance_weight": 0.02},
    weights="vggface2",
    stages=(
        Stage("all", epochs=5, learning_rate=1e-3, final_learning_rate=4e-4, warmup_steps=200),
        Stage(
            "refine",
            epochs=5,
            learning_rate=5e-4,
            final_learning_rate=1e-6,
            warmup_steps=50,
            augmentation=MILD,
            mixing=0.3,
        ),
    ),
    augmentation=Augmentation(scale_low=0.92, scale_high=1.12, shift=0.04, chip_share=0.2, erase_share=0.03),
    size=160,
    sampling="uniform",
    # Another order of faces than the CORAL model's: their errors should differ.
    seed=2,
    clip_norm=0.0,
    ramp_epochs=1.0,
)
