"""CORAL MobileNet from face-recognition weights on UTKFace and All-Age-Faces."""

from training.data.augment import MILD, Augmentation
from training.recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="coral_mobilenet",
    command="agelens-train train coral_mobilenet --store stores/utkface --store stores/aaf --weights vggface2 "
    "--teacher models/ensemble-int8.onnx",
    cost="95 minutes on one core of a 2024 server (32 faces a second, 9 epochs), 60 without a teacher",
    expected="not run yet with this head; coral-mobilenet 0.6.0 read its score from the softmax instead: val "
    "MAE 4.62 years, 4.57 with the mirror image",
    backbone="mobilenet",
    head="coral",
    # A softmax over all ages teaches the features more than CORAL's one score, so it teaches beside it.
    head_options={"ages": True, "weight": 0.3, "dropout": 0.0},
    weights="vggface2",
    stages=(
        # Face weights drift towards age from the first step: the whole network at one rate beat a frozen start.
        Stage("all", epochs=4, learning_rate=1e-3, final_learning_rate=4e-4, warmup_steps=200),
        # Nearly as the service sees faces: what strong changes cost is won back. Blends of two faces are not learnt by
        # heart.
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
    seed=4,
    # The gradient's norm is 50 to 900: a bound of 5 would be at work in every step.
    clip_norm=0.0,
    ramp_epochs=0.0,
    # Where there is a teacher: what it says of a changed and blended face, neither it nor the student knows by heart.
    teacher_sees="batches",
    teacher_weight=0.6,
)
