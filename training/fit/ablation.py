"""Ablation: short runs that differ from a recipe in one thing, compared by their error on `val`."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from service.errors import AgelensError, InvalidParameter
from training.data.store import FaceSet, FaceStore
from training.fit.validation import Scores, WornFaces, bootstrap, mae_by_source, score, scored
from training.recipes.overrides import overridden
from training.recipes.recipe import Recipe, recipe_named
from training.run_folder import CHECKPOINT, METRICS

ENDED: Final = "ended"
"""A file in the folder of a row's run that has ended: the command."""


@dataclass(frozen=True, slots=True)
class Row:
    """One change to the recipe, as a description and as arguments of `agelens-train train`."""

    name: str
    what: str
    arguments: tuple[str, ...] = ()
    only: str | None = None
    """The one store to learn from."""
    stores: tuple[Path, ...] = ()
    """The same faces cut otherwise, to learn from and to be measured on instead."""

    def changes_nothing(self, recipe: Recipe) -> bool:
        """Say whether the recipe is already as this row would set it."""
        flags, values = self.arguments[::2], self.arguments[1::2]
        return set(flags) == {"--set"} and overridden(recipe, values) == recipe


def _set(*settings: str) -> tuple[str, ...]:
    return tuple(part for setting in settings for part in ("--set", setting))


_NO_DROPOUT: Final = _set("head_options.dropout=0")
"""For a new head, which starts without the recipe's options."""

ROWS: Final = (
    Row("recipe", "the recipe as it is, all data"),
    Row("seed", "another seed: what chance alone changes", ("--seed", "2")),
    Row("third-seed", "a third seed", ("--seed", "3")),
    Row("unmerged", "without IMDB-WIKI's weights in the start", _set("merged_with=null")),
    Row("untaught", "without teachers", _set("teacher=null")),
    Row("unworn", "without simulated wear", _set("augmentation.wear_share=0")),
    Row("as-they-come", "faces drawn as they come, rare ages no more often", _set("sampling=uniform")),
    Row("imagenet", "initial weights from ImageNet", ("--weights", "imagenet")),
    Row("random", "no initial weights", _set("weights=null")),
    Row("resnet29", "dlib's network instead of MobileNet", ("--backbone", "resnet29", "--weights", "dlib")),
    Row("published", "CORAL as published, one width for all faces", _set("head_options.per_picture=false")),
    Row("mean-variance", "Mean-Variance instead of CORAL", ("--head", "mean_variance", *_NO_DROPOUT)),
    Row("soft-labels", "a softmax on soft labels instead of CORAL", ("--head", "dldl", *_NO_DROPOUT)),
    Row("dropout", "a fifth of the features left out at random", _set("head_options.dropout=0.2")),
    Row("clipped", "gradients clipped to a norm of 5", _set("clip_norm=5")),
    Row("ramp", "the mean's error brought in over two epochs", _set("ramp_epochs=2")),
    Row(
        "framing",
        "every face framed exactly as the service frames it",
        _set(
            "augmentation.scale_low=1", "augmentation.scale_high=1", "augmentation.shift=0", "augmentation.chip_share=0"
        ),
    ),
    Row("wider", "faces a tenth further away", _set("augmentation.scale_low=0.82", "augmentation.scale_high=1.0")),
    Row(
        "clean",
        "no blur, low resolution, compression, noise or cover",
        _set(*(f"augmentation.{what}_share=0" for what in ("blur", "low_resolution", "jpeg", "noise", "erase"))),
    ),
    Row("grey", "three faces in ten are grey", _set("augmentation.grey_share=0.3")),
    Row("rare-ages", "rare ages drawn more often", _set("sampling=sqrt_inverse")),
    Row("unmixed", "no faces laid over one another", _set("stages.mixing=0")),
    Row("mixed", "faces laid over one another from the first step", _set("stages.mixing=0.3")),
    Row("no-average", "no average of the weights", _set("ema_decay=0")),
    Row("slow-backbone", "the backbone at a tenth of the head's rate", _set("stages.backbone_rate=0.1")),
)
"""The recipe first; each other row changes one thing of it."""


def rows_for(
    stores: Sequence[FaceStore], others: Mapping[str, Sequence[Path]] | None = None, teacher: str | None = None
) -> tuple[Row, ...]:
    """Return `ROWS`, where there are several stores one more for each alone, and those of other crops and a teacher.

    `others` are stores of the same faces cut otherwise, by what differs. Raises FileMissing where one is no store.
    """
    alone = (Row(f"only-{store.source}", f"{store.source} alone", only=store.source) for store in stores)
    cut = (Row(re.sub(r"\W+", "-", what), what, stores=tuple(paths)) for what, paths in (others or {}).items())
    taught = tuple(
        Row(name, what, ("--teacher", teacher or "", *_set("teacher_weight=0.5", f"teacher_sees={sees}")))
        for name, what, sees in (
            ("taught", "half the label is what a trained network says of the face", "clean"),
            ("taught-batches", "half the label is what it says of the face as it is shown", "batches"),
            ("taught-framed", "half the label is what it says of the face before light and detail change", "framed"),
        )
    )
    return (*ROWS, *(alone if len(stores) > 1 else ()), *cut, *(taught if teacher else ()))


def by_difference(pairs: Sequence[str]) -> dict[str, list[Path]]:
    """Sort WHAT=STORE by what differs, "160 pixels" to its stores; raise InvalidParameter for anything else."""
    others: dict[str, list[Path]] = {}
    for pair in pairs:
        what, found, path = pair.partition("=")
        if not (what and found and path):
            raise InvalidParameter(f"--other takes WHAT=STORE, as '160 pixels=stores/utkface160', got {pair!r}")
        others.setdefault(what, []).append(Path(path))
    return others


def ablate(
    recipe: str,
    stores: Sequence[Path],
    weights: str | None,
    minutes: float,
    folder: Path,
    out: Path,
    names: Sequence[str] = (),
    *,
    others: Mapping[str, Sequence[Path]] | None = None,
    teacher: str | None = None,
    settings: Sequence[str] = (),
) -> None:
    """Run the named rows (all) of a recipe, each `minutes` long in a run of its own below `folder`; write `out`, JSON.

    `settings`, FIELD=VALUE, change the recipe for every row; faces are of the stores' size. Each row is measured on
    `val` of every store, whichever it learned from; a row of `others` on its own stores. A row that ended is not run
    again, one that was cut off goes on; one that would change nothing is left out. Raises InvalidParameter for an
    unknown name and AgelensError where a run fails.
    """
    opened = {path: FaceStore.open(path) for path in stores}
    rows = rows_for(list(opened.values()), others, teacher)
    unknown = set(names) - {row.name for row in rows}
    if unknown:
        raise InvalidParameter(
            f"no row is called {', '.join(sorted(unknown))}; there are {', '.join(r.name for r in rows)}"
        )
    console, named = Console(stderr=True), recipe_named(recipe)
    base = overridden(replace(named, weights=weights or named.weights), settings)
    for row in rows:
        if names and row.name not in names:
            continue
        if row.changes_nothing(base):
            console.print(f"{row.name} is left out: that is how {recipe} is")
            continue
        run = folder / row.name
        if not (run / ENDED).exists():
            console.rule(f"{row.name}: {row.what}")
            learnt = row.stores or [path for path, store in opened.items() if row.only in (None, store.source)]
            _run(row, _arguments(row, recipe, learnt, weights, minutes, settings), run)
        seen = [FaceStore.open(path) for path in row.stores] or list(opened.values())
        found = {"steps": _steps(run), **_scores(run, seen)}
        _note(out, rows, row, {**found, "command": (run / ENDED).read_text().strip()})


def _arguments(
    row: Row, recipe: str, stores: Sequence[Path], weights: str | None, minutes: float, settings: Sequence[str]
) -> list[str]:
    shared = [part for store in stores for part in ("--store", str(store))]
    shared += ["--size", str(FaceStore.open(stores[0]).crop.size), *_set(*settings)]
    initial = () if weights is None or "--weights" in row.arguments else ("--weights", weights)
    return ["train", recipe, *shared, *initial, *row.arguments, "--max-minutes", f"{minutes:g}"]


def _run(row: Row, arguments: Sequence[str], run: Path) -> None:
    begun = (run / CHECKPOINT).exists()
    asked = [*arguments[:2], "--resume"] if begun else arguments
    command = [sys.executable, "-m", "training.cli.main", *asked, "--run", str(run)]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - this program, and the caller's own words
        raise AgelensError(
            f"the row {row.name} failed; fix the cause and start again; delete {run} first if it has no checkpoint"
        )
    (run / ENDED).write_text(" ".join(["agelens-train", *arguments]) + "\n")


def _steps(run: Path) -> int:
    with (run / METRICS).open(newline="") as stream:
        return max(int(line["step"]) for line in csv.DictReader(stream))


def _scores(run: Path, stores: Sequence[FaceStore]) -> dict[str, Any]:
    """Return a run's mean error on `val` in years: pooled, of the faces worn, by source, with each mirror image."""
    from training.model.age_model import servable
    from training.model.initialise import trained_model

    model, recipe = trained_model(run)
    faces, served = FaceSet.joined([store.select("val") for store in stores]), servable(model)
    plain, shabby = (
        score(served.predict_on_batch, seen, recipe.size, recipe.batch_size) for seen in (faces, WornFaces(faces.parts))
    )
    turned = score(lambda seen: served.predict_on_batch(seen[:, :, ::-1]), faces, recipe.size, recipe.batch_size)
    mirrored = scored((plain.pmf + turned.pmf) / 2, faces)
    by_source = {source: round(error, 3) for source, error in mae_by_source(plain, faces).items()}
    return {
        **_ranged("val_mae", plain),
        **_ranged("worn_mae", shabby),
        "by_source": by_source,
        "val_mae_mirrored": round(mirrored.mae, 3),
    }


def _ranged(name: str, scores: Scores) -> dict[str, float]:
    """Return the mean error and its 95 % bootstrap range over the faces."""
    low, high = bootstrap(scores.errors)
    return {name: round(scores.mae, 3), f"{name}_low": round(low, 3), f"{name}_high": round(high, 3)}


def _note(out: Path, order: Sequence[Row], row: Row, found: Mapping[str, Any]) -> None:
    """Put a row into the file, in the order of the rows."""
    rows = {each["name"]: each for each in json.loads(out.read_text())} if out.exists() else {}
    rows[row.name] = {"name": row.name, "what": row.what, **found}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([rows[each.name] for each in order if each.name in rows], indent=1) + "\n")
