"""CORAL MobileNet from face-recognition weights on UTKFace and All-Age-Faces."""

from training.augment import MILD, Augmentation
from training.config import Recipe, Stage

RECIPE = Recipe(
    name="coral_mobilenet",
    command="agelens-train train coral_mobilenet --store stores/utkface --store stores/aaf --weights vggface2 "
    "--max-minutes 150",
    cost="two hours on two cores (about 55 faces a second, 13 epochs), five gigabytes of memory",
    expected="val MAE 6.04, 5.28, 5.08 and 4.97 years after the first four epochs; nobody has run the others yet. "
    "coral-mobilenet 0.4.0 came from an earlier form, its score read from the features, with dropout 0.2, clip_norm 5 "
    "and ramp_epochs 2: 5.11 after four epochs, 4.81 at its best, 4.74 calibrated and with the mirror image",
    backbone="mobilenet",
    head="coral",
    # A softmax over all ages teaches the features more than CORAL's one score, which is then read from it.
    head_options={"from_ages": True, "dropout": 0.0},
    weights="vggface2",
    stages=(
        # Face weights drift towards age from the first step: the whole network at one rate beat a frozen start.
        Stage("all", epochs=6, learning_rate=1e-3, final_learning_rate=2e-4, warmup_steps=200),
        # Nearly as the service sees faces: what strong changes cost is won back.
        Stage("refine", epochs=7, learning_rate=5e-4, final_learning_rate=1e-6, warmup_steps=50, augmentation=MILD),
    ),
    augmentation=Augmentation(scale_low=0.92, scale_high=1.12, shift=0.04, chip_share=0.2, erase_share=0.03),
    sampling="uniform",
    seed=1,
    # The gradient's norm is 50 to 900: a bound of 5 would be at work in every step.
    clip_norm=0.0,
    ramp_epochs=0.0,
)
