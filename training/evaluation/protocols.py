"""Published evaluation protocols, from a dataset's files to a figure: prepare, train on each fold, measure.

A run that is interrupted resumes: the store is continued, folds that have a result are skipped, and the fold that was
being trained goes on from its checkpoint. Each fold keeps its split as a file, which must be the same then.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console

from service.atomic_write import atomic_write
from service.errors import InvalidParameter
from service.inference.detection.detector import CONFIDENCE
from service.inference.lockfile import default_models_dir
from service.inference.manifest import CropSpec
from training.data import BLEED, MARGIN
from training.data.gather import gather
from training.data.prepare import prepare
from training.data.store import FaceStore
from training.datasets import DatasetError, Listing, Sample
from training.datasets.fgnet import leave_one_out
from training.datasets.sample import UNLISTED
from training.evaluation.metrics import cumulative_score
from training.fit.train import train
from training.measures.validation import bootstrap, score
from training.model.age_model import servable
from training.model.initialise import trained_model
from training.recipes.recipe import Recipe
from training.run_folder import CHECKPOINT, PREVIOUS

RESULT: Final = "result.json"
SPLIT: Final = "split.csv"
SPLIT_COLUMNS: Final = ("file", "age", "subject", "split")
"""Of a fold's split file, which `prepare --index` reads: files are named without folders."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """A dataset, and whether each person is left out in turn; the error of `test` is reported.

    `lists_option` is the reader's option that names the published lists, `lists` are those within the dataset.
    `renamed` are the reader's splits that have another part here, each with what it is.
    """

    dataset: str
    leave_out: bool = False
    lists_option: str | None = None
    lists: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()


PROTOCOLS: Final = {
    "fgnet-lopo": Protocol("fgnet", leave_out=True),
    "utkface-21-60": Protocol("utkface", lists_option="lists"),
    # The official `val` is what is reported, so weights are chosen on what the reader sets aside of `train`.
    "all-age-faces": Protocol(
        "all_age_faces",
        lists=("image sets/train.txt", "image sets/val.txt"),
        renamed=(("val", "test"), ("calib", "val")),
    ),
}
"""Protocols by name; the splits come from each dataset's reader."""


def run_protocol(
    name: str,
    root: Path,
    run_dir: Path,
    recipe: Recipe,
    *,
    options: Sequence[str] = (),
    max_minutes: float | None = None,
    workers: int | None = None,
) -> Path:
    """Run a protocol on a dataset's folder or archive; return `run_dir/result.json`.

    `max_minutes` is the time to train each fold. Raises InvalidParameter for an unknown name, or a recipe or splits
    other than those that the run began with; DatasetError, also where the published lists are missing; PrepareError
    and TrainingError.
    """
    if name not in PROTOCOLS:
        raise InvalidParameter(f"there is no protocol {name!r}; choose one of {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    # Duplicates are kept: published figures count every picture.
    listing = gather(protocol.dataset, root, None, options, "keep", listed=not protocol.leave_out)
    _refuse_without_lists(name, listing, options)
    _refuse_another_recipe(run_dir, recipe)
    crop = CropSpec(size=recipe.size, margin=MARGIN, detector_threshold=CONFIDENCE)
    kept = prepare(listing, run_dir / "store", default_models_dir(), crop, BLEED, workers)
    store = _split_as_listed(FaceStore.open(run_dir / "store"), listing, dict(protocol.renamed))
    folds = people_left_out(store) if protocol.leave_out else {"all": store}
    for fold, faces in folds.items():
        _keep_split(faces, run_dir / fold)
    console = Console(stderr=True)
    for number, (fold, faces) in enumerate(folds.items(), 1):
        if not (run_dir / fold / RESULT).exists():
            console.rule(f"{name}: fold {fold}, {number} of {len(folds)}")
            _run_fold(faces, run_dir / fold, recipe, max_minutes)
    errors = {fold: json.loads((run_dir / fold / RESULT).read_text())["errors"] for fold in folds}
    without = len(listing.samples) - len(kept.samples)
    left_out = {"photographs_without_a_face": without, "photographs_in_no_list": listing.rejected[UNLISTED]}
    found = {"protocol": name, "recipe": recipe.name, **summarised(errors), **left_out}
    _write(run_dir / RESULT, found)
    return run_dir / RESULT


def people_left_out(store: FaceStore) -> dict[str, FaceStore]:
    """Return a store for each person: that person is `test`, the others are `train`, `val` and `calib`."""
    samples = [
        Sample(f"{i}/{row['file']}", int(row["low"]), int(row["high"]), subject=row["subject"])
        for i, row in enumerate(store.rows)
    ]
    folds = {}
    for person in sorted({row["subject"] for row in store.rows}):
        splits = [sample.split or "" for sample in leave_one_out(samples, person)]
        rows = tuple({**row, "split": split} for row, split in zip(store.rows, splits, strict=True))
        folds[person] = replace(store, rows=rows)
    return folds


def summarised(errors: dict[str, list[float]]) -> dict[str, Any]:
    """Return MAE with its 95 % bootstrap interval and CS@5 over all photographs, and the mean MAE of the folds."""
    pooled = np.concatenate([np.asarray(each) for each in errors.values()])
    low, high = bootstrap(pooled)
    return {
        "photographs": len(pooled),
        "folds": len(errors),
        "mae": round(float(pooled.mean()), 4),
        "mae_low": round(low, 4),
        "mae_high": round(high, 4),
        "cs5": round(cumulative_score(pooled, 5), 4),
        "mae_mean_of_folds": round(float(np.mean([np.mean(each) for each in errors.values()])), 4),
        "mae_by_fold": {fold: round(float(np.mean(each)), 4) for fold, each in errors.items()},
    }


def _run_fold(store: FaceStore, folder: Path, recipe: Recipe, max_minutes: float | None) -> None:
    train(recipe, [store], folder, resume=(folder / CHECKPOINT).exists(), max_minutes=max_minutes)
    model, _ = trained_model(folder)
    faces = store.select("test")
    scores = score(servable(model).predict_on_batch, faces, recipe.size, recipe.batch_size)
    _write(folder / RESULT, {"files": [row["file"] for row in faces.rows], "errors": scores.errors.tolist()})
    for name in (CHECKPOINT, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def _keep_split(store: FaceStore, folder: Path) -> None:
    """Write a fold's `split.csv`; raise InvalidParameter if there is one that says otherwise."""
    table = io.StringIO()
    rows = [(Path(row["file"]).name, row["low"], row["subject"], row["split"]) for row in store.rows]
    csv.writer(table, lineterminator="\n").writerows([SPLIT_COLUMNS, *rows])
    file = folder / SPLIT
    if file.exists():
        if file.read_text() != table.getvalue():
            raise InvalidParameter(f"{file} is of other splits than those of now; choose another folder with --run")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as partial:
        partial.write_text(table.getvalue())


def _split_as_listed(store: FaceStore, listing: Listing, renamed: Mapping[str, str]) -> FaceStore:
    """Return the store with the listing's splits: the lists may have changed since the store was made."""
    splits = {sample.path: renamed.get(sample.split or "", sample.split or "") for sample in listing.samples}
    return replace(store, rows=tuple({**row, "split": splits[row["file"]]} for row in store.rows))


def _refuse_without_lists(name: str, listing: Listing, options: Sequence[str]) -> None:
    """Raise DatasetError without the published lists: the splits would be drawn at random."""
    protocol = PROTOCOLS[name]
    wanted = protocol.lists_option
    if wanted and not any(option.startswith(f"{wanted}=") for option in options):
        raise DatasetError(f"{name} needs the folder of the published lists: --option {wanted}=FOLDER")
    for each in protocol.lists:
        if not any(f"/{file}".endswith(f"/{each}") for file in listing.source.names):
            raise DatasetError(f"{name} needs the published lists, and {listing.source.root} has no {each}")


def _refuse_another_recipe(run_dir: Path, recipe: Recipe) -> None:
    file = run_dir / "recipe.json"
    if file.exists() and Recipe.from_json(file.read_text()) != recipe:
        raise InvalidParameter(f"{run_dir} was begun with another recipe; choose another folder with --run")
    run_dir.mkdir(parents=True, exist_ok=True)
    recipe.save(run_dir)


def _write(path: Path, tree: dict[str, Any]) -> None:
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(tree, indent=1) + "\n")
