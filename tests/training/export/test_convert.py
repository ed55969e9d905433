"""From Keras weights to a locked file; the graph's surgery on a real network of a few kilobytes."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import ops
from PIL import Image

from service.errors import FileMissing, UnknownModel
from service.inference.estimator import Estimator
from service.inference.imaging import exposed
from service.inference.lockfile import ModelLock, sha256_of, verified_path
from service.inference.pipeline import load_models
from tests.pictures import astronaut, jpeg
from tests.tiny_model import SIZE
from tests.training.export.bell_model import (
    bell_manifest,
    bell_model,
    grey_faces,
    write_bell_model,
    write_grey_store,
)
from tests.training.tiny_run import tiny_recipe
from training.data.store import FaceStore
from training.evaluation.metrics import humps
from training.export.calibration_nodes import set_correction, smoothing
from training.export.card import card
from training.export.convert import check_parity, convert, export, load_run
from training.export.graph import (
    ExportRefused,
    embed,
    folded,
    keep_contract,
    refuse_stray_transposes,
    rename,
    run,
    with_layer_names,
)
from training.export.lock import fingerprint, lock_model, set_default
from training.export.release import WIDTHS, WORN_COPIES, Split, recalibrate
from training.export.unlabelled import faces_in
from training.measures.calibration import KNOTS, Correction, calibration_loss, conformal_table, decoded
from training.model.age_model import AgeModel, servable
from training.model.backbones import build_backbone
from training.model.heads import head_named
from training.onnx_manifest import manifest_of
from training.recipes.recipe import Recipe
from training.run_folder import BEST, RUN_FILE

NOT_MEASURED = {"photographs": 1, "detection_rate": 1.0, "fallback_age": 30.0, "mae_with_missed": 0.0, "results": {}}
FACES = grey_faces(np.linspace(5, 95, 19))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A quarter, 500 faces, is for calibration: enough for more than one band of `SMALLEST_BAND`.
    return write_grey_store(tmp_path_factory.mktemp("stores") / "grey", count=2000)


def bell_network(sigma: float = 2.0, columns: int = SIZE) -> keras.Model:
    """Build the bell model in Keras: uint8 faces to a bell around 100 · brightness of the leftmost columns."""
    faces = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    age = ops.mean(ops.cast(faces[:, :, :columns], "float32"), axis=(1, 2, 3)) * (100 / 255)
    offset = ops.expand_dims(age, -1) - np.arange(101, dtype=np.float32)
    return keras.Model(faces, ops.softmax(-ops.square(offset) / (2 * sigma**2), axis=-1))


def load_bell(run_dir: Path) -> tuple[Any, Recipe]:
    return bell_network(), tiny_recipe(size=SIZE)


def load_left_half(run_dir: Path) -> tuple[Any, Recipe]:
    return bell_network(columns=SIZE // 2), tiny_recipe(size=SIZE)


def test_an_exported_file_serves_and_is_locked_with_its_calibration(store: Path, tmp_path: Path) -> None:
    path = export(tmp_path, tmp_path / "models", "bell", "1.2.3", [store], load=load_bell)
    entry = ModelLock.read(tmp_path / "models").files[0]
    manifest = Estimator(verified_path(tmp_path / "models", entry), entry.sha256).manifest
    assert (path.name, manifest.name, manifest.version, manifest.crop.size) == ("bell.onnx", "bell", "1.2.3", SIZE)
    assert manifest.metrics["calib_loss"] < 0.9 * manifest.metrics["calib_loss_before"]
    calib = Split.load([store], "calib", manifest.crop)
    served = run(onnx.load(path), calib.faces)
    assert calibration_loss(served, calib.low, calib.high) == pytest.approx(manifest.metrics["calib_loss"], abs=1e-3)
    assert len(manifest.intervals) > 1


def test_intervals_are_read_off_calib_alone_as_it_is_and_worn(store: Path, tmp_path: Path) -> None:
    path = recalibrate(write_bell_model(tmp_path, sigma=2), [store])
    calib = Split.load([store], "calib", bell_manifest().crop)
    faces = np.concatenate([calib.faces, *(calib.worn(seed).faces for seed in range(WORN_COPIES))])
    pmf, ages = run(onnx.load(path), faces), np.tile(calib.low, 1 + WORN_COPIES)
    found = manifest_of(onnx.load(path), "bell").intervals
    kinds = np.repeat([0, 1], [len(calib.low), WORN_COPIES * len(calib.low)])
    assert found == conformal_table(pmf, ages, ages, decoded(pmf, "median"), widths=WIDTHS, kinds=kinds)


def test_a_file_names_the_data_that_its_run_learnt_from_beside_that_of_its_calibration(
    store: Path, tmp_path: Path
) -> None:
    stores = [str(store), str(tmp_path / "gone")]
    (tmp_path / "run.json").write_text(json.dumps({"stores": stores, "max_minutes": None}))
    path = export(tmp_path, tmp_path / "models", "bell", "1.0.0", [store], load=load_bell)
    source = FaceStore.open(store).source
    assert manifest_of(onnx.load(path), "bell").provenance.data == (source, "gone")


def test_a_file_carries_the_data_and_the_terms_of_what_its_network_began_with_and_was_taught_by(
    store: Path, tmp_path: Path
) -> None:
    start, teacher = (write_bell_model(tmp_path, name) for name in ("start", "teacher"))
    for path, data in ((start, ("utkface",)), (teacher, ("portraits", "utkface"))):
        model = onnx.load(path)
        manifest = manifest_of(model, path.name)
        provenance = manifest.provenance.model_copy(update={"data": data, "initial_weights": "vggface2"})
        embed(model, manifest.model_copy(update={"provenance": provenance}))
        onnx.save(model, path)
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    tiny_recipe(weights=str(start)).save(earlier)
    (earlier / RUN_FILE).write_text(json.dumps({"stores": ["all_age_faces"], "max_minutes": None}))

    def load(run_dir: Path) -> tuple[Any, Recipe]:
        return bell_network(), tiny_recipe(size=SIZE, weights=str(earlier), teacher=f"{teacher}+imdbwiki")

    out = tmp_path / "models"
    found = manifest_of(onnx.load(export(tmp_path, out, "bell", "1.0.0", [store], licence="Mine", load=load)), "bell")
    assert found.provenance.data == (FaceStore.open(store).source, "all_age_faces", "utkface", "portraits", "imdbwiki")
    assert found.licence.startswith(
        "Mine; and the terms of all_age_faces (research, cite Cheng et al. (2019)), utkface"
    )
    assert "vggface2 (research" in found.licence
    text = card(found, NOT_MEASURED, "0" * 64)
    assert "utkface (non-commercial research)" in text
    assert "## Limits" in text
    assert "UTKFace's ages are estimates" in text
    alone = manifest_of(
        onnx.load(export(tmp_path, out, "own", "1.0.0", [store], licence="Mine", load=load_bell)), "own"
    )
    assert alone.licence == "Mine"


def test_a_smoothed_file_has_no_spikes_and_the_same_ages(store: Path, tmp_path: Path) -> None:
    plain, smooth = (
        onnx.load(export(tmp_path, tmp_path / name, "bell", "1.0.0", [store], load=load_bell, smooth_years=years))
        for name, years in (("a", 0.0), ("b", 4.0))
    )
    spiked = np.eye(101)[[30, 0, 100]]
    spread = spiked @ smoothing(4.0)
    assert spread.sum(axis=1) == pytest.approx([1, 1, 1])
    assert spread[0].argmax() == 30
    assert np.sqrt(spread[0] @ (np.arange(101) - 30) ** 2) == pytest.approx(4 * 1.8, rel=0.01)
    assert np.sqrt(smoothing(1.0)[5] @ (np.arange(101) - 5) ** 2) == pytest.approx(1, rel=0.01)
    for model in (plain, smooth):
        set_correction(model, Correction())
    wide, narrow = (run(model, FACES) for model in (smooth, plain))
    np.testing.assert_allclose(wide, narrow @ smoothing(4.0), atol=1e-4)


@pytest.mark.parametrize("age", [0, 3, 18, 30, 55, 80])
def test_a_distribution_with_spikes_where_people_round_ages_has_one_hump_when_smoothed(age: int) -> None:
    ages = np.arange(101)
    rounded = np.where(ages % 10 == 0, 3.0, np.where(ages % 5 == 0, 1.8, 1.0)) ** (ages > 15)
    spiked = rounded * np.exp(-0.5 * ((ages - age) / (2 + age / 8)) ** 2)
    smooth = (spiked / spiked.sum())[None] @ smoothing(2.0)
    assert humps(smooth).tolist() == [1]
    assert humps(spiked[None])[0] > 1 or age < 18


def test_a_file_sees_stretched_faces_unless_told_otherwise(store: Path, tmp_path: Path) -> None:
    paths = (
        export(tmp_path, tmp_path / "a", "bell", "1.0.0", [store], load=load_bell),
        export(tmp_path, tmp_path / "b", "bell", "1.0.0", [store], load=load_bell, exposure="as-is"),
    )
    stretched, plain = (manifest_of(onnx.load(path), "bell") for path in paths)
    assert (stretched.crop.exposure, plain.crop.exposure) == ("stretched", "as-is")
    assert stretched.crop.size == plain.crop.size == SIZE


def test_worn_faces_are_stretched_after_they_were_worn(tmp_path: Path) -> None:
    dim = np.random.default_rng(0).integers(40, 90, (1, SIZE, SIZE, 3)).astype(np.uint8)
    crop = bell_manifest().crop.model_copy(update={"exposure": "stretched"})
    split = Split(dim, np.array([5]), np.array([5]), ("a",), crop)
    assert (split.faces.min(), split.faces.max()) == (0, 255)
    worn = split.worn(3)
    np.testing.assert_array_equal(worn.faces[0], exposed(worn.cut[0], crop))
    assert worn.cut.max() < 255


def test_faces_without_labels_are_cut_as_the_service_cuts_them(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(jpeg(astronaut()))
    (tmp_path / "photos" / "b.png").write_bytes(picture_of_nobody())
    faces = faces_in(tmp_path / "photos", bell_manifest().crop)
    assert faces.shape == (1, SIZE, SIZE, 3)
    assert faces.std() > 20


def picture_of_nobody() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def test_calibration_lowers_the_crps_and_leaves_the_error_alone(store: Path, tmp_path: Path) -> None:
    metrics = manifest_of(onnx.load(recalibrate(write_bell_model(tmp_path, sigma=2), [store])), "bell").metrics
    assert metrics["calib_loss"] < metrics["calib_loss_before"] - 0.2
    assert metrics["val_mae"] == pytest.approx(6 * np.sqrt(2 / np.pi), rel=0.15)


def test_a_file_may_average_a_face_and_its_mirror_image(store: Path, tmp_path: Path) -> None:
    path = export(tmp_path, tmp_path / "models", "half", "1.0.0", [store], load=load_left_half, flip=True)
    half_lit = FACES.copy()
    half_lit[:, :, : SIZE // 2] = 0
    assert run(onnx.load(path), half_lit) == pytest.approx(run(onnx.load(path), half_lit[:, :, ::-1]), abs=1e-6)
    assert manifest_of(onnx.load(path), "half").flip


def test_a_run_is_loaded_with_the_very_weights_it_saved(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    keras.utils.set_random_seed(1)
    model = AgeModel(build_backbone(recipe.backbone, recipe.size), head_named(recipe.head, dropout=0.0))
    model.save_weights(tmp_path / BEST)
    recipe.save(tmp_path)
    loaded, found = load_run(tmp_path)
    faces = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    logits = model.predict(faces, verbose=0)
    assert found == recipe
    assert loaded.predict(faces, verbose=0) == pytest.approx(np.asarray(model.head.pmf(logits)), abs=1e-6)


def test_a_run_without_weights_is_refused_by_name(tmp_path: Path) -> None:
    tiny_recipe().save(tmp_path)
    with pytest.raises(FileMissing, match=r"best\.weights\.h5"):
        load_run(tmp_path)


def test_a_converted_network_answers_as_keras_does_at_any_batch_size() -> None:
    network = bell_network()
    expected = network.predict(FACES, verbose=0)
    assert check_parity(expected, run(convert(network, SIZE), FACES)).probability < 1e-4


@pytest.mark.parametrize(
    ("family", "options"),
    [("coral", {}), ("coral", {"ages": True}), ("mean_variance", {}), ("dldl", {})],
)
def test_every_family_is_converted_to_what_it_answers(family: str, options: dict[str, Any]) -> None:
    keras.utils.set_random_seed(1)
    head = head_named(family, dropout=0.0, **options)
    network = AgeModel(build_backbone("two_convolutions", SIZE), head)
    for layer in network.layers:
        # Dense layers so steep that faces differ.
        if layer.name in ("head_ages", "head_score") and layer.input.shape[-1] == 16:
            kernel, *bias = layer.get_weights()
            layer.set_weights([50 * np.random.default_rng(1).standard_normal(kernel.shape), *bias])
    served = servable(network)
    expected = served.predict(FACES, verbose=0)
    assert np.abs(expected - expected[0]).max() > 0.01
    assert np.abs(expected - run(convert(served, SIZE), FACES)).max() < 1e-4


def test_constant_answers_prove_nothing_and_are_refused() -> None:
    pmf = np.tile(bell(40.0), (8, 1))
    with pytest.raises(ExportRefused, match="equality proves nothing"):
        check_parity(pmf, pmf)


def test_a_file_that_differs_is_refused_with_both_figures() -> None:
    pmf = np.stack([bell(age) for age in range(20, 60, 5)])
    moved = np.stack([bell(age + 0.3) for age in range(20, 60, 5)])
    with pytest.raises(ExportRefused) as refused:
        check_parity(pmf, moved)
    probability, years = re.findall(r"by (\S+) in probability and (\S+) years", str(refused.value))[0]
    assert float(probability) == pytest.approx(np.abs(pmf - moved).max(), rel=0.05)
    assert float(years) == pytest.approx(0.3, abs=0.005)  # the median is interpolated between whole ages


def bell(age: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    weights = np.exp(-((np.arange(101) - age) ** 2) / 50)
    return np.asarray(weights / weights.sum())


def test_nodes_and_tensors_are_named_after_layers_and_no_two_alike() -> None:
    model, plain = bell_model(), run(bell_model(), FACES)
    for node in model.graph.node:
        node.name = f"mean_variance_functional_2_1/functional_3/net/{node.name}"
    model.graph.node[0].name = "functional_9/net/twice"
    model.graph.node[1].name = "functional_8/net/twice"
    rename(model, "pooled", "functional_2_1/net/pooled:0")
    with_layer_names(model)
    names = [node.name for node in model.graph.node]
    assert "net/pool" in names
    assert "net/pooled:0" in {name for node in model.graph.node for name in node.input}
    assert len(set(names)) == len(names)
    assert sum("functional" in name for name in names) == 1
    assert not [name for name in names if "," in name]
    assert (run(model, FACES) == plain).all()


def test_folding_keeps_the_function() -> None:
    model = bell_model(transposes=3)
    assert run(folded(model), FACES) == pytest.approx(run(model, FACES), abs=1e-6)


def test_stray_transposes_are_refused_by_name() -> None:
    refuse_stray_transposes(bell_model(), allowed=1)
    with pytest.raises(ExportRefused, match=r"3 transposes remain where 1 are needed.*turned0"):
        refuse_stray_transposes(bell_model(transposes=3), allowed=1)


def test_tensors_get_the_names_of_the_contract_and_a_free_batch() -> None:
    model = bell_model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 7
    keep_contract(model)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert run(model, FACES).shape == (19, 101)


def test_a_float_input_breaks_the_contract() -> None:
    model = bell_model()
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    with pytest.raises(ExportRefused, match=r"`faces` must be uint8 \[batch, height, width, 3\]"):
        keep_contract(model)


def test_a_second_input_breaks_the_contract_by_name() -> None:
    model = bell_model()
    model.graph.input.append(onnx.helper.make_tensor_value_info("ages", onnx.TensorProto.FLOAT, [101]))
    with pytest.raises(ExportRefused, match=r"not \(faces, ages\) and \(age_pmf\)"):
        keep_contract(model)


def test_the_fingerprint_follows_the_graph_and_not_the_metrics() -> None:
    first, measured, wider = bell_model(), bell_model(), bell_model()
    set_correction(wider, Correction((-0.7,) * len(KNOTS)))
    for model, metrics in ((first, {}), (measured, {"test_mae": 4.0}), (wider, {})):
        embed(model, bell_manifest().model_copy(update={"metrics": metrics}))
    assert fingerprint(first) == fingerprint(measured) != fingerprint(wider)


def test_locking_again_keeps_whether_a_model_is_loaded_by_default(tmp_path: Path) -> None:
    path = write_bell_model(tmp_path)
    assert lock_model(path).default is True
    assert lock_model(path, default=False).default is False
    assert [entry.sha256 for entry in ModelLock.read(tmp_path).files] == [sha256_of(path)]


def test_the_model_that_answers_by_default_is_chosen_by_name_and_kept_when_locked_again(tmp_path: Path) -> None:
    paths = [write_bell_model(tmp_path, name) for name in ("first", "second")]
    lock_model(paths[1], default=False)
    set_default(tmp_path, "second")
    lock_model(paths[1])
    assert [entry.file for entry in ModelLock.read(tmp_path).of_kind("model")] == ["second.onnx", "first.onnx"]
    assert next(iter(load_models(tmp_path))) == "second"
    assert next(iter(load_models(tmp_path, ["first"]))) == "first"
    with pytest.raises(UnknownModel, match="no model named third; it has first, second"):
        set_default(tmp_path, "third")
