"""Subcommands of `agelens-train` from trained weights to a signed-off model; they parse, other modules do."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from training.cli.exit_on_error import exit_on_error

Stores = Annotated[list[Path], typer.Option("--store", "--stores", help="a folder that `prepare` wrote; repeat")]
Out = Annotated[Path, typer.Option("--out", help="the models folder, with its models.lock.json")]
Name = Annotated[str, typer.Option(help="the model's name in the service: small letters, digits, dashes")]
Version = Annotated[str, typer.Option(help="three numbers, as in 1.0.0")]
Default = Annotated[bool | None, typer.Option(help="let the service load it by default; as before where not given")]

MODELS = Path("models")


class Smaller(StrEnum):
    """What `quantize` can make of a float32 file."""

    int8 = "int8"
    float16 = "float16"


def register(app: typer.Typer) -> None:
    """Add the subcommands to the command line."""
    for name, command in (
        ("export", export_command),
        ("calibrate", calibrate_command),
        ("quantize", quantize_command),
        ("ensemble", ensemble_command),
        ("evaluate", evaluate_command),
        ("report", report_command),
        ("card", card_command),
    ):
        app.command(name)(command)


def export_command(
    run_dir: Annotated[Path, typer.Argument(help="a run's folder with best.weights.h5")],
    name: Name,
    version: Version,
    stores: Stores,
    out: Out = MODELS,
    licence: Annotated[str | None, typer.Option(help="terms of the model; default: research use only")] = None,
    default: Default = None,
    flip: Annotated[bool, typer.Option(help="average over a face and its mirror image, at twice the cost")] = False,
) -> None:
    """Export a run's best weights as an ONNX file: equal to Keras, calibrated, locked."""
    from training.export.convert import LICENCE, export

    with exit_on_error():
        typer.echo(export(run_dir, out, name, version, stores, licence=licence or LICENCE, default=default, flip=flip))


def calibrate_command(
    model: Annotated[Path, typer.Argument(help="an exported file")],
    stores: Stores,
) -> None:
    """Fit correction and intervals of an exported file anew, for instance on faces of one's own."""
    from training.export.release import recalibrate

    with exit_on_error():
        typer.echo(recalibrate(model, stores))


def quantize_command(
    model: Annotated[Path, typer.Argument(help="an exported float32 file")],
    stores: Stores,
    precision: Annotated[Smaller, typer.Option(help="int8 is faster too, float16 only smaller")] = Smaller.int8,
    out: Annotated[Path | None, typer.Option(help="another models folder than the file's")] = None,
    name: Annotated[str | None, typer.Option(help="default: the model's name with the precision behind")] = None,
    default: Default = None,
) -> None:
    """Make a smaller file with its own calibration; refused where it costs more than 0.05 years."""
    from training.export.quantize import quantize

    with exit_on_error():
        typer.echo(quantize(model, precision.value, stores, out, name=name, default=default))


def ensemble_command(
    models: Annotated[list[Path], typer.Argument(help="two or more exported files")],
    stores: Stores,
    version: Version,
    name: Name = "ensemble",
    out: Out = MODELS,
    default: Default = None,
) -> None:
    """Join models into one file that answers with the mean of their distributions."""
    from training.export.ensemble import ensemble

    with exit_on_error():
        typer.echo(ensemble(models, out, name, version, stores, default=default))


def evaluate_command(
    dataset: Annotated[list[str], typer.Option(help="name=path of original photographs; repeat for several")],
    out: Annotated[Path, typer.Option(help="a folder for JSON, raw distributions and the page")] = Path(
        "runs/evaluation"
    ),
    index: Annotated[list[str] | None, typer.Option(help="name=path of a dataset's index of splits")] = None,
    split: Annotated[str, typer.Option(help="train, val, calib, test, or all")] = "test",
    model: Annotated[list[str] | None, typer.Option(help="a model's name; default: the lock's defaults")] = None,
    models_dir: Annotated[Path, typer.Option(help="the models folder")] = MODELS,
    limit: Annotated[int | None, typer.Option(help="at most so many photographs of each dataset")] = None,
    robustness: Annotated[int, typer.Option(help="measure so many of each dataset in harder versions too")] = 0,
    workers: Annotated[int | None, typer.Option(help="threads; default: one for each processor")] = None,
) -> None:
    """Measure models on original photographs, as the service sees them: JSON and one page."""
    from training.evaluation.run import measure

    with exit_on_error():
        page = measure(
            dataset,
            index or [],
            model or [],
            models_dir,
            out,
            split=None if split == "all" else split,
            limit=limit,
            robustness_photographs=robustness,
            workers=workers,
        )
        typer.echo(page)


def report_command(
    names: Annotated[list[str], typer.Argument(help="evaluated models, side by side")],
    folder: Annotated[Path, typer.Option(help="where `evaluate` wrote")] = Path("runs/evaluation"),
    out: Annotated[Path, typer.Option(help="the page")] = Path("runs/report.html"),
) -> None:
    """Write one self-contained page of models that were evaluated, maybe one at a time."""
    from training.evaluation.report import report

    with exit_on_error():
        typer.echo(report(folder, names, out))


def card_command(
    model: Annotated[Path, typer.Argument(help="the evaluated file")],
    evaluation: Annotated[Path, typer.Argument(help="the NAME.json that `evaluate` wrote of it")],
    note: Annotated[str | None, typer.Option(help="a closing line, for instance where more figures are")] = None,
    ablation: Annotated[Path | None, typer.Option(help="what `ablate` wrote, for what crosses data sets")] = None,
) -> None:
    """Sign a model off: measured figures into its manifest, its lock entry anew, its card beside it."""
    from training.export.card import sign_off

    with exit_on_error():
        typer.echo(sign_off(model, evaluation, note, ablation))
