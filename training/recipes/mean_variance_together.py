"""Mean-Variance on a separable ResNet, from that of `mean_variance_resnet`, together with `dldl_mobilenet`."""

from dataclasses import replace

from training.recipes.dldl_mobilenet import RECIPE as FIRST

RECIPE = replace(
    FIRST,
    name="mean_variance_together",
    expected="val MAE 4.55 years on UTKFace and 4.82 on All-Age-Faces; from mean-variance-resnet 1.1.0, which commit "
    "ff409a9 holds",
    backbone="separable_resnet",
    head="mean_variance",
    head_options={"sigma": 2.0, "dropout": 0.2, "mean_weight": 0.05, "variance_weight": 0.02},
    weights="models/mean-variance-resnet.onnx",
    seed=104,
    stages=tuple(replace(stage, backbone_rate=0.7) for stage in FIRST.stages),
)
