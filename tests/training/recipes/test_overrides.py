"""`--set`: fields of a recipe from text."""

from __future__ import annotations

import pytest

from service.errors import InvalidParameter
from training.recipes.overrides import overridden
from training.recipes.recipe import recipe_named

RECIPE = recipe_named("coral_mobilenet")


def test_a_field_of_each_part_is_set() -> None:
    settings = ["ema_decay=0", "weights=null", "augmentation.grey_share=1", "stage.learning_rate=1e-4"]
    changed = overridden(RECIPE, [*settings, "head_options.dropout=0.1", "sampling=sqrt_inverse"])
    assert (changed.ema_decay, changed.weights, changed.sampling) == (0.0, None, "sqrt_inverse")
    assert changed.augmentation.grey_share == 1.0
    assert changed.stages[-1].learning_rate == 1e-4
    assert changed.head_options == {**RECIPE.head_options, "dropout": 0.1}


def test_one_stage_or_all_of_them_are_changed() -> None:
    rates = [stage.backbone_rate for stage in RECIPE.stages]
    last, every = (overridden(RECIPE, [f"{name}.backbone_rate=0.5"]) for name in ("stage", "stages"))
    assert [stage.backbone_rate for stage in last.stages] == [*rates[:-1], 0.5]
    assert [stage.backbone_rate for stage in every.stages] == [0.5] * len(rates)


def test_an_augmentation_is_set_for_stages_that_have_their_own() -> None:
    first, last = overridden(RECIPE, ["augmentation.grey_share=1"]).stages
    assert first.augmentation is None
    assert last.augmentation is not None
    assert last.augmentation.grey_share == 1.0
    assert RECIPE.stages[-1].augmentation is not None
    assert last.augmentation.scale_low == RECIPE.stages[-1].augmentation.scale_low != RECIPE.augmentation.scale_low


def test_all_else_stays() -> None:
    assert overridden(overridden(RECIPE, ["seed=7"]), [f"seed={RECIPE.seed}"]) == RECIPE


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("seed", "takes FIELD=VALUE"),
        ("sead=1", "a recipe has no 'sead' to set; there are .*seed"),
        ("augmentation.gray_share=1", "an augmentation has no 'gray_share' .*grey_share"),
        ("optimizer.rate=1", "before the dot goes augmentation, stage, stages or head_options"),
        ("stages=1", "a recipe has no 'stages'"),
        ("augmentation.shift=far", "--set augmentation.shift=far: augmentation.shift: Input should be a valid number"),
        ("stage.epochs=0", "epochs: Input should be greater than or equal to 1"),
        ("augmentation.grey_share=1.5", "augmentation.grey_share: Input should be less than or equal to 1"),
        ("augmentation.shift=NaN", "augmentation.shift: Input should be a finite number"),
        ("augmentation.scale_low=0", "augmentation.scale_low: Input should be greater than 0"),
        ("augmentation.scale_low=2", "augmentation: scale_low is 2, more than scale_high"),
        ("augmentation.chip_low=2", "augmentation: chip_low is 2, more than chip_high"),
        ("augmentation.blur_sigma=0.1", "augmentation.blur_sigma: Input should be greater than or equal to 0.4"),
        ("augmentation.blur_sigma=Infinity", "augmentation.blur_sigma: Input should be a finite number"),
        ("augmentation.erase_side=0", "augmentation.erase_side: Input should be greater than or equal to 0.08"),
        ("stage.learning_rate=NaN", "learning_rate: Input should be a finite number"),
        ("stage.learning_rate=-1", "learning_rate: Input should be greater than or equal to 0"),
        ("stage.weight_decay=-1", "weight_decay: Input should be greater than or equal to 0"),
        ("stage.patience=-1", "patience: Input should be greater than or equal to 0"),
        ("stage.warmup_steps=-1", "warmup_steps: Input should be greater than or equal to 0"),
        ("ema_decay=1.5", "ema_decay: Input should be less than 1"),
        ("clip_norm=-1", "clip_norm: Input should be greater than or equal to 0"),
        ("checkpoint_steps=0", "checkpoint_steps: Input should be greater than or equal to 1"),
        ("faces_per_set=0", "faces_per_set: Input should be greater than or equal to 1"),
        ("seed=one", "--set seed=one: seed: Input should be a valid integer"),
    ],
)
def test_what_cannot_be_set_is_said(setting: str, says: str) -> None:
    with pytest.raises(InvalidParameter, match=says):
        overridden(RECIPE, [setting])
