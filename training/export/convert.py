"""Export trained weights to ONNX, and check the file against Keras on real faces."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from service.errors import FileMissing
from service.inference.manifest import INPUT_NAME, CropSpec, Exposure, Manifest, Provenance
from training.data.store import FaceStore
from training.export.calibration_nodes import append_calibration, smoothing
from training.export.card import origins, terms_of, with_terms
from training.export.graph import (
    OPSET,
    ExportRefused,
    folded,
    keep_contract,
    refuse_stray_transposes,
    run,
    with_layer_names,
)
from training.export.release import NOT_FITTED, Split, finish, publish
from training.measures.calibration import decoded
from training.measures.validation import LEAST_SPREAD
from training.model.from_onnx import ExportedFile, file_named
from training.onnx_manifest import manifest_of, model_in
from training.recipes.recipe import Recipe
from training.revision import revision
from training.run_folder import RUN_FILE
from training.teaching.teacher import ITSELF

PARITY_FACES: Final = 64
PARITY_PROBABILITY: Final = 1e-4
PARITY_YEARS: Final = 0.01

LICENCE: Final = "Research use only, on the terms of the data it was trained on"

Faces = NDArray[np.uint8]


@dataclass(frozen=True)
class Parity:
    """Largest differences between the file and Keras: in one probability, and in the median age in years."""

    probability: float
    years: float


def require_tensorflow() -> None:
    """Raise ExportRefused unless Keras runs on TensorFlow, which tf2onnx reads."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ExportRefused(f"export needs KERAS_BACKEND=tensorflow, it is {keras.backend.backend()}")


def convert(servable: Any, size: int, smooth_years: float = 0.0) -> onnx.ModelProto:
    """Turn a servable Keras model (uint8 [b, size, size, 3] → pmf [b, 101]) into a folded graph, not calibrated yet.

    Its distributions are smoothed by a Gaussian of `smooth_years`.
    Raises ExportRefused where the graph breaks the contract or more than one transpose remains.
    """
    require_tensorflow()
    import tensorflow as tf
    import tf2onnx

    signature = (tf.TensorSpec((None, size, size, 3), tf.uint8, name=INPUT_NAME),)
    function = tf.function(lambda faces: servable(faces, training=False), input_signature=signature)
    model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    keep_contract(model)
    model = folded(model)
    with_layer_names(model)
    refuse_stray_transposes(model, allowed=1)
    append_calibration(model, smooth_years)
    return model


def check_parity(expected: NDArray[np.floating], actual: NDArray[np.floating]) -> Parity:
    """Compare pmfs [n, 101] of the same faces; raise ExportRefused where they are constant or differ."""
    ages, ages_actual = decoded(expected, "median"), decoded(actual, "median")
    if min(ages.std(), ages_actual.std()) < LEAST_SPREAD:
        raise ExportRefused(
            f"all {len(ages)} faces get nearly one age ({ages.mean():.1f} ± {ages.std():.2f} years), "
            "so equality proves nothing; export trained weights and check them on different faces"
        )
    parity = Parity(float(np.abs(expected - actual).max()), float(np.abs(ages - ages_actual).max()))
    if parity.probability > PARITY_PROBABILITY or parity.years > PARITY_YEARS:
        raise ExportRefused(
            f"the file differs from Keras by {parity.probability:.1e} in probability and {parity.years:.3f} years; "
            f"at most {PARITY_PROBABILITY:.0e} and {PARITY_YEARS} are allowed"
        )
    return parity


def converted(servable: Any, faces: Faces, smooth_years: float = 0.0) -> tuple[onnx.ModelProto, Parity]:
    """Convert and compare with Keras on real faces uint8 [n, size, size, 3]; raise ExportRefused."""
    model = convert(servable, faces.shape[1], smooth_years)
    expected = np.asarray(servable.predict(faces, verbose=0))
    return model, check_parity(expected @ smoothing(smooth_years) if smooth_years else expected, run(model, faces))


def shared_crop(stores: Sequence[Path], size: int, exposure: Exposure = "stretched") -> CropSpec:
    """Return the crop that all stores were cut with, at the model's size; raise ExportRefused where they differ.

    Stores keep faces as they were cut; `exposure` is what the network is to see of them (docs/adr/0015).
    """
    crops = [FaceStore.open(path).crop for path in stores]
    if any(crop != crops[0].model_copy(update={"size": crop.size}) for crop in crops):
        raise ExportRefused("the stores were cut differently; prepare them again with one crop")
    if crops[0].exposure != "as-is":
        exposure = crops[0].exposure
    return crops[0].model_copy(update={"size": size, "exposure": exposure})


def export(
    run_dir: Path,
    out_dir: Path,
    name: str,
    version: str,
    stores: Sequence[Path],
    *,
    licence: str = LICENCE,
    default: bool | None = None,
    flip: bool = False,
    balance: float | None = None,
    exposure: Exposure = "stretched",
    head: str | None = None,
    smooth_years: float = 0.0,
    load: Callable[[Path], tuple[Any, Recipe]] | None = None,
) -> Path:
    """Export the best weights of a run as `out_dir/NAME.onnx`, calibrated and locked; return the path.

    With `flip` the file answers with the mean over a face and its mirror image, at twice the cost.
    `licence` is that of one's own data; the terms of all else that the network learnt from are added to it.
    `balance` is `calibrate`'s, `exposure` that of the faces the file is to see, `head` as in `load_run`, `smooth_years`
    as in `convert`. `load` turns a run folder into a servable Keras model and its recipe. Raises ExportRefused if the
    file would differ from Keras, and FileMissing if files of the run or a store are missing.
    """
    servable, recipe = load(run_dir) if load else load_run(run_dir, head)
    if flip:
        from training.model.age_model import with_mirror_image

        servable = with_mirror_image(servable)
    crop = shared_crop(stores, recipe.size, exposure)
    faces = Split.load(stores, "val", crop, limit=PARITY_FACES).faces
    model, parity = converted(servable, faces, smooth_years)
    sources = (FaceStore.open(path).source for path in stores)
    data = tuple(dict.fromkeys((*trained_on(run_dir), *sources, *data_behind(recipe))))
    began_with = initial_weights(recipe)
    manifest = Manifest(
        name=name,
        version=version,
        family=recipe.head.replace("_", "-"),
        flip=flip,
        crop=crop,
        age_mix=NOT_FITTED,
        provenance=Provenance(
            recipe=recipe.name,
            data=data,
            initial_weights=began_with,
            commit=revision(),
            created=datetime.now(UTC).date().isoformat(),
        ),
        licence=licence if licence == LICENCE else with_terms_behind(licence, (*data, *origins(began_with))),
        metrics={"parity_probability": parity.probability, "parity_years": parity.years},
    )
    finish(model, manifest, stores, balance or 0.0)
    return publish(model, out_dir, default)


def trained_on(run_dir: Path) -> list[str]:
    """Return the sources of the stores that a run learnt from; of a store that is gone, its folder's name."""
    if not (run_dir / RUN_FILE).is_file():
        return []
    stores = [Path(store) for store in json.loads((run_dir / RUN_FILE).read_text())["stores"]]
    return [FaceStore.open(store).source if (store / "store.json").is_file() else store.name for store in stores]


def data_behind(recipe: Recipe) -> list[str]:
    """Return the data that a recipe's initial weights and teachers learnt from, back to the first network.

    Of a file that is gone, and of pretrained weights that teach, it is their name.
    """
    began = [each for each in (recipe.weights, recipe.merged_with, recipe.first_layers) if each]
    teachers = recipe.teacher.split("+") if recipe.teacher and recipe.teacher != ITSELF else []
    named = [each.rpartition(":")[2] for each in teachers if not Path(each).suffix and not Path(each).is_dir()]
    return list(dict.fromkeys([*(source for each in (*began, *teachers) for source in _learnt_from(each)), *named]))


def _learnt_from(name: str) -> list[str]:
    file = file_named(name)
    if file:
        return list(manifest_of(model_in(file), file.name).provenance.data) if file.is_file() else [file.stem]
    path = Path(name)
    if (path / "recipe.json").is_file():
        return [*trained_on(path), *data_behind(Recipe.from_json((path / "recipe.json").read_text()))]
    return []


def with_terms_behind(licence: str, names: Sequence[str]) -> str:
    """Add to a licence the terms of the named data and weights that are known."""
    bound = [with_terms(name) for name in dict.fromkeys(names) if terms_of(name)]
    return f"{licence}; and the terms of {', '.join(bound)}" if bound else licence


def initial_weights(recipe: Recipe) -> str:
    """Name what a recipe began with; of an earlier run or file, what that began with and its own name."""
    if recipe.first_layers:
        file = Path(recipe.first_layers) / "recipe.json"
        if not file.is_file():
            raise FileMissing(f"there is no {file}, of the run whose first layers {recipe.name} has; export from there")
        below = Recipe.from_json(file.read_text())
        return f"{initial_weights(replace(recipe, first_layers=None))} on the first layers of {below.name}"
    if recipe.weights is None:
        return "none"
    if recipe.merged_with:
        other = initial_weights(replace(recipe, merged_with=None, weights=recipe.merged_with))
        return f"{initial_weights(replace(recipe, merged_with=None))}, merged with {other}"
    if file_named(recipe.weights):
        earlier = ExportedFile.open(recipe.weights)
        manifest, part = earlier.manifest, "" if earlier.part is None else f"network {earlier.part} of "
        return f"{manifest.provenance.initial_weights}, then {part}{manifest.name} {manifest.version}"
    path = Path(recipe.weights)
    if not path.is_dir():
        return path.stem
    before = Recipe.from_json((path / "recipe.json").read_text())
    return f"{initial_weights(before)}, then {before.name}"


def load_run(run_dir: Path, head: str | None = None) -> tuple[Any, Recipe]:
    """Build the servable Keras model of a run's best weights; raise FileMissing where the run is not whole.

    Heads that only taught the features are left out. `head` serves another family's head that was trained beside the
    run's own; raises ExportRefused where none was.
    """
    from training.model.age_model import servable
    from training.model.heads import HEADS
    from training.model.initialise import trained_model, with_other_head

    model, recipe = trained_model(run_dir)
    head = head or recipe.head
    left_out = ("dropout", *HEADS[head].only_teach) if head in HEADS else ()
    kept = {name: value for name, value in recipe.head_options.items() if name not in left_out}
    other, lacking = with_other_head(model, head, **(kept if head == recipe.head else {}))
    if lacking:
        raise ExportRefused(f"{run_dir} trained no {head} head beside its {recipe.head} one: it lacks {lacking[0]}")
    return servable(other), replace(recipe, head=head)
