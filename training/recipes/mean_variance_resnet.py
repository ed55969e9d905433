"""Mean-Variance on a ResNet whose convolutions are separable, made from a MobileNet, distilled, on worn faces too."""

from dataclasses import replace

from training.recipes.coral_imdbwiki import RECIPE as CORAL
from training.recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="mean_variance_resnet",
    command="agelens-train train mean_variance_resnet --store stores/utkface --store stores/aaf "
    "--store stores/aaf_rest --store stores/portraits",
    cost="33 minutes on two cores of a 2024 server, and 3 to fit the shortcuts: 43 faces a second, 1,318 steps",
    expected="val MAE 4.56 years over all sets (UTKFace 4.70, All-Age-Faces with the thinned ages 5.07), plain "
    "median; from coral-mobilenet 1.1.0, taught by an earlier ensemble-int8",
    backbone="separable_resnet",
    head="mean_variance",
    # A quarter of the published weight on the squared error: a wrong label must not pull by all it is wrong.
    head_options={"sigma": 2.0, "dropout": 0.0, "mean_weight": 0.05, "variance_weight": 0.02},
    weights="models/coral-mobilenet.onnx",
    # The run of 1.0.0 ended with --max-minutes 33, a third into the fourth epoch.
    stages=(Stage("all", epochs=4, learning_rate=6e-4, final_learning_rate=1e-6, warmup_steps=100, mixing=0.3),),
    augmentation=replace(CORAL.augmentation, wear_share=0.3),
    size=160,
    sampling="sqrt_inverse",
    seed=22,
    clip_norm=0.0,
    ramp_epochs=0.5,
    teacher="models/ensemble-int8.onnx",
    teacher_sees="framed",
    # Labels are known by heart by now; what the teacher says of a changed face is not.
    teacher_weight=0.75,
)
