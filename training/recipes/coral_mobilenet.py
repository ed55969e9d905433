"""CORAL MobileNet from face-recognition weights on UTKFace and All-Age-Faces."""

from training.augment import MILD, Augmentation
from training.config import Recipe, Stage

RECIPE = Recipe(
    name="coral_mobilenet",
    command="agelens-train train coral_mobilenet --store stores/utkface --store stores/aaf --weights vggface2 "
    "--max-minutes 150",
    cost="two hours on two cores (about 55 faces a second, 13 epochs), five gigabytes of memory",
    expected="val MAE 4.90 years after the 7 epochs of the first stage, 4.81 (UTKFace 4.64, All-Age-Faces 5.20) after "
    "the third of the second, 4.85 after the fifth; 4.74 calibrated and with the mirror image",
    backbone="mobilenet",
    head="coral",
    # One score for all ages gives the features one direction to learn; a softmax beside it gives them all ages.
    auxiliary="dldl",
    auxiliary_weight=8.0,
    weights="vggface2",
    stages=(
        # Face weights drift towards age from the first step: the whole network at one rate beat a frozen start.
        Stage("all", epochs=7, learning_rate=1e-3, final_learning_rate=1e-5, warmup_steps=200),
        # Nearly as the service sees faces: what strong changes cost is won back, in three of the six epochs.
        Stage("refine", epochs=6, learning_rate=5e-4, final_learning_rate=1e-6, warmup_steps=50, augmentation=MILD),
    ),
    augmentation=Augmentation(scale_low=0.92, scale_high=1.12, shift=0.04, chip_share=0.2, erase_share=0.03),
    sampling="uniform",
    seed=1,
)
