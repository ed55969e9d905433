"""Subcommands of `agelens-train` from published files to stores; they parse, other modules do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.cli.exit_on_error import exit_on_error
from training.cli.release import MODELS

Dataset = Annotated[str, typer.Argument(help="adience, all_age_faces, appa_real, fgnet, imdb_wiki, own or utkface")]
Root = Annotated[Path, typer.Argument(help="its folder or archive, as its authors publish it")]
Index = Annotated[Path | None, typer.Option(help="a CSV of file, group, split that overrides the reader's")]
Option = Annotated[list[str] | None, typer.Option(help="an option of the dataset's reader, key=value; repeat")]
Duplicates = Annotated[Literal["keep", "group", "drop"], typer.Option(help="what to do with near-duplicates")]


def register(app: typer.Typer) -> None:
    """Add the subcommands to the command line."""
    app.command("datasets")(datasets_command)
    app.command("prepare")(prepare_command)
    app.command("face-proposals")(face_proposals_command)


def datasets_command(dataset: Dataset, root: Root, index: Index = None, option: Option = None) -> None:
    """Count what a dataset holds, by split, age, sex and race, and what is left out and why."""
    from training.data.gather import gather, show

    with exit_on_error():
        show(gather(dataset, root, index, option or (), "keep"))


def prepare_command(
    dataset: Dataset,
    root: Root,
    out: Annotated[Path, typer.Option(help="the store's folder")],
    index: Index = None,
    option: Option = None,
    duplicates: Duplicates = "group",
    size: Annotated[int, typer.Option(help="pixels a side of the model's crop")] = 160,
    margin: Annotated[float, typer.Option(help="crop beyond the box, in box widths a side")] = 0.04,
    bleed: Annotated[int, typer.Option(help="pixels kept around the crop for augmentation")] = 30,
    workers: Annotated[int | None, typer.Option(help="processes; default: the cores")] = None,
) -> None:
    """Find and cut every face once, as the service does, into a store; goes on where it was interrupted."""
    from service.inference.lockfile import default_models_dir
    from service.inference.manifest import CropSpec
    from training.data.gather import gather, show
    from training.data.prepare import DEFAULT_CROP, prepare

    with exit_on_error():
        crop = CropSpec(size=size, margin=margin, detector_threshold=DEFAULT_CROP.detector_threshold)
        listing = gather(dataset, root, index, option or (), duplicates)
        show(listing)
        reasons = prepare(listing, out, default_models_dir(), crop, bleed, workers)
    typer.echo(f"{reasons.pop('', 0)} faces in {out}; left out: {dict(reasons) or 'none'}")


def face_proposals_command(
    store: Annotated[list[Path], typer.Option(help="a folder that `prepare` wrote; repeat for several")],
    photos: Annotated[list[Path], typer.Option(help="the folder that `prepare` read, one per store")],
    out: Annotated[Path, typer.Option(help="the models folder, with its models.lock.json")] = MODELS,
    run_dir: Annotated[Path, typer.Option("--run", help="where scenes and weights go")] = Path("runs/face-proposals"),
    minutes: Annotated[float, typer.Option(min=0, help="time to train; 0 measures the file that is there")] = 25,
    scenes: Annotated[int, typer.Option(min=32, help="scenes to compose for training")] = 24_000,
    count: Annotated[int, typer.Option(min=1, help="scenes to measure on")] = 400,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Train the network that says where small faces may be, measure it, and write its card."""
    from training.face_proposals.make import make_proposals
    from training.face_proposals.report import card_proposals

    with exit_on_error():
        if minutes:
            make_proposals(store, photos, out, run_dir, minutes, scenes, seed)
        typer.echo(f"{card_proposals(store, photos, out, count)} is written")
