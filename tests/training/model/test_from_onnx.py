"""Going on from an exported file: the shipped networks come back into Keras as they answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from scipy.special import softmax

from service.errors import FileMissing, InvalidParameter
from tests.tiny_model import brightness_manifest
from tests.training.tiny_run import tiny_recipe
from training.data.store import FaceSet, FaceStore
from training.data.synthetic import synthetic_store
from training.export.calibration_nodes import set_correction
from training.export.convert import convert, data_behind, initial_weights
from training.export.ensemble import mean_of
from training.export.graph import embed, outputs_of, run
from training.export.quantize import to_float16
from training.fit.train import select
from training.measures.calibration import Correction
from training.model.age_model import AgeModel, servable, with_mirror_image
from training.model.from_onnx import ExportedFile
from training.model.initialise import _lacks_shortcuts, new_model, preprocessing_of
from training.onnx_manifest import manifest_of
from training.recipes.recipe import Recipe, recipe_named

MODELS = Path(__file__).parents[3] / "models"
RECIPES = {"coral-mobilenet": "coral_together", "mean-variance-resnet": "mean_variance_together"}


def smoothing_in(path: Path) -> NDArray[np.float32]:
    """Return the matrix [101, 101] that a file smooths its distributions by."""
    (matrix,) = (t for t in onnx.load(path).graph.initializer if t.name.endswith("calibration_smoothing"))
    return numpy_helper.to_array(matrix)


def recipe_from(name: str) -> Recipe:
    """Return a shipped file's recipe as it would go on from that file."""
    return replace(recipe_named(RECIPES[name]), weights=f"models/{name}.onnx")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    return FaceStore.open(synthetic_store(tmp_path_factory.mktemp("stores") / "drawn", 60, size=160, bleed=30))


def faces_of(recipe: Recipe, store: FaceStore) -> FaceSet:
    return select(recipe, [store], "train")


def continued(name: str, store: FaceStore, monkeypatch: pytest.MonkeyPatch) -> tuple[AgeModel, Recipe]:
    monkeypatch.chdir(MODELS.parent)
    recipe = recipe_from(name)
    return new_model(recipe, faces_of(recipe, store)), recipe


def uncalibrated(path: Path) -> onnx.ModelProto:
    """Return a file's graph without what calibration adds, which is none of the network's weights."""
    model = onnx.load(path)
    set_correction(model, Correction())
    return model


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_shipped_network_is_read_back_as_it_answers(
    name: str, store: FaceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, recipe = continued(name, store, monkeypatch)
    faces = faces_of(recipe, store).faces(np.arange(16), recipe.size)
    expected = run(uncalibrated(MODELS / f"{name}.onnx"), faces)
    assert (expected @ np.arange(101)).std() > 1
    answered = np.asarray(with_mirror_image(servable(model))(faces))
    np.testing.assert_allclose(answered @ smoothing_in(MODELS / f"{name}.onnx"), expected, atol=1e-5)
    # Trained on, its batch norms see what they saw.
    moved = np.asarray(model(faces.astype(np.float32), training=True))[:, -101:]
    still = np.asarray(model(faces.astype(np.float32), training=False))[:, -101:]
    assert np.corrcoef(moved.ravel(), still.ravel())[0, 1] > 0.9


def test_the_recipe_for_own_faces_starts_as_the_shipped_file_answers(
    store: FaceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(MODELS.parent)
    recipe = recipe_named("own_faces")
    faces = faces_of(recipe, store)
    pixels = faces.faces(np.arange(16), recipe.size)
    expected = run(uncalibrated(Path(str(recipe.weights))), pixels)
    assert (expected @ np.arange(101)).std() > 1
    answered = np.asarray(with_mirror_image(servable(new_model(recipe, faces)))(pixels))
    np.testing.assert_allclose(answered @ smoothing_in(Path(str(recipe.weights))), expected, atol=1e-5)


@pytest.mark.parametrize(("name", "lacking"), [("coral-mobilenet", True), ("mean-variance-resnet", False)])
def test_shortcuts_are_fitted_where_a_file_has_none(
    name: str, lacking: bool, store: FaceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(MODELS.parent)
    fitted = []
    monkeypatch.setattr("training.model.initialise.fit_shortcuts", lambda *networks: fitted.append(networks[:2]))
    recipe = replace(recipe_named("mean_variance_resnet"), weights=f"models/{name}.onnx")
    new_model(recipe, faces_of(recipe, store))
    assert [[network.name for network in pair] for pair in fitted] == [["mobilenet", "separable_resnet"]] * lacking


def test_layers_of_a_head_that_a_file_lacks_are_named(
    store: FaceStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(MODELS.parent)
    recipe = recipe_named("own_faces")
    new_model(recipe, faces_of(recipe, store))
    assert "warning" not in capsys.readouterr().err
    other = replace(recipe, head="coral", head_options={})
    new_model(other, faces_of(other, store))
    assert "has no weights for head_" in " ".join(capsys.readouterr().err.split())


def test_what_a_run_began_with_is_told_by_the_file(store: FaceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MODELS.parent)
    recipe = recipe_from("coral-mobilenet")
    made = manifest_of(onnx.load(MODELS / "coral-mobilenet.onnx"), "coral-mobilenet.onnx")
    assert initial_weights(recipe) == f"{made.provenance.initial_weights}, then coral-mobilenet {made.version}"
    assert preprocessing_of(recipe) == "imagenet-mean"


def test_another_network_than_the_files_is_refused_by_name(store: FaceStore) -> None:
    recipe = tiny_recipe(weights=str(MODELS / "coral-mobilenet.onnx"), size=160)
    with pytest.raises(InvalidParameter, match="does not fit two_convolutions: it lacks convolution_8"):
        new_model(recipe, faces_of(recipe, store))


def test_a_file_whose_network_shrinks_its_faces_is_gone_on_from(
    store: FaceStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_recipe(
        backbone="mobilenet",
        size=160,
        shrunk_to=64,
        preprocessing="imagenet-mean",
        head="dldl",
        batch_norm_momentum=1.0,
    )
    trained = new_model(recipe, faces_of(recipe, store))
    for norm in (layer for layer in trained.layers if isinstance(layer, keras.layers.BatchNormalization)):
        norm.beta.assign(np.random.default_rng(0).uniform(0.1, 1, norm.beta.shape))  # as after training: not zero
    model = convert(servable(trained), recipe.size)
    crop = store.crop.model_copy(update={"size": 160})
    embed(model, brightness_manifest("small").model_copy(update={"crop": crop, "family": "dldl"}))
    onnx.save(model, tmp_path / "small.onnx")
    onward = replace(recipe, weights=str(tmp_path / "small.onnx"), preprocessing=None)
    again = new_model(onward, faces_of(recipe, store))
    assert "warning" not in capsys.readouterr().err
    faces = faces_of(recipe, store).faces(np.arange(8), recipe.size)
    np.testing.assert_allclose(servable(again)(faces), run(model, faces), atol=1e-5)
    new_model(replace(onward, shrunk_to=None), faces_of(recipe, store))
    said = " ".join(capsys.readouterr().err.split())
    assert "shrank its faces to 64 pixels, tiny shrinks them not at all; --set shrunk_to=64 keeps" in said


@pytest.mark.parametrize(
    ("weights", "lacking"),
    [("vggface2", True), ("weights/mobilenet_v1_vggface2.npz", True), ("runs/own.npz", False), (None, False)],
)
def test_published_weights_have_no_shortcuts(weights: str | None, lacking: bool) -> None:
    recipe = replace(recipe_named("mean_variance_resnet"), weights=weights)
    assert _lacks_shortcuts(recipe, None) is lacking


def test_a_file_with_shortcuts_does_not_fit_a_network_without(
    store: FaceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(MODELS.parent)
    file = "models/mean-variance-resnet.onnx"
    plain = replace(recipe_named("coral_mobilenet"), weights=file, size=160)
    with pytest.raises(InvalidParameter, match="does not fit mobilenet: its blocks add up"):
        new_model(plain, faces_of(plain, store))
    merged = replace(recipe_named("mean_variance_resnet"), weights=file, merged_with="vggface2")
    with pytest.raises(InvalidParameter, match="cannot be averaged"):
        new_model(merged, faces_of(merged, store))


@pytest.mark.parametrize(("part", "own"), [(0, True), (1, True), (2, False)], ids=["first", "second", "third"])
def test_each_network_of_an_ensemble_in_eight_bits_is_read_back(part: int, own: bool, store: FaceStore) -> None:
    recipe = replace(
        recipe_named("dldl_mobilenet"),
        weights=f"{MODELS / 'ensemble-int8.onnx'}:{part}",
        head_options={"imdb_wiki": not own},
        batch_norm_momentum=1.0,
        teacher=None,
    )
    faces = faces_of(recipe, store)
    seen = faces.faces(np.arange(32), recipe.size)
    ensemble = onnx.load(MODELS / "ensemble-int8.onnx")
    answers = (node.output[0] for node in ensemble.graph.node if node.op_type == "Softmax")
    # The network's own; what calibrates it comes after.
    ensemble.graph.output[0].name = next(name for name in answers if name.startswith(f"member{part}_"))
    (expected,) = outputs_of(ensemble, seen)
    logits = np.asarray(new_model(recipe, faces).predict_on_batch(seen))
    answered = softmax(logits[:, :101] if own else logits[:, 101:202], axis=-1)
    ages, told = answered @ np.arange(101), expected @ np.arange(101)
    assert told.std() > 1
    # What its layers pass on is rounded to eight bits in the file, and not here.
    assert np.abs(ages - told).mean() < 0.05 * told.std()
    assert initial_weights(recipe).endswith(
        f", then network {part} of ensemble-int8 {manifest_of(ensemble, '').version}"
    )
    assert data_behind(recipe) == list(manifest_of(ensemble, "").provenance.data)


def test_half_precision_is_read_back(tmp_path: Path) -> None:
    float32 = onnx.load(MODELS / "coral-mobilenet.onnx")
    onnx.save(to_float16(float32), tmp_path / "half.onnx")
    half, whole = (ExportedFile.open(str(path)) for path in (tmp_path / "half.onnx", MODELS / "coral-mobilenet.onnx"))
    assert half.arrays.keys() >= whole.arrays.keys()
    for name, values in whole.arrays.items():
        np.testing.assert_allclose(half.arrays[name], values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("part", ["", ":3"])
def test_an_ensemble_says_which_networks_it_has(part: str) -> None:
    with pytest.raises(InvalidParameter, match=r"has 3 networks, .*ensemble-int8\.onnx:0 or .*:1 or .*:2$"):
        ExportedFile.open(f"{MODELS / 'ensemble-int8.onnx'}{part}")


def test_the_mean_of_several_networks_is_refused(tmp_path: Path) -> None:
    paths = [MODELS / f"{name}.onnx" for name in RECIPES]
    mean = mean_of([onnx.load(path) for path in paths], 160)
    embed(mean, brightness_manifest("mean").model_copy(update={"family": "ensemble"}))
    onnx.save(mean, tmp_path / "mean.onnx")
    with pytest.raises(InvalidParameter, match=r"mean\.onnx is the mean of several networks"):
        ExportedFile.open(str(tmp_path / "mean.onnx"))


def test_one_network_has_no_parts() -> None:
    with pytest.raises(InvalidParameter, match=r"coral-mobilenet-int8\.onnx is one network: name it without :0"):
        ExportedFile.open(f"{MODELS / 'coral-mobilenet-int8.onnx'}:0")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidParameter, match=r"start\.npz is neither FILE\.onnx nor FILE\.onnx:PART"):
        ExportedFile.open("start.npz")
    with pytest.raises(FileMissing, match=r"there is no file nosuch\.onnx"):
        ExportedFile.open("nosuch.onnx")
