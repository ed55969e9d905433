"""CORAL with a width per picture, second round: the head learns faster than the backbone.

coral-mobilenet 1.1.0 was the fifth of five runs: see docs/adr/0017-models-for-people-never-seen.md.
"""

from dataclasses import replace

from training.recipes.coral_imdbwiki import RECIPE as FIRST

(_ALL,) = FIRST.stages

RECIPE = replace(
    FIRST,
    name="coral_imdbwiki_second",
    command="agelens-train train coral_imdbwiki_second --store stores/utkface --store stores/aaf "
    "--store stores/aaf_rest --store stores/portraits",
    cost="61 minutes on one processor of a 2024 server for 2,370 steps (23 ms a face)",
    expected="on UTKFace's val MAE 4.56 years by CORAL's score, from a network that erred by 4.58",
    weights="runs/coral_imdbwiki",
    merged_with=None,
    # CORAL's score starts at 0 and is one direction among 1,024 features: at the backbone's rate it stays unfinished,
    # and children show it first (2.00 years of error beside the softmax's 1.52).
    stages=(
        replace(
            _ALL,
            learning_rate=1.5e-3,
            backbone_rate=0.08,
            trainable="conv_dw_4",
            warmup_steps=200,
            mixing=0.3,
            epochs=6,
        ),
    ),
    head_options={**FIRST.head_options, "weight": 1.0},
    augmentation=replace(FIRST.augmentation, erase_share=0.15),
    seed=51,
)
