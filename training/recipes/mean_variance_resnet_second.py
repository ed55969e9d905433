"""Mean-Variance on a separable ResNet, second round: on from the first, then averaged with it.

mean-variance-resnet 1.1.0 was the mean of both: see docs/adr/0017-models-for-people-never-seen.md.
"""

from dataclasses import replace

from training.recipes.mean_variance_resnet import RECIPE as FIRST

(_ALL,) = FIRST.stages

RECIPE = replace(
    FIRST,
    name="mean_variance_resnet_second",
    command="agelens-train train mean_variance_resnet_second --store stores/utkface --store stores/aaf "
    "--store stores/aaf_rest --store stores/portraits",
    cost="75 minutes on two cores of a 2024 server beside other work, 1,713 steps",
    expected="val MAE 4.53 years over all sets, 4.56 before; 4.50 when averaged with the first (`merge --share 0.4`)",
    weights="runs/mean_variance_resnet",
    # The run of 1.1.0 ended with --max-minutes 75, a third into the fifth epoch.
    stages=(replace(_ALL, epochs=5),),
    seed=23,
)
