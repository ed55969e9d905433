"""A softmax taught by label distributions (DLDL-v2) and the IMDB-WIKI head beside it, as in `coral_imdbwiki`.

The shipped file was not trained by it: its heads were trained beside CORAL's by `coral_imdbwiki`, and
`agelens-train gate` mixed them.
"""

from dataclasses import replace

from training.recipes.coral_imdbwiki import RECIPE as CORAL

RECIPE = replace(
    CORAL,
    name="dldl_mobilenet",
    command="agelens-train train dldl_mobilenet --store stores/utkface --store stores/aaf --store stores/aaf_rest "
    "--store stores/portraits",
    head="dldl",
    head_options={"sigma": 2.0, "mean_weight": 0.3, "dropout": 0.0, "imdb_wiki": True},
    expected="not run on its own yet; see coral_imdbwiki",
    seed=23,
)
