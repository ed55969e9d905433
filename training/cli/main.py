"""The command `agelens-train`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

from service.errors import InvalidParameter
from service.usage import OneLineUsage
from training.cli import data as data_commands
from training.cli import release as release_commands
from training.cli.exit_on_error import MORE, exit_on_error, warn
from training.cli.native_notes import import_tensorflow
from training.run_folder import BEST, CHECKPOINT, METRICS, RUN_FILE, TENSORBOARD

app = typer.Typer(
    name="agelens-train", cls=OneLineUsage, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
data_commands.register(app)


@app.callback()
def about() -> None:
    """Train an age model: prepare faces, train, export, evaluate, quantise."""


@app.command("synthetic", rich_help_panel=MORE)
def synthetic_command(
    out: Annotated[Path, typer.Argument(help="folder of the store")],
    count: Annotated[int, typer.Option(min=20, help="number of faces")] = 1200,
    size: Annotated[int, typer.Option(min=32, help="width and height of the face crop, in pixels")] = 48,
    seed: Annotated[int, typer.Option(help="random seed")] = 0,
) -> None:
    """Draw artificial faces that show their age, as a store to try training on."""
    from training.data.synthetic import synthetic_store

    synthetic_store(out, count, size=size, seed=seed)


@app.command("train")
def train_command(
    recipe: Annotated[str, typer.Argument(help="name of a recipe")],
    store: Annotated[list[Path] | None, typer.Option(help="store written by `prepare`; repeat for several")] = None,
    run_dir: Annotated[Path | None, typer.Option("--run", help="folder of the run; default: runs/RECIPE")] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="initial weights: a name, an .npz file, the folder of a run, or an .onnx file (FILE.onnx:1 is the "
            "second network of an ensemble)"
        ),
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="backbone, instead of the recipe's")] = None,
    head: Annotated[str | None, typer.Option(help="head, instead of the recipe's")] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="distil from: an .onnx file, the folder of a run, BACKBONE:WEIGHTS, or itself, as it begins"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="random seed, instead of the recipe's")] = None,
    size: Annotated[
        int | None,
        typer.Option(help="width and height of the faces, in pixels; the stores must have been prepared with it"),
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="fit the learning-rate schedule to this many minutes")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="number of epochs of the last stage")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="set a field of the recipe, FIELD=VALUE; also augmentation.X, stages.X; repeat"),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            help="train this recipe at the same time, each network taught by what all of them say; its weights go to "
            "RUN/NAME; --set and --size hold for all, the other options for the first recipe; repeat for several"
        ),
    ] = None,
    wandb: Annotated[bool, typer.Option(help="also track with Weights & Biases")] = False,
    data_parallel: Annotated[bool, typer.Option(help="split each batch over all devices (JAX only)")] = False,
    resume: Annotated[
        bool,
        typer.Option(help="resume the run from its last checkpoint, as it began; --max-minutes may change its time"),
    ] = False,
) -> None:
    """Train a recipe on prepared faces, or resume an interrupted run."""
    import_tensorflow()
    from training.fit.launch import launch, relaunch, use_all_devices

    with exit_on_error():
        if data_parallel:
            use_all_devices()
        changes = {
            "weights": weights,
            "backbone": backbone,
            "head": head,
            "teacher": teacher,
            "seed": seed,
            "size": size,
            "epochs": epochs,
        }
        folder = run_dir or Path("runs") / recipe
        if resume:
            _refuse_changes({**changes, "store": store, "set": settings, "wandb": wandb or None, "beside": beside})
            result = relaunch(folder, max_minutes)
        else:
            if not store:
                raise InvalidParameter("name the faces to train on with --store, a folder that `prepare` wrote")
            with _no_run_left(folder):
                result = launch(
                    recipe, store, folder, max_minutes, changes, settings or (), wandb=wandb, beside=beside or ()
                )
    before = f" ({result.start_mae:.3f} before training)" if isfinite(result.start_mae) else ""
    together = f", the mean of {len(result.each)} networks," if result.each else ""
    typer.echo(
        f"val_mae {result.val_mae:.3f} years{together} on {result.val_faces} faces after epoch {result.epoch + 1}"
        f"{before}; weights in {result.run_dir}"
    )
    for name, mae in result.each:
        typer.echo(f"  {name}: val_mae {mae:.3f} years")
    if result.warning:
        warn(result.warning)


@contextmanager
def _no_run_left(folder: Path) -> Iterator[None]:
    """Where training ends before there is anything to resume, leave no run that the next one is refused for."""
    held = (folder / RUN_FILE).exists()
    try:
        yield
    except BaseException:
        if not held and not any((folder / name).exists() for name in (CHECKPOINT, BEST)):
            for file in (*folder.glob(f"*/{RUN_FILE}"), folder / RUN_FILE, folder / METRICS):
                file.unlink(missing_ok=True)
            shutil.rmtree(folder / TENSORBOARD, ignore_errors=True)
        raise


def _refuse_changes(given: Mapping[str, object]) -> None:
    """Raise InvalidParameter naming the options that a resumed run does not take."""
    named = ", ".join(f"--{name}" for name, value in given.items() if value is not None)
    if named:
        raise InvalidParameter(
            f"--resume goes on with the recipe and stores that the run began with, so it takes no {named}; leave them "
            "out, or start another run with --run. --max-minutes may change"
        )


@app.command("ablate", rich_help_panel=MORE)
def ablate_command(
    recipe: Annotated[str, typer.Argument(help="recipe to change in one thing at a time")],
    store: Annotated[list[Path], typer.Option(help="store written by `prepare`; repeat for several")],
    weights: Annotated[str | None, typer.Option(help="initial weights, where a row does not set them")] = None,
    minutes: Annotated[float, typer.Option(help="longest time of each training, in minutes")] = 10,
    folder: Annotated[Path, typer.Option("--runs", help="folder of the runs")] = Path("runs/ablation"),
    out: Annotated[Path, typer.Option(help="JSON file of the table")] = Path("runs/ablation.json"),
    row: Annotated[list[str] | None, typer.Option(help="run only this row; repeat for several")] = None,
    other: Annotated[
        list[str] | None,
        typer.Option(help="WHAT=STORE adds a row trained on the same faces cropped differently; repeat for each store"),
    ] = None,
    teacher: Annotated[str | None, typer.Option(help="trained network; adds rows that distil from it")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="set a field of the recipe for every row, FIELD=VALUE; repeat")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="trainings of each row, that differ in their seed")] = 1,
) -> None:
    """Train a recipe with each of several changes, and compare errors, bias and coverage on `val` (ablation)."""
    import_tensorflow()
    from training.ablation.ablate import ablate, by_difference

    with exit_on_error():
        others = by_difference(other or ())
        ablate(
            recipe, store, weights, minutes, folder, out, row or (),
            others=others, teacher=teacher, settings=settings or (), seeds=seeds,
        )  # fmt: skip


@app.command("merge", rich_help_panel=MORE)
def merge_command(
    run_dir: Annotated[Path, typer.Argument(help="folder of a run")],
    other: Annotated[Path, typer.Argument(help="folder of another run that began from the same weights")],
    out: Annotated[Path, typer.Option("--run", help="folder to write")],
    share: Annotated[float, typer.Option(min=0, max=1, help="share of the other run's weights")] = 0.5,
) -> None:
    """Average the weights of two runs that began with the same weights, into one network as fast as either."""
    import_tensorflow()
    from training.model.initialise import merged_run

    with exit_on_error():
        merged_run(run_dir, other, share, out)
    typer.echo(out)


@app.command("gate", rich_help_panel=MORE)
def gate_command(
    run_dir: Annotated[Path, typer.Argument(help="folder of a run with a softmax and an IMDB-WIKI head")],
    store: Annotated[list[Path], typer.Option(help="store written by `prepare`; repeat for several")],
    out: Annotated[Path | None, typer.Option("--run", help="folder to write; default: RUN-gated")] = None,
) -> None:
    """Fit the gate between a run's two heads on `val`, clean and worn; write a run to export."""
    import_tensorflow()
    from training.export.gate import gated

    with exit_on_error():
        folder = out or run_dir.with_name(run_dir.name + "-gated")
        gate = gated(run_dir, store, folder)
    typer.echo(f"CRPS of faces left out {gate.loss:.3f} years (restraint {gate.restraint:g}); weights in {folder}")


release_commands.register(app)


@app.command("weights", rich_help_panel=MORE)
def weights_command(
    name: Annotated[str, typer.Argument(help="dlib, vggface2, imdbwiki or imagenet")],
    folder: Annotated[Path | None, typer.Option(help="target folder; default: AGELENS_WEIGHTS_DIR, or weights")] = None,
) -> None:
    """Download public pretrained weights, check their sha256 and convert them."""
    from training.weights.fetch import fetch_weights

    with exit_on_error():
        path = fetch_weights(name, folder)
    typer.echo(f"{path} is ready")


if __name__ == "__main__":
    app()
