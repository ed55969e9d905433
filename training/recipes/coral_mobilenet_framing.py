"""Second stage of the CORAL MobileNet: the same age however tightly the picture was cut."""

from training.augment import Augmentation
from training.config import Recipe, Stage

RECIPE = Recipe(
    name="coral_mobilenet_framing",
    command="agelens-train train coral_mobilenet_framing --store stores/utkface --store stores/aaf "
    "--weights runs/coral_mobilenet --max-minutes 13",
    cost="13 minutes on two cores, one gigabyte of memory",
    expected="val MAE 5.30 years (UTKFace 5.19, All-Age-Faces 5.54) after a first stage of 5.40",
    backbone="mobilenet",
    head="coral",
    weights="runs/coral_mobilenet",
    stages=(Stage("all", epochs=3, learning_rate=3e-4, final_learning_rate=5e-6, warmup_steps=50, weight_decay=1e-4),),
    # Seven in ten faces get a black border, of All-Age-Faces too: else a border means "UTKFace" and its mix of ages.
    # The rest of the augmentation is milder: the first stage has learnt to see through it.
    augmentation=Augmentation(
        chip_share=0.7,
        chip_low=0.84,
        scale_low=0.92,
        scale_high=1.12,
        shift=0.04,
        tint_share=0.1,
        brightness=0.12,
        contrast=0.15,
        low_resolution_share=0.12,
        erase_share=0.05,
    ),
    sampling="uniform",
    seed=2,
    ema_decay=0.998,
    checkpoint_steps=150,
)
