"""CORAL MobileNet from face-recognition weights on UTKFace and All-Age-Faces."""

from training.augment import MILD, Augmentation
from training.config import Recipe, Stage

RECIPE = Recipe(
    name="coral_mobilenet",
    command="agelens-train train coral_mobilenet --store stores/utkface --store stores/aaf --weights vggface2",
    cost="80 minutes on two cores (about 55 faces a second, 11 epochs), five gigabytes of memory",
    expected="val MAE 6.04, 5.28, 5.08, 4.97, 4.86 and 4.79 years after the epochs of the first stage, 4.98, 4.87, "
    "4.76, 4.74 and 4.74 after those of the second (UTKFace 4.60, All-Age-Faces 5.04); with the mirror image 4.68. "
    "coral-mobilenet 0.4.0, 4.74, came from an earlier form: 13 epochs without mixing, a second head beside CORAL's, "
    "dropout 0.2, clip_norm 5, ramp_epochs 2",
    backbone="mobilenet",
    head="coral",
    # A softmax over all ages teaches the features more than CORAL's one score, which is then read from it.
    head_options={"from_ages": True, "dropout": 0.0},
    weights="vggface2",
    stages=(
        # Face weights drift towards age from the first step: the whole network at one rate beat a frozen start.
        Stage("all", epochs=6, learning_rate=1e-3, final_learning_rate=2e-4, warmup_steps=200),
        # Nearly as the service sees faces: what strong changes cost is won back. Blends of two faces are not learnt by
        # heart: without them this stage ends at 4.78.
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
    seed=1,
    # The gradient's norm is 50 to 900: a bound of 5 would be at work in every step.
    clip_norm=0.0,
    ramp_epochs=0.0,
)
