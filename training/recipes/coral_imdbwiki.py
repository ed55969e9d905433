"""CORAL with a width per picture, from the IMDB-WIKI network with its own head kept, on faces with simulated wear."""

from dataclasses import replace

from training.data.augment import MILD
from training.recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="coral_imdbwiki",
    command="agelens-train train coral_imdbwiki --store stores/utkface --store stores/aaf --store stores/aaf_rest "
    "--store stores/portraits",
    cost="32 ms per face on one processor of a 2024 server (TensorFlow, float32), wear included; 8 epochs take two "
    "hours of it if nothing else runs",
    expected="on UTKFace's val, after 72 minutes (4.4 epochs), MAE 4.74 years by CORAL's score, 4.59 by the softmax "
    "beside it, 4.52 by the softmax mixed with the IMDB-WIKI head (`agelens-train gate`); from coral-mobilenet 0.6.0, "
    "which commit 68ba9ee holds",
    backbone="mobilenet",
    head="coral",
    head_options={
        "dropout": 0.0,
        "smoothness": 0.1,
        "ages": True,
        "weight": 0.3,
        "imdb_wiki": True,
        "imdb_wiki_weight": 1.0,
    },
    # Both began as VGGFace2's network. A linear reading of the features, learnt from 1,200 faces, errs on 400 of
    # UTKFace's `val` by 4.39 years with a quarter of IMDB-WIKI's weights, 4.64 with half, 4.50 without, 6.48 with all;
    # grain of σ 16 at 1.5 px adds 24.8, 21.8, 28.6 and 19.1 years to children.
    weights="models/coral-mobilenet.onnx",
    merged_with="imdbwiki",
    merged_share=0.4,
    stages=(Stage("all", epochs=8, learning_rate=5e-4, final_learning_rate=1e-6, warmup_steps=100, mixing=0.2),),
    # Framed nearly as the service frames faces; two in five are worn.
    augmentation=replace(MILD, scale_low=0.94, scale_high=1.08, chip_share=0.12, grey_share=0.15, wear_share=0.4),
    size=160,
    sampling="sqrt_inverse",
    seed=21,
    # The weights' statistics are folded away, and batches of worn faces have others than clean ones.
    batch_norm_momentum=1.0,
    clip_norm=0.0,
    ramp_epochs=0.0,
    ema_decay=0.998,
    teacher="models/ensemble-int8.onnx+imdbwiki",
    teacher_weight=0.55,
    checkpoint_steps=100,
)
