"""The residual network of `mean_variance_together` taught by the ensemble as `dldl_mobilenet_formats` is.

There are no labels in it, so the Mean-Variance loss, which taught it before, has no say in it.
"""

from dataclasses import replace

from training.recipes.dldl_mobilenet_formats import RECIPE as FIRST
from training.recipes.mean_variance_together import RECIPE as BEFORE

RECIPE = replace(
    FIRST,
    name="mean_variance_formats",
    command="agelens-train train mean_variance_formats --store stores/utkface --store stores/aaf "
    "--store stores/aaf_rest --store stores/portraits --max-minutes 30",
    expected="not run",
    backbone=BEFORE.backbone,
    head=BEFORE.head,
    head_options={**BEFORE.head_options, "dropout": 0.0},
    # 1.2.0, which commit 83d7328 holds.
    weights="models/mean-variance-resnet.onnx",
    seed=135,
)
