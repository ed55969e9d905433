"""Ablation: short runs that differ from a recipe in one thing, compared on `val`."""

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
from service.inference.distribution import Floats
from training.ablation.comparison import digest, distributions_of, figures, per_face_figures, sources_of
from training.data.store import FaceSet, FaceStore
from training.fit.launch import changed
from training.recipes.overrides import overridden
from training.recipes.recipe import Recipe, recipe_named
from training.run_folder import CHECKPOINT, METRICS
from training.teaching.agreement import Agreement, keeps_imdb_wiki

RECIPE: Final = "recipe"
"""The row that changes nothing, which the others are compared with."""

BEGUN: Final = "begun"
"""A file in the folder of a row's run, written before it starts: the command."""

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
        pairs = list(zip(self.arguments[::2], self.arguments[1::2], strict=True))
        changes = {flag.removeprefix("--"): value for flag, value in pairs if flag != "--set"}
        if changes.get("head") == recipe.head:  # options are those of a head that is new to the recipe
            return True
        set_to = [value for flag, value in pairs if flag == "--set"]
        return bool(pairs) and overridden(changed(recipe, changes), set_to) == recipe


def _set(*settings: str) -> tuple[str, ...]:
    return tuple(part for setting in settings for part in ("--set", setting))


_NO_DROPOUT: Final = _set("head_options.dropout=0")
"""For a new head, which starts without the recipe's options."""

ROWS: Final = (
    Row(RECIPE, "the recipe as it is, all data"),
    Row(
        "vggface2", "initial weights from VGGFace2, which taught no ages", _set("weights=vggface2", "merged_with=null")
    ),
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
    sources = dict.fromkeys(store.source for store in stores)
    alone = (Row(f"only-{source}", f"{source} alone", only=source) for source in sources)
    cut = (Row(re.sub(r"\W+", "-", what), what, stores=tuple(paths)) for what, paths in (others or {}).items())
    taught = tuple(
        Row(name, what, ("--teacher", teacher or "", *_set("teacher_weight=0.5", f"teacher_sees={sees}")))
        for name, what, sees in (
            ("taught", "half the label is what a trained network says of the face", "clean"),
            ("taught-batches", "half the label is what it says of the face as it is shown", "batches"),
            ("taught-framed", "half the label is what it says of the face before light and detail change", "framed"),
        )
    )
    return (*ROWS, *(alone if len(sources) > 1 else ()), *cut, *(taught if teacher else ()))


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
    seeds: int = 1,
) -> None:
    """Run the named rows (all) of a recipe, each `minutes` long in runs of its own below `folder`; write `out`, JSON.

    `settings`, FIELD=VALUE, change the recipe for every row; faces are of the stores' size. Each row is trained with
    `seeds` seeds, from the recipe's own on, and measured on `val` of every store, whichever it learned from (a row of
    `others` on its own stores). Rows on the same faces are compared with the recipe's row, where its trainings have
    ended. A training that ended is not run again, one that was cut off goes on; a row that would change nothing is left
    out. Raises InvalidParameter for an unknown name, or where `out` holds something else or rows of other terms,
    and AgelensError where a run fails, or a folder holds a training by another command.
    """
    terms = {
        "recipe": recipe,
        "stores": [str(path.resolve()) for path in stores],
        "teacher": teacher,
        "weights": weights,
        "minutes": minutes,
        "settings": list(settings),
        "seeds": seeds,
    }
    _table(out, terms)
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
        learnt = row.stores or [path for path, store in opened.items() if row.only in (None, store.source)]
        arguments = _arguments(row, recipe, learnt, weights, minutes, settings)
        runs = _runs(folder, row.name, base.seed, seeds)
        for seed, run in enumerate(runs, base.seed):
            asked = [*arguments, *_set(f"seed={seed}")]
            _refuse_another(run, _command(asked))
            if not (run / ENDED).exists():
                console.rule(f"{row.name}, seed {seed}: {row.what}")
                _run(row, asked, run)
        seen = [FaceStore.open(path) for path in row.stores] or list(opened.values())
        faces = FaceSet.joined([store.select("val") for store in seen])
        as_it_is = _runs(folder, RECIPE, base.seed, seeds)
        compared = row.name != RECIPE and not row.stores and all((run / ENDED).exists() for run in as_it_is)
        of_row, of_recipe = (_values(each, faces, base, folder) for each in (runs, as_it_is if compared else ()))
        found = {
            "terms": terms,
            "steps": min(map(_steps, runs)),
            "sources": sources_of(faces),
            "figures": figures(of_row, of_recipe),
            "commands": [(run / ENDED).read_text().strip() for run in runs],
        }
        _note(out, rows, row, found)


def _runs(folder: Path, row: str, seed: int, seeds: int) -> list[Path]:
    return [folder / f"{row}-{each}" for each in range(seed, seed + seeds)]


def _arguments(
    row: Row, recipe: str, stores: Sequence[Path], weights: str | None, minutes: float, settings: Sequence[str]
) -> list[str]:
    shared = [part for store in stores for part in ("--store", str(store))]
    shared += ["--size", str(FaceStore.open(stores[0]).crop.size), *_set(*settings)]
    initial = () if weights is None or "--weights" in row.arguments else ("--weights", weights)
    return ["train", recipe, *shared, *initial, *row.arguments, "--max-minutes", f"{minutes:g}"]


def _refuse_another(run: Path, command: str) -> None:
    """Raise AgelensError where a folder holds a training by another command, which ended or can go on."""
    name = ENDED if (run / ENDED).exists() else BEGUN
    if name == BEGUN and not (run / CHECKPOINT).exists():
        return
    before = (run / name).read_text() if (run / name).exists() else f"which is not known, as {run / name} is missing"
    if before != command:
        raise AgelensError(
            f"{run} was trained by another command, {before.strip()}; name another folder with --runs, or delete this "
            "one"
        )


def _run(row: Row, arguments: Sequence[str], run: Path) -> None:
    asked = arguments
    if (run / CHECKPOINT).exists():
        asked = [*arguments[:2], "--resume"]
    else:
        run.mkdir(parents=True, exist_ok=True)
        (run / BEGUN).write_text(_command(arguments))
    command = [sys.executable, "-m", "training.cli.main", *asked, "--run", str(run)]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - this program, and the caller's own words
        raise AgelensError(
            f"the row {row.name} failed; fix the cause and start again; delete {run} first if it has no checkpoint"
        )
    (run / ENDED).write_text(_command(arguments))


def _command(arguments: Sequence[str]) -> str:
    return " ".join(["agelens-train", *arguments]) + "\n"


def _steps(run: Path) -> int:
    with (run / METRICS).open(newline="") as stream:
        return max(int(line["step"]) for line in csv.DictReader(stream))


def _values(runs: Sequence[Path], faces: FaceSet, recipe: Recipe, folder: Path) -> dict[str, Floats]:
    """Return what the figures of some trainings of one row are the means of; nothing where there are no trainings."""
    if not runs:
        return {}
    teacher = None
    if keeps_imdb_wiki(recipe):
        size = faces.parts[0][0].crop.size
        teacher = Agreement.with_imdb_wiki(faces, size, folder / f"imdbwiki-{digest(faces)}.npy")
    return per_face_figures([distributions_of(run, faces) for run in runs], faces, teacher)


def _table(out: Path, terms: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rows of a table that `ablate` wrote with these terms, by name; raise InvalidParameter otherwise."""
    remedy = "name another file with --out, or delete it"
    if not out.exists():
        return {}
    try:
        rows = {row["name"]: row for row in json.loads(out.read_text())}
        others = {
            name: row["terms"][name] for row in rows.values() for name in terms if row["terms"][name] != terms[name]
        }
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidParameter(f"{out} is not a table that this version of `ablate` wrote; {remedy}") from error
    for name, value in others.items():
        raise InvalidParameter(f"{out} has rows with {name} {value}, not {terms[name]}; {remedy}")
    return rows


def _note(out: Path, order: Sequence[Row], row: Row, found: Mapping[str, Any]) -> None:
    """Put a row into the file, in the order of the rows."""
    rows = _table(out, found["terms"])
    rows[row.name] = {"name": row.name, "what": row.what, **found}
    known = [each.name for each in order]
    names = [*(name for name in known if name in rows), *(name for name in rows if name not in known)]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([rows[name] for name in names], indent=1) + "\n")
