"""The IMDB-WIKI network with its own head kept and a softmax beside it, together with `dldl_mobilenet`."""

from dataclasses import replace

from training.recipes.dldl_mobilenet import RECIPE as FIRST

RECIPE = replace(
    FIRST,
    name="dldl_imdbwiki",
    expected="val MAE 4.84 years on UTKFace and 5.53 on All-Age-Faces by both heads' even mixture; on portraits "
    "that it was not taught its answer and the first network's, gated, are 2.3 years from the IMDB-WIKI network's",
    head_options={**FIRST.head_options, "imdb_wiki": True, "imdb_wiki_weight": 6.0},
    weights="imdbwiki",
    seed=102,
    stages=tuple(replace(stage, backbone_rate=0.5) for stage in FIRST.stages),
)
