"""The IMDB-WIKI network taught to answer as it does from 128 pixels a side, and of worn pictures as of clean ones.

For a third look in an ensemble; no shipped file has it: see docs/adr/0021-a-third-smaller-look.md.
"""

from dataclasses import replace

from training.recipes.coral_imdbwiki import RECIPE as CORAL

(_ALL,) = CORAL.stages

RECIPE = replace(
    CORAL,
    name="imdbwiki_small",
    command="agelens-train train imdbwiki_small --store stores/utkface --store stores/aaf --store stores/aaf_rest "
    "--store stores/portraits",
    cost="21 minutes on two processors of a 2024 server beside other work, 1,538 steps",
    expected="on portraits its IMDB-WIKI head answers 2.0 years from the network that taught it; both heads' even "
    "mixture has on val MAE 5.34 years",
    head="dldl",
    # What it was taught is to be kept: with a weight of 3 and labels beside it, it stayed 2.6 years from that.
    head_options={"sigma": 2.0, "mean_weight": 0.3, "dropout": 0.0, "imdb_wiki": True, "imdb_wiki_weight": 30.0},
    weights="imdbwiki",
    merged_with=None,
    shrunk_to=128,
    stages=(replace(_ALL, epochs=4, learning_rate=3e-4, mixing=0.0),),
    augmentation=replace(CORAL.augmentation, wear_share=0.35),
    teacher_weight=0.95,
    seed=61,
)
