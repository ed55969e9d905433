"""`dldl_imdbwiki` trained on as `dldl_mobilenet_second`; the IMDB-WIKI network is asked about every mixed face."""

from dataclasses import replace

from training.recipes.dldl_imdbwiki import RECIPE as FIRST
from training.recipes.dldl_mobilenet_second import RECIPE as BESIDE

RECIPE = replace(
    BESIDE,
    name="dldl_imdbwiki_second",
    # Named three times, portraits are seen three times as often.
    command="agelens-train train dldl_imdbwiki_second --store stores/utkface --store stores/aaf "
    "--store stores/aaf_rest --store stores/portraits --store stores/portraits --store stores/portraits "
    "--max-minutes 75",
    head_options=FIRST.head_options,
    weights="runs/dldl_imdbwiki",
    stages=tuple(replace(stage, backbone_rate=0.5) for stage in BESIDE.stages),
    seed=107,
    teacher="runs/teachers.onnx+imdbwiki",
)
