"""The IMDB-WIKI network's last layers on the first ones of `dldl_imdbwiki`, taught to answer as the whole network does.

In an ensemble with `dldl_imdbwiki` it costs half a network: docs/adr/0025-last-layers-on-another-networks-first.md.
"""

from dataclasses import replace

from training.recipes.imdbwiki_small import RECIPE as SMALL

(_ALL,) = SMALL.stages

RECIPE = replace(
    SMALL,
    name="imdbwiki_last_layers",
    # Portraits, of which there are few and which it is there for, are named four times, and count as often.
    command="agelens-train train imdbwiki_last_layers --store stores/utkface --store stores/aaf "
    "--store stores/aaf_rest --store stores/portraits --store stores/portraits --store stores/portraits "
    "--store stores/portraits --max-minutes 38",
    cost="38 minutes on two processors of a 2024 server beside other work, 1,008 steps",
    expected="on the portraits of val and test, as the service sees them, its IMDB-WIKI head answers 1.53 and 1.57 "
    "years from the whole network; both heads' even mixture has on val MAE 5.31 years on UTKFace and 6.43 on "
    "All-Age-Faces",
    first_layers="runs/dldl_mobilenet/dldl_imdbwiki",
    shrunk_to=None,
    stages=(replace(_ALL, name="last_layers", trainable="conv_dw_8", learning_rate=3e-4, final_learning_rate=2e-6),),
    augmentation=replace(SMALL.augmentation, stretch_share=0.8),
    # Its softmax is not what it is for, and a smaller teacher leaves time for more steps. The second one sees the face
    # before light and wear: what it says of a whole face is to be said of a worn one.
    teacher="models/dldl-mobilenet-int8.onnx+imdbwiki",
    teacher_sees="framed",
    seed=71,
)
