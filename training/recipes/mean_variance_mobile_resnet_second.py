"""Mean-Variance ResNet, second round: starts from the first round and distils from the ensemble."""

from dataclasses import replace

from training.recipes.mean_variance_mobile_resnet import RECIPE as FIRST

_START, _REFINE = FIRST.stages

RECIPE = replace(
    FIRST,
    name="mean_variance_mobile_resnet_second",
    command="agelens-train train mean_variance_mobile_resnet_second --store stores/utkface --store stores/aaf "
    "--weights runs/mean_variance_mobile_resnet --teacher models/ensemble-int8.onnx",
    cost="110 minutes on one core of a 2024 server (31 faces a second, 10 epochs)",
    expected="val MAE 4.61 years, 4.58 with the mirror image",
    weights="runs/mean_variance_mobile_resnet",
    # Below the first round's rate: what it knows is worth keeping.
    stages=(replace(_START, epochs=4, learning_rate=8e-4), replace(_REFINE, epochs=6)),
    seed=8,
    teacher_sees="batches",
    # Labels are known by heart by now; what the teacher says of a changed face is not.
    teacher_weight=0.75,
)
