"""`dldl_mobilenet` trained on: covered faces, more grain, all that are mixed taught by three shipped models."""

from dataclasses import replace

from training.recipes.dldl_mobilenet import RECIPE as FIRST
from training.recipes.recipe import Stage

RECIPE = replace(
    FIRST,
    name="dldl_mobilenet_second",
    command="agelens-train train dldl_mobilenet_second --store stores/utkface --store stores/aaf "
    "--store stores/aaf_rest --store stores/portraits --max-minutes 75",
    cost="not measured",
    expected="not run",
    weights="runs/dldl_mobilenet",
    stages=(
        Stage(
            "all", epochs=6, learning_rate=3e-4, final_learning_rate=1e-6, weight_decay=0.02, warmup_steps=100,
            mixing=0.3,
        ),
    ),
    augmentation=replace(
        FIRST.augmentation, erase_share=0.1, cover_share=0.14, wear_share=0.42, stretch_share=0.8
    ),
    batch_size=64,
    seed=106,
    teacher="runs/teachers.onnx",
    teacher_sees="framed",
    teacher_weight=0.55,
    checkpoint_steps=100,
)  # fmt: skip
