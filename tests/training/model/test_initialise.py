"""Networks that begin with layers of another run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import FileMissing, InvalidParameter
from service.inference.faces import Pixels
from tests.training.tiny_run import SIZE, tiny_recipe
from training.data.store import FaceStore
from training.data.synthetic import synthetic_store
from training.export.convert import initial_weights
from training.fit.train import train
from training.fit.weight_average import read
from training.model.age_model import AgeModel
from training.model.initialise import merged_run, trained_model
from training.recipes.recipe import Recipe, Stage

ABOVE = "convolution_16"
"""The second of the two convolutions."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[FaceStore]:
    return [FaceStore.open(synthetic_store(tmp_path_factory.mktemp("stores") / "drawn", 60, size=SIZE, bleed=6))]


@pytest.fixture(scope="module")
def run(stores: list[FaceStore], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "below"
    train(tiny_recipe(epochs=1, name="below"), stores, folder)
    return folder


def on_first_layers_of(run: Path, **changes: Any) -> Recipe:
    stage = Stage("last", 2, 1e-2, trainable=ABOVE)
    return tiny_recipe(name="above", seed=9, first_layers=str(run), stages=(stage,), **changes)


def maps_below(model: AgeModel, faces: Pixels) -> NDArray[np.floating]:
    return np.asarray(keras.Model(model.input, model.get_layer(ABOVE).input).predict(faces, verbose=0))


def test_first_layers_of_another_run_stay_as_they_are(run: Path, stores: list[FaceStore], tmp_path: Path) -> None:
    recipe = on_first_layers_of(run)
    train(recipe, stores, tmp_path)
    (below, _), (above, _) = trained_model(run), trained_model(tmp_path)
    faces = stores[0].select("val").faces(np.arange(4), SIZE)
    np.testing.assert_array_equal(maps_below(above, faces), maps_below(below, faces))
    layers = [model.get_layer(ABOVE) for model in (above, below)]
    assert any((mine != theirs).any() for mine, theirs in zip(*(read(each.weights) for each in layers), strict=True))
    assert initial_weights(recipe) == "none on the first layers of below"


def test_first_layers_take_the_place_of_those_of_a_run_that_is_trained_on(
    run: Path, stores: list[FaceStore], tmp_path: Path
) -> None:
    train(tiny_recipe(epochs=1, seed=5), stores, tmp_path / "earlier")
    train(on_first_layers_of(run, weights=str(tmp_path / "earlier")), stores, tmp_path / "later")
    (below, _), (later, _) = trained_model(run), trained_model(tmp_path / "later")
    faces = stores[0].select("val").faces(np.arange(4), SIZE)
    np.testing.assert_array_equal(maps_below(later, faces), maps_below(below, faces))


def test_a_run_that_is_not_there_is_named_with_what_named_it(stores: list[FaceStore], tmp_path: Path) -> None:
    recipe = on_first_layers_of(tmp_path / "gone")
    with pytest.raises(FileMissing, match=r"gone has no recipe\.json.*--set first_layers=RUN"):
        train(recipe, stores, tmp_path / "run")
    with pytest.raises(FileMissing, match=r"no .*gone/recipe\.json, of the run whose first layers above has"):
        initial_weights(recipe)


def test_first_layers_are_not_averaged_with_others(run: Path, stores: list[FaceStore], tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="--set start_share=0"):
        on_first_layers_of(run, weights="imagenet", start_share=0.5)
    recipe = on_first_layers_of(run)
    for name in ("one", "two"):
        train(recipe, stores, tmp_path / name)
    merged_run(tmp_path / "one", tmp_path / "two", 0.5, tmp_path / "merged")
    assert trained_model(tmp_path / "merged")[1].first_layers is None


@pytest.mark.parametrize("trainable", ["all", "head"])
def test_layers_that_stay_are_told_by_the_stages(run: Path, trainable: str) -> None:
    with pytest.raises(InvalidParameter, match=rf"stage's trainable names the layer after them.*got {trainable}"):
        replace(on_first_layers_of(run), stages=(Stage("one", 1, 1e-2, trainable=trainable),))


def test_stages_that_keep_other_layers_are_refused(run: Path) -> None:
    stages = tuple(Stage(name, 1, 1e-2, trainable=name) for name in (ABOVE, "norm_16"))
    with pytest.raises(InvalidParameter, match=f"got {ABOVE}, norm_16"):
        replace(on_first_layers_of(run), stages=stages)


def test_first_layers_of_an_unlike_network_are_refused(run: Path, stores: list[FaceStore], tmp_path: Path) -> None:
    recipe = on_first_layers_of(run, preprocessing="imagenet-mean")
    with pytest.raises(
        InvalidParameter,
        match=r"faces scaled as symmetric, at 32 pixels, this one .* imagenet-mean",
    ):
        train(recipe, stores, tmp_path)
