"""Start a run from a recipe's name, or resume it from its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from service.errors import FileMissing, InvalidParameter
from training.data.store import FaceStore
from training.fit.together import refuse_unlike
from training.fit.train import TrainResult, train
from training.recipes.overrides import overridden
from training.recipes.recipe import Recipe, recipe_named
from training.run_folder import BEST, CHECKPOINT, METRICS, PREVIOUS, RUN_FILE, TENSORBOARD, refuse_run_in
from training.tracking.trackers import CsvTracker, TensorBoardTracker, Tracker, Trackers, WandbTracker


def launch(
    name: str,
    stores: Sequence[Path],
    run_dir: Path,
    max_minutes: float | None = None,
    changes: Mapping[str, object] | None = None,
    settings: Sequence[str] = (),
    *,
    wandb: bool = False,
    beside: Sequence[str] = (),
) -> TrainResult:
    """Train the named recipe with changes, then `FIELD=VALUE` settings, into a new folder.

    Recipes `beside` it are trained together with it (see `training.fit.together`); settings hold for all, and of the
    changes that of size. Raises InvalidParameter where a folder is in use or a field is not there.
    """
    if (run_dir / RUN_FILE).exists():
        _refuse_without_checkpoint(run_dir)
        raise InvalidParameter(
            f"{run_dir} holds a run already; resume it with --resume, or choose another folder with --run"
        )
    changes = changes or {}
    recipe = overridden(changed(recipe_named(name), changes), settings)
    shared = {field: value for field, value in changes.items() if field == "size"}
    others = [overridden(changed(recipe_named(other), shared), settings) for other in beside]
    if others:
        refuse_unlike(recipe, others)
    for folder in (run_dir / other.name for other in others):
        refuse_run_in(folder)
    opened = [FaceStore.open(store) for store in stores]
    run_dir.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {
        "stores": [str(store.resolve()) for store in stores],
        "digests": [store.digest for store in opened],
        "max_minutes": max_minutes,
        "wandb": wandb,
    }
    for other in others:
        (run_dir / other.name).mkdir(exist_ok=True)
        member = {**about, "trained_with": str(run_dir.resolve())}
        (run_dir / other.name / RUN_FILE).write_text(json.dumps(member, indent=2) + "\n")
    if others:
        about["beside"] = [json.loads(other.to_json()) for other in others]
    (run_dir / RUN_FILE).write_text(json.dumps(about, indent=2) + "\n")
    return train(recipe, opened, run_dir, max_minutes=max_minutes, tracker=trackers(run_dir, wandb), beside=others)


def relaunch(run_dir: Path, max_minutes: float | None = None) -> TrainResult:
    """Resume the run in a folder, with its recipe, stores and time, or with `max_minutes` in all.

    Raises FileMissing, and InvalidParameter where there is no checkpoint or a store is no longer as it was.
    """
    for name in (RUN_FILE, "recipe.json"):
        if not (run_dir / name).is_file():
            raise FileMissing(f"{run_dir} has no {name}, so there is no run to resume; start one without --resume")
    about = json.loads((run_dir / RUN_FILE).read_text())
    if "trained_with" in about:
        raise InvalidParameter(f"{run_dir} is trained together with {about['trained_with']}: resume that run")
    _refuse_without_checkpoint(run_dir)
    stores = [FaceStore.open(Path(store)) for store in about["stores"]]
    for path, store, before in zip(about["stores"], stores, about.get("digests", ()), strict=False):
        if store.digest != before:
            raise InvalidParameter(
                f"{path} has been prepared anew since {run_dir} began: labels, splits or the crop are others, so val "
                "may hold faces that were trained on; start another run with --run"
            )
    if max_minutes is not None:
        about["max_minutes"] = max_minutes
        (run_dir / RUN_FILE).write_text(json.dumps(about, indent=2) + "\n")
    recipe = Recipe.from_json((run_dir / "recipe.json").read_text())
    beside = [Recipe.from_json(json.dumps(other)) for other in about.get("beside", [])]
    return train(
        recipe,
        stores,
        run_dir,
        resume=True,
        max_minutes=about["max_minutes"],
        tracker=trackers(run_dir, about["wandb"]),
        beside=beside,
    )


def _refuse_without_checkpoint(run_dir: Path) -> None:
    """Raise InvalidParameter where a run's folder has neither checkpoint nor weights."""
    if not any((run_dir / name).exists() for name in (CHECKPOINT, PREVIOUS, BEST)):
        raise InvalidParameter(
            f"{run_dir} has no checkpoint to resume from: its run was cut off before the first one, or is still "
            f"running; if it is not, delete the folder (rm -r {run_dir}) and start again without --resume"
        )


def use_all_devices() -> None:
    """Split every batch over all devices; raise InvalidParameter unless the backend is JAX."""
    if keras.backend.backend() != "jax":
        raise InvalidParameter(f"several devices need KERAS_BACKEND=jax, it is {keras.backend.backend()}")
    keras.distribution.set_distribution(keras.distribution.DataParallel())


def changed(recipe: Recipe, changes: Mapping[str, object]) -> Recipe:
    """Return the recipe with other fields; `epochs` is the last stage's, a new head starts without options."""
    fields = {name: value for name, value in changes.items() if value is not None}
    if fields.get("head", recipe.head) != recipe.head:
        fields["head_options"] = {}
    epochs = fields.pop("epochs", None)
    if epochs is not None:
        last = replace(recipe.stages[-1], epochs=int(str(epochs)))
        fields["stages"] = (*recipe.stages[:-1], last)
    return replace(recipe, **fields)  # type: ignore[arg-type]


def trackers(run_dir: Path, wandb: bool = False) -> Tracker:
    """Return what a run is tracked with: a CSV file, TensorBoard, and Weights & Biases where asked for."""
    chosen: list[Tracker] = [CsvTracker(run_dir / METRICS), TensorBoardTracker(run_dir / TENSORBOARD)]
    if wandb:
        chosen.append(WandbTracker(run_dir))
    return Trackers(chosen)
