"""Teach `dldl_mobilenet` to answer for squeezed and stretched faces and dark glasses as it does without them.

It is its own teacher: the frozen network sees the face as it is framed, the one that learns sees it after.
"""

from dataclasses import replace

from training.recipes.dldl_mobilenet import RECIPE as FIRST
from training.recipes.recipe import Stage

RECIPE = replace(
    FIRST,
    name="dldl_mobilenet_formats",
    command="agelens-train train dldl_mobilenet_formats --store stores/utkface --store stores/aaf "
    "--store stores/aaf_rest --store stores/portraits --max-minutes 24",
    cost="24 minutes on two processors of a 2024 server beside other work, 714 steps",
    expected="val MAE 4.31 years over all sets, 4.28 before; on 700 faces each of UTKFace and All-Age-Faces 4.67 and "
    "4.75 (4.67 and 4.73 before), squeezed to 3/4 of their width 4.62 and 5.10 (5.77 and 6.38), stretched to 4/3 "
    "4.78 and 5.15 (5.72 and 6.58), with sunglasses 5.20 and 5.57 (5.68 and 6.27)",
    weights="runs/dldl_mobilenet",
    stages=(
        Stage("all", epochs=2, learning_rate=2e-4, final_learning_rate=1e-6, weight_decay=0.0, warmup_steps=50),
    ),
    augmentation=replace(
        FIRST.augmentation, aspect_share=0.5, glasses_share=0.12, erase_share=0.05, wear_share=0.25, stretch_share=0.8
    ),
    batch_size=64,
    batch_norm_momentum=1.0,
    ema_decay=0.99,
    teacher="runs/dldl_mobilenet",
    teacher_sees="framed",
    teacher_weight=1.0,
    imitation_weight=0.0,
    seed=131,
)  # fmt: skip
