"""The command `agelens-train`: it parses, the modules named after the subcommands do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.cli import data as data_commands
from training.cli import release as release_commands
from training.cli.exit_on_error import exit_on_error

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Make an age model: prepare faces, train, evaluate, export, quantise."""


@app.command("synthetic")
def synthetic_command(
    out: Annotated[Path, typer.Argument(help="the store's folder")],
    count: Annotated[int, typer.Option(min=20, help="faces to draw")] = 1200,
    size: Annotated[int, typer.Option(min=32, help="pixels a side of the crop")] = 48,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Draw faces whose wrinkles and hair tell their age, as a store for the smoke recipe."""
    from training.data.synthetic import synthetic_store

    synthetic_store(out, count, size=size, seed=seed)


@app.command("train")
def train_command(
    recipe: Annotated[str, typer.Argument(help="a recipe's name, or a run's folder with --resume")],
    store: Annotated[list[Path] | None, typer.Option(help="a folder that `prepare` wrote; repeat for several")] = None,
    run_dir: Annotated[Path | None, typer.Option("--run", help="where the run goes; default runs/RECIPE")] = None,
    weights: Annotated[
        str | None, typer.Option(help="initial weights: a name, an .npz file, an exported .onnx, a run's folder")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="another backbone than the recipe's")] = None,
    head: Annotated[str | None, typer.Option(help="another family than the recipe's")] = None,
    teacher: Annotated[
        str | None, typer.Option(help="learn from this too: .onnx, a run's folder, BACKBONE:WEIGHTS")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="another seed than the recipe's")] = None,
    size: Annotated[int | None, typer.Option(help="pixels a side of the faces; the stores must be cut for it")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="fit the schedule to this much time")] = None,
    epochs: Annotated[int | None, typer.Option(help="epochs of the last stage")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE of the recipe, augmentation.X, stages.X; repeat")
    ] = None,
    wandb: Annotated[bool, typer.Option(help="track with Weights & Biases too")] = False,
    data_parallel: Annotated[bool, typer.Option(help="share each batch among all devices (JAX)")] = False,
    resume: Annotated[bool, typer.Option(help="go on from the run's last checkpoint")] = False,
) -> None:
    """Train a recipe on prepared faces, or go on with a run that was cut off."""
    from training.fit.launch import launch, relaunch, use_all_devices

    with exit_on_error():
        if data_parallel:
            use_all_devices()
        if resume:
            result = relaunch(run_dir or Path("runs") / recipe)
        else:
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
            result = launch(recipe, store or [], folder, max_minutes, changes, settings or (), wandb=wandb)
    typer.echo(f"val_mae {result.val_mae:.3f} years after epoch {result.epoch + 1}; weights in {result.run_dir}")


@app.command("ablate")
def ablate_command(
    recipe: Annotated[str, typer.Argument(help="the recipe that every row differs from in one thing")],
    store: Annotated[list[Path], typer.Option(help="a folder that `prepare` wrote; repeat for several")],
    weights: Annotated[str | None, typer.Option(help="initial weights of the rows that say nothing of them")] = None,
    minutes: Annotated[float, typer.Option(help="how long each row trains")] = 10,
    folder: Annotated[Path, typer.Option("--runs", help="where the runs go")] = Path("runs/ablation"),
    out: Annotated[Path, typer.Option(help="the table, as JSON")] = Path("runs/ablation.json"),
    row: Annotated[list[str] | None, typer.Option(help="only this row; repeat for several")] = None,
    other: Annotated[
        list[str] | None, typer.Option(help="WHAT=STORE: a row on the same faces cut otherwise; repeat for each store")
    ] = None,
    teacher: Annotated[str | None, typer.Option(help="a trained network: a row that learns from it too")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE of the recipe, for every row; repeat")
    ] = None,
) -> None:
    """Train a recipe again and again with one thing changed, and note the error on `val` of each."""
    from training.fit.ablation import ablate, by_difference

    with exit_on_error():
        others = by_difference(other or ())
        ablate(
            recipe, store, weights, minutes, folder, out, row or (),
            others=others, teacher=teacher, settings=settings or (),
        )  # fmt: skip


data_commands.register(app)
release_commands.register(app)


@app.command("weights")
def weights_command(
    name: Annotated[str, typer.Argument(help="dlib, vggface2 or imagenet")],
    folder: Annotated[Path | None, typer.Option(help="where to; default AGELENS_WEIGHTS_DIR, or weights")] = None,
) -> None:
    """Fetch public weights from where they are published, check them, and convert them for the recipes."""
    from training.weights.fetch import fetch_weights

    with exit_on_error():
        path = fetch_weights(name, folder)
    typer.echo(f"{path} is ready")


if __name__ == "__main__":
    app()
