"""A softmax taught by label distributions (DLDL-v2) on the same network and faces as `coral_imdbwiki`."""

from dataclasses import replace

from training.recipes.coral_imdbwiki import RECIPE as CORAL

RECIPE = replace(
    CORAL,
    name="dldl_mobilenet",
    command="agelens-train train dldl_mobilenet --store stores/utkface --store stores/aaf --store stores/aaf_rest "
    "--store stores/portraits",
    head="dldl",
    head_options={"sigma": 2.0, "mean_weight": 0.3, "dropout": 0.0},
    seed=23,
    teacher="models/ensemble-int8.onnx",
)
