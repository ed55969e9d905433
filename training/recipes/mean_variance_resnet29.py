"""Mean-Variance ResNet (dlib's 29-convolution network) on UTKFace and All-Age-Faces."""

from training.data.augment import MILD, Augmentation
from training.recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="mean_variance_resnet29",
    command="agelens-train train mean_variance_resnet29 --store stores/utkface --store stores/aaf --weights dlib "
    "--teacher runs/coral_mobilenet --max-minutes 150",
    cost="150 minutes on two cores (about 60 faces a second, 20 epochs), one gigabyte of memory",
    expected="val MAE 5.36 years (UTKFace 5.22, All-Age-Faces 5.65) with --max-minutes 44, 7 epochs; with the mirror "
    "image 5.28, and 4.63 on faces it learnt from: it had not learnt all it can. Nobody has run all 20 yet",
    backbone="resnet29",
    head="mean_variance",
    weights="dlib",
    stages=(
        # 1e-3 tore the face features apart: 15 years after the first epoch.
        Stage("all", epochs=16, learning_rate=5e-4, final_learning_rate=1e-5, warmup_steps=300),
        Stage("refine", epochs=4, learning_rate=2e-4, final_learning_rate=1e-6, warmup_steps=50, augmentation=MILD),
    ),
    head_options={"sigma": 2.0},
    augmentation=Augmentation(scale_low=0.92, scale_high=1.12, shift=0.04, chip_share=0.2, erase_share=0.03),
    # dlib's network knows less of age than VGGFace2's: what the MobileNet sees in a face is taught along with its age.
    teacher_weight=0.3,
    imitation_weight=2.0,
    sampling="uniform",
    seed=1,
    ramp_epochs=2.0,
)
