"""CORAL MobileNet from face-recognition weights on UTKFace and All-Age-Faces."""

from training.config import Recipe, Stage

RECIPE = Recipe(
    name="coral_mobilenet",
    command="agelens-train train coral_mobilenet --store stores/utkface --store stores/aaf --weights vggface2 "
    "--max-minutes 150",
    cost="150 minutes on two cores (about 40 faces a second, 15 epochs), one gigabyte of memory",
    expected="val MAE 5.40 years (UTKFace 5.30, All-Age-Faces 5.63) after four epochs, when its 62 minutes on "
    "a busy machine were over; longer runs are not measured yet",
    backbone="mobilenet",
    head="coral",
    weights="vggface2",
    stages=(
        # Face weights drift towards age from the first step: the whole network at one rate beat a frozen start.
        Stage("all", epochs=30, learning_rate=1e-3, final_learning_rate=1e-5, warmup_steps=200, weight_decay=1e-4),
    ),
    sampling="uniform",
    seed=1,
)
