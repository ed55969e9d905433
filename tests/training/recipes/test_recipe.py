"""Recipes: frozen, readable back, and complete in what they tell people."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, replace

import pytest
from pydantic import ValidationError

from service.errors import InvalidParameter
from training.model.backbones import BACKBONES
from training.model.heads import HEADS
from training.recipes.recipe import Recipe, Stage, recipe_named, recipe_names


@pytest.fixture(params=recipe_names())
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return recipe_named(request.param)


def test_the_ancestors_and_ours_are_there() -> None:
    assert set(recipe_names()) >= {"coral_imdb_adience", "coral_mobilenet", "mean_variance_fgnet_aaf", "smoke"}


def test_a_recipe_survives_its_file(recipe: Recipe) -> None:
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_a_stages_own_augmentation_survives_too() -> None:
    recipe = recipe_named("coral_mobilenet")
    assert recipe.stages[-1].augmentation is not None
    assert Recipe.from_json(recipe.to_json()).stages[-1].augmentation == recipe.stages[-1].augmentation


def test_a_recipe_says_how_to_run_it_and_what_to_expect(recipe: Recipe) -> None:
    assert recipe.command.startswith(("agelens-train train ", "agelens-train synthetic "))
    assert f"train {recipe.name} " in recipe.command or f"--beside {recipe.name} " in recipe.command
    assert recipe.cost
    assert re.search(r"MAE (of about )?\d+(\.\d+)? years|not run|nobody has run", recipe.expected)


def test_a_recipe_names_a_network_and_a_family_that_exist(recipe: Recipe) -> None:
    assert recipe.backbone in BACKBONES
    assert recipe.head in HEADS


def test_the_coral_ancestor_trains_its_head_then_two_sets() -> None:
    stages = [(stage.trainable, stage.epochs, stage.sources) for stage in recipe_named("coral-imdb-adience").stages]
    assert stages == [("head", 3, ("imdb_wiki",)), ("all", 12, ("imdb_wiki",)), ("all", 60, ("adience",))]


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(InvalidParameter, match=r"choose one of .*smoke"):
        recipe_named("nosuch")


def test_a_recipe_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        recipe_named("smoke").seed = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    "change",
    [
        {"stages": ()},
        {"batch_size": 1},
        {"teacher_sees": "batch"},
        {"sampling": "rare"},
        {"start_share": 1.0, "weights": "imagenet"},
        {"augmentation": {"shift": "far"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_recipe_that_cannot_run_is_refused_by_field(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        replace(recipe_named("smoke"), **change)  # type: ignore[arg-type]


def test_a_stage_that_cannot_run_is_refused() -> None:
    with pytest.raises(ValidationError, match="mixing"):
        Stage("all", 1, 1e-3, mixing=-0.1)


def test_a_share_of_no_initial_weights_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="recipe smoke: start_share"):
        replace(recipe_named("smoke"), start_share=0.5)


@pytest.mark.parametrize("side", [0, 129])
def test_faces_are_not_shrunk_to_more_pixels_than_they_have(side: int) -> None:
    with pytest.raises(InvalidParameter, match=rf"recipe smoke: .* at most to their size, .*; got {side}"):
        replace(recipe_named("smoke"), size=128, shrunk_to=side)
