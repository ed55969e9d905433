"""Mean-Variance ResNet grown from VGGFace2's MobileNet, on UTKFace and All-Age-Faces."""

from training.augment import MILD, Augmentation
from training.config import Recipe, Stage

RECIPE = Recipe(
    name="mean_variance_mobile_resnet",
    command="agelens-train train mean_variance_mobile_resnet --store stores/utkface --store stores/aaf "
    "--weights vggface2",
    cost="90 minutes on two cores (about 45 faces a second, 11 epochs)",
    expected="val MAE 6.10, 5.69, 5.51 and 5.28 years after the first four epochs; nobody has run the others yet",
    backbone="mobile_resnet",
    head="mean_variance",
    head_options={"sigma": 2.0, "dropout": 0.0},
    weights="vggface2",
    stages=(
        Stage("all", epochs=6, learning_rate=1e-3, final_learning_rate=2e-4, warmup_steps=200, mixing=0.3),
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
    sampling="uniform",
    # Another order of faces than the CORAL model's: their errors should differ.
    seed=2,
    clip_norm=0.0,
    ramp_epochs=1.0,
)
