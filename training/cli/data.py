"""Subcommands of `agelens-train` for datasets and stores of cropped faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.cli.exit_on_error import MORE, exit_on_error
from training.cli.release import MODELS, Duplicates, Option
from training.data import BLEED, MARGIN

Dataset = Annotated[str, typer.Argument(help="adience, all_age_faces, appa_real, fgnet, imdb_wiki, own or utkface")]
Root = Annotated[Path, typer.Argument(help="folder or archive, as published")]
Index = Annotated[Path | None, typer.Option(help="CSV of file, group, split that replaces the dataset's own")]


def register(app: typer.Typer) -> None:
    """Add the subcommands to the command line."""
    app.command("datasets")(datasets_command)
    app.command("prepare")(prepare_command)
    app.command("face-proposals", rich_help_panel=MORE)(face_proposals_command)


def datasets_command(
    dataset: Dataset, root: Root, index: Index = None, option: Option = None, duplicates: Duplicates = "group"
) -> None:
    """Count a dataset's faces by split, age, sex and race, and its rejected files by reason."""
    from training.data.gather import gather, show

    with exit_on_error():
        show(gather(dataset, root, index, option or (), duplicates))


def prepare_command(
    dataset: Dataset,
    root: Root,
    out: Annotated[Path, typer.Option(help="folder of the store")],
    index: Index = None,
    option: Option = None,
    duplicates: Duplicates = "group",
    size: Annotated[int, typer.Option(help="width and height of the face crop, in pixels")] = 160,
    margin: Annotated[float, typer.Option(help="margin around the face's box, in box widths")] = MARGIN,
    bleed: Annotated[int, typer.Option(help="pixels kept around the crop, for augmentation")] = BLEED,
    workers: Annotated[int | None, typer.Option(help="worker processes; default: one for each core")] = None,
) -> None:
    """Detect and crop every face with the service's own code, into a store; run again to resume."""
    from service.inference.detection.detector import CONFIDENCE
    from service.inference.lockfile import default_models_dir
    from service.inference.manifest import CropSpec
    from training.data.gather import gather, show
    from training.data.prepare import prepare

    with exit_on_error():
        crop = CropSpec(size=size, margin=margin, detector_threshold=CONFIDENCE)
        listing = gather(dataset, root, index, option or (), duplicates)
        kept = prepare(listing, out, default_models_dir(), crop, bleed, workers)
        show(kept)
    typer.echo(f"{len(kept.samples)} faces in {out}")


def face_proposals_command(
    store: Annotated[list[Path], typer.Option(help="store written by `prepare`; repeat for several")],
    photos: Annotated[list[Path], typer.Option(help="folder that `prepare` read, one for each store")],
    out: Annotated[Path, typer.Option(help="models folder with its models.lock.json")] = MODELS,
    run_dir: Annotated[Path, typer.Option("--run", help="folder for scenes and weights")] = Path("runs/face-proposals"),
    minutes: Annotated[
        float, typer.Option(min=0, help="training time in minutes; 0 only measures the existing file")
    ] = 25,
    scenes: Annotated[int, typer.Option(min=32, help="number of training scenes")] = 24_000,
    count: Annotated[int, typer.Option(min=1, help="number of scenes for the measurement")] = 400,
    start_from: Annotated[Path | None, typer.Option(help="weights of an earlier run to start from")] = None,
    public: Annotated[
        Path | None, typer.Option(help="folder of portraits; also measure on contact sheets made of them")
    ] = None,
    seed: Annotated[int, typer.Option(help="random seed")] = 0,
) -> None:
    """Train the network that proposes faces, measure the detector with it, and write its card."""
    from training.face_proposals.make import make_proposals
    from training.face_proposals.report import card_proposals

    with exit_on_error():
        if minutes:
            make_proposals(store, photos, out, run_dir, minutes, scenes, seed, start_from)
        others = sorted(public.iterdir()) if public else []
        typer.echo(f"{card_proposals(store, photos, out, count, others)} is written")
