"""Subcommands of `agelens-train` for exporting, calibrating and evaluating models."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from service.inference.manifest import Exposure
from training.cli.exit_on_error import MORE, exit_on_error, warn
from training.cli.native_notes import import_tensorflow

Stores = Annotated[
    list[Path], typer.Option("--store", "--stores", help="store written by `prepare`; repeat for several")
]
Out = Annotated[Path, typer.Option("--out", help="models folder with its models.lock.json")]
Name = Annotated[str, typer.Option(help="name of the model in the service: lower-case letters, digits, dashes")]
Version = Annotated[str, typer.Option(help="version, three numbers as in 1.0.0")]
Default = Annotated[bool | None, typer.Option(help="load it by default; if not given, the lock's entry stays as it is")]

Balance = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="mix of ages that probabilities hold for: 0 that of `calib`, 1 with ages below 27 as common as "
        "27; default: the file's own, or 0",
    ),
]

Smooth = Annotated[float, typer.Option(min=0, max=5, help="smooth the distributions by a Gaussian of so many years")]

Option = Annotated[list[str] | None, typer.Option(help="option of the dataset's reader, KEY=VALUE; repeat")]
Duplicates = Annotated[
    Literal["keep", "group", "drop"], typer.Option(help="keep near-duplicates, keep them in one split, or drop them")
]

MODELS = Path("models")


class Smaller(StrEnum):
    """Precisions that `quantize` writes."""

    int8 = "int8"
    float16 = "float16"


def register(app: typer.Typer) -> None:
    """Add the subcommands to the command line."""
    for name, command, heading in (
        ("export", export_command, None),
        ("evaluate", evaluate_command, None),
        ("card", card_command, None),
        ("set-default", set_default_command, None),
        ("calibrate", calibrate_command, MORE),
        ("quantize", quantize_command, MORE),
        ("ensemble", ensemble_command, MORE),
        ("report", report_command, MORE),
        ("agreement", agreement_command, MORE),
        ("protocol", protocol_command, MORE),
    ):
        app.command(name, rich_help_panel=heading)(command)


def export_command(
    run_dir: Annotated[Path, typer.Argument(help="folder of a run")],
    name: Name,
    version: Version,
    stores: Stores,
    out: Out = MODELS,
    licence: Annotated[
        str | None,
        typer.Option(
            help="terms of your own data, instead of research use only; those of the data behind the initial weights "
            "and the teacher are added"
        ),
    ] = None,
    default: Default = None,
    flip: Annotated[bool, typer.Option(help="average over the face and its mirror image, at twice the cost")] = False,
    balance: Balance = None,
    head: Annotated[
        str | None, typer.Option(help="family whose head is served, if it was trained beside the run's own")
    ] = None,
    smooth: Smooth = 0.0,
    exposure: Annotated[
        Exposure, typer.Option(help="stretched: spread each face's shades before the network sees it; or as-is")
    ] = "stretched",
) -> None:
    """Export a run's best weights as an ONNX file, checked against Keras, calibrated and locked."""
    import_tensorflow()
    from training.export.convert import LICENCE, export

    with exit_on_error():
        path = export(
            run_dir, out, name, version, stores,
            licence=licence or LICENCE, default=default, flip=flip, balance=balance, exposure=exposure, head=head,
            smooth_years=smooth,
        )  # fmt: skip
        typer.echo(path)
        _warn_of_few(stores)


def _warn_of_few(stores: list[Path]) -> None:
    """Say where there are too few `calib` faces for an interval of 95 % to have a bound."""
    from training.data.store import FaceStore
    from training.datasets.summary import FEWEST_TO_CALIBRATE

    faces = sum(len(FaceStore.open(path).select("calib")) for path in stores)
    if faces < FEWEST_TO_CALIBRATE:
        warn(
            f"probabilities and intervals are fitted to {faces} `calib` faces, and a 95 % interval takes "
            f"{FEWEST_TO_CALIBRATE} or more; give more faces the split calib, and calibrate again"
        )


def calibrate_command(
    model: Annotated[Path, typer.Argument(help="exported .onnx file")],
    stores: Stores,
    balance: Balance = None,
    unlabelled: Annotated[
        Path | None, typer.Option(help="folder or archive of photographs: calibrate for their mix of ages instead")
    ] = None,
    version: Annotated[str | None, typer.Option(help="the file's new version; default: the one it has")] = None,
) -> None:
    """Calibrate an exported file again, for instance on your own faces."""
    from service.errors import InvalidParameter
    from service.inference.age_mix import described
    from training.export.release import recalibrate, recalibrate_for
    from training.export.unlabelled import faces_in
    from training.onnx_manifest import manifest_of, model_in

    with exit_on_error():
        if unlabelled is not None and balance is not None:
            raise InvalidParameter("--balance and --unlabelled each say which mix of ages to take; give one of them")
        if unlabelled is None:
            kept = list[str]()
            typer.echo(recalibrate(model, stores, balance, version, kept.append))
            for reason in kept:
                warn(reason)
            if not kept:
                _warn_of_few(stores)
            return
        crop = manifest_of(model_in(model), model.name).crop
        found = recalibrate_for(model, stores, faces_in(unlabelled, crop), version, warn)
        typer.echo(f"{described(found)}; {model}")
        if not manifest_of(model_in(model), model.name).intervals:
            warn(
                "too few `calib` faces have ages like those photographs, so the file has no calibrated intervals: the "
                "service gives the distribution's own, which on worn photographs contain the true age less often than "
                "they say; add `calib` faces of such ages"
            )


def quantize_command(
    model: Annotated[Path, typer.Argument(help="exported float32 .onnx file")],
    stores: Stores,
    precision: Annotated[Smaller, typer.Option(help="int8 is smaller and faster, float16 only smaller")] = Smaller.int8,
    out: Annotated[Path | None, typer.Option(help="models folder; default: the file's own")] = None,
    name: Annotated[str | None, typer.Option(help="name of the new model; default: NAME-PRECISION")] = None,
    default: Default = None,
) -> None:
    """Quantise a model and calibrate it again; refused if the error on `val` rises by more than 0.05 years."""
    from training.export.quantize import quantize

    with exit_on_error():
        typer.echo(quantize(model, precision.value, stores, out, name=name, default=default))


def ensemble_command(
    models: Annotated[list[Path], typer.Argument(help="two or more exported .onnx files")],
    stores: Stores,
    version: Version,
    name: Name = "ensemble",
    out: Out = MODELS,
    default: Default = None,
    gate: Annotated[
        bool, typer.Option(help="mix the models by a gate that reads the face, fitted on val, instead of their mean")
    ] = False,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            help="with --gate: store of faces without ages, where the mixture is to answer as the IMDB-WIKI network"
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="with --gate: leave a head out, FILE:PLACE, as dldl-imdbwiki-int8:1; of a network with two, 0 is its "
            "softmax and 1 its IMDB-WIKI head; repeat for several"
        ),
    ] = None,
    balance: Balance = None,
    smooth: Smooth = 0.0,
) -> None:
    """Join models into one file that returns the mean of their distributions or, with --gate, a learnt mixture."""
    if unlabelled:
        import_tensorflow()
    from training.export.ensemble import ensemble

    with exit_on_error():
        path = ensemble(
            models, out, name, version, stores, default=default, gated=gate, unlabelled=unlabelled,
            without=without or (), balance=balance, smooth_years=smooth,
        )  # fmt: skip
        typer.echo(path)


def evaluate_command(
    dataset: Annotated[list[str], typer.Option(help="NAME=PATH of original photographs; repeat for several")],
    out: Annotated[Path, typer.Option(help="folder for JSON, raw distributions and the HTML report")] = Path(
        "runs/evaluation"
    ),
    index: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH of a CSV with the dataset's splits; repeat for several")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="option as given to `prepare`, KEY=VALUE, or NAME=KEY=VALUE for one dataset; repeat"),
    ] = None,
    duplicates: Duplicates = "group",
    split: Annotated[str, typer.Option(help="train, val, calib, test, or all")] = "test",
    model: Annotated[
        list[str] | None, typer.Option(help="name of a model; repeat for several; default: those the service loads")
    ] = None,
    models_dir: Annotated[Path, typer.Option(help="models folder")] = MODELS,
    limit: Annotated[int | None, typer.Option(help="use at most this many photographs of each dataset")] = None,
    robustness: Annotated[
        int, typer.Option(help="also measure degraded versions of this many photographs of each dataset")
    ] = 0,
    workers: Annotated[int | None, typer.Option(help="worker threads; default: one for each core")] = None,
) -> None:
    """Measure models on original photographs, through the service's pipeline; write JSON and an HTML report."""
    from training.evaluation.run import measure

    with exit_on_error():
        page = measure(
            dataset,
            index or [],
            model or [],
            models_dir,
            out,
            options=option or (),
            duplicates=duplicates,
            split=None if split == "all" else split,
            limit=limit,
            robustness_photographs=robustness,
            workers=workers,
        )
        typer.echo(page)


def report_command(
    names: Annotated[list[str], typer.Argument(help="names of evaluated models")],
    folder: Annotated[Path, typer.Option(help="folder that `evaluate` wrote")] = Path("runs/evaluation"),
    out: Annotated[Path, typer.Option(help="HTML file")] = Path("runs/report.html"),
) -> None:
    """Write one HTML report that compares evaluated models."""
    from training.evaluation.report import report

    with exit_on_error():
        typer.echo(report(folder, names, out))


def agreement_command(
    models: Annotated[list[Path], typer.Argument(help="exported .onnx files")],
    stores: Stores,
    split: Annotated[
        list[str] | None, typer.Option(help="train, val, calib or test; repeat for several; default: those with faces")
    ] = None,
) -> None:
    """Compare models with the IMDB-WIKI network on faces without ages, for instance portraits."""
    import_tensorflow()
    from training.evaluation.unlabelled import on_unlabelled

    with exit_on_error():
        for line in on_unlabelled(models, stores, split or ()):
            typer.echo(line)


def protocol_command(
    name: Annotated[str, typer.Argument(help="fgnet-lopo, utkface-21-60 or all-age-faces")],
    root: Annotated[Path, typer.Argument(help="folder or archive of the dataset, as published")],
    recipe: Annotated[str, typer.Option(help="name of a recipe")] = "mean_variance_fgnet_aaf",
    run_dir: Annotated[Path | None, typer.Option("--run", help="folder of the run; default: runs/NAME")] = None,
    option: Option = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="set a field of the recipe, FIELD=VALUE")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="training time of each fold, in minutes")] = None,
    workers: Annotated[int | None, typer.Option(help="worker processes; default: one for each core")] = None,
) -> None:
    """Run a published protocol from a dataset to its figure: prepare, train, measure; run again to resume."""
    import_tensorflow()
    from training.evaluation.protocols import run_protocol
    from training.recipes.overrides import overridden
    from training.recipes.recipe import recipe_named

    with exit_on_error():
        chosen = overridden(recipe_named(recipe), settings or ())
        out = run_dir or Path("runs") / name
        path = run_protocol(name, root, out, chosen, options=option or (), max_minutes=max_minutes, workers=workers)
        typer.echo(f"{path.read_text()}{path}")


def card_command(
    model: Annotated[Path, typer.Argument(help="the evaluated .onnx file")],
    evaluation: Annotated[Path, typer.Argument(help="NAME.json that `evaluate` wrote for it")],
    note: Annotated[
        str | None, typer.Option(help="closing line of the card, for instance a link to more figures")
    ] = None,
    ablation: Annotated[
        Path | None,
        typer.Option(help="JSON that `ablate` wrote; adds its rows of networks trained on one dataset alone"),
    ] = None,
) -> None:
    """Write measured figures into a model's manifest and lock entry, and write its model card."""
    from training.export.card import sign_off

    with exit_on_error():
        typer.echo(sign_off(model, evaluation, note, ablation))


def set_default_command(
    name: Annotated[str, typer.Argument(help="name of a model in the folder")],
    folder: Out = MODELS,
) -> None:
    """Let a model answer the requests that name none; the service then loads it by default."""
    from training.export.lock import set_default

    with exit_on_error():
        set_default(folder, name)
        typer.echo(f"{name} answers requests that name no model, from {folder}")
