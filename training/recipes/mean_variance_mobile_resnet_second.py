"""Mean-Variance ResNet, second round: from the first round's network, taught by the ensemble of both families."""

from dataclasses import replace

from training.recipes.mean_variance_mobile_resnet import RECIPE as FIRST

_START, _REFINE = FIRST.stages

RECIPE = replace(
    FIRST,
    name="mean_variance_mobile_resnet_second",
    command="agelens-train train mean_variance_mobile_resnet_second --store stores/utkface --store stores/aaf "
    "--weights runs/mean_variance_mobile_resnet --teacher models/ensemble-int8.onnx",
    cost="110 minutes on one core of a 2024 server (31 faces a second, 10 epochs)",
    expected="val MAE 4.94, 4.77, 4.65 and 4.62 years after the epochs of the first stage, 4.65, 4.64, 4.61, 4.61 and "
    "4.61 after those of the second (UTKFace 4.42, All-Age-Faces 5.03); with the mirror image 4.58. "
    "mean-variance-resnet 0.2.0 is that run, without its last epoch; its first round was taught by ensemble-int8 0.1.0 "
    "in the same way, with three and four epochs (4.67)",
    weights="runs/mean_variance_mobile_resnet",
    # Below the first round's rate: what it knows is worth keeping.
    stages=(replace(_START, epochs=4, learning_rate=8e-4), replace(_REFINE, epochs=6)),
    seed=8,
    teacher_sees="batches",
    # Labels are known by heart by now; what the teacher says of a changed face is not.
    teacher_weight=0.75,
)
