"""Mean-Variance on a ResNet (dlib's: ResNet-34's plan at half width, 29 layers), distilled, on worn faces too."""

from dataclasses import replace

from training.recipes.coral_imdbwiki import RECIPE as CORAL
from training.recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="mean_variance_resnet",
    command="agelens-train train mean_variance_resnet --store stores/utkface --store stores/aaf "
    "--store stores/aaf_rest --store stores/portraits",
    cost="21 ms per face on one processor of a 2024 server (TensorFlow, float32): 9 minutes an epoch, 3 hours in all",
    expected="not run to its end yet: val MAE of UTKFace 9.83, 6.32 and 5.88 years after the first three epochs",
    backbone="resnet29",
    head="mean_variance",
    # The published weights, which the first three epochs bring in. Labels are Gaussians of two years instead of one
    # age, and nothing is dropped out.
    head_options={"mean_weight": 0.2, "variance_weight": 0.05, "sigma": 2.0, "dropout": 0.0},
    weights="dlib",
    stages=(
        # 1e-3 tore the face features apart: 15 years after the first epoch.
        Stage("all", epochs=20, learning_rate=7e-4, final_learning_rate=1e-6, warmup_steps=300),
    ),
    augmentation=replace(CORAL.augmentation, wear_share=0.3),
    size=160,
    sampling="sqrt_inverse",
    seed=22,
    ramp_epochs=3.0,
    teacher="models/ensemble-int8.onnx+imdbwiki",
    teacher_weight=0.6,
)
