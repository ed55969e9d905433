"""Mean-Variance ResNet, third round: worn pictures, answered as the ensemble answers them before they were worn."""

from dataclasses import replace

from training.recipes.coral_mobilenet_third import RECIPE as CORAL
from training.recipes.mean_variance_mobile_resnet import RECIPE as FIRST

RECIPE = replace(
    FIRST,
    name="mean_variance_mobile_resnet_third",
    command="agelens-train train mean_variance_mobile_resnet_third --store stores/utkface --store stores/aaf",
    cost="about 200 minutes on one core of a 2021 server without VNNI (13 faces a second, 7 epochs)",
    expected="under way; not known yet",
    weights="models/mean-variance-resnet.onnx",
    stages=CORAL.stages,
    seed=12,
    teacher=CORAL.teacher,
    teacher_sees=CORAL.teacher_sees,
    teacher_weight=CORAL.teacher_weight,
)
