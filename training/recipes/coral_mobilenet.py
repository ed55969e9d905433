"""CORAL MobileNet from face-recognition weights on UTKFace and All-Age-Faces."""

from training.config import Recipe, Stage

RECIPE = Recipe(
    name="coral_mobilenet",
    command="agelens-train train coral_mobilenet --store stores/utkface --store stores/aaf --weights vggface2 "
    "--max-minutes 65",
    cost="65 minutes on two cores (about 40 faces a second, 7 epochs), one gigabyte of memory",
    expected="not measured yet: this recipe's first run is under way",
    backbone="mobilenet",
    head="coral",
    # One score for all ages gives the features one direction to learn; a softmax beside it gives them all ages.
    auxiliary="dldl",
    auxiliary_weight=2.0,
    weights="vggface2",
    stages=(
        # Face weights drift towards age from the first step: the whole network at one rate beat a frozen start.
        Stage("all", epochs=30, learning_rate=1e-3, final_learning_rate=1e-5, warmup_steps=200, weight_decay=1e-4),
    ),
    sampling="uniform",
    seed=1,
)
