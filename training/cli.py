"""The command `agelens-train`: it parses, the modules named after the subcommands do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.errors import AgelensError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Make an age model: prepare faces, train, evaluate, export, quantise."""


@app.command("train")
def train_command(
    recipe: Annotated[str, typer.Argument(help="a recipe's name, or a run's folder with --resume")],
    store: Annotated[list[Path] | None, typer.Option(help="a folder that `prepare` wrote; repeat for several")] = None,
    run_dir: Annotated[Path | None, typer.Option("--run", help="where the run goes; default runs/RECIPE")] = None,
    weights: Annotated[str | None, typer.Option(help="initial weights: a name or an .npz file")] = None,
    backbone: Annotated[str | None, typer.Option(help="another backbone than the recipe's")] = None,
    seed: Annotated[int | None, typer.Option(help="another seed than the recipe's")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="fit the schedule to this much time")] = None,
    epochs: Annotated[int | None, typer.Option(help="epochs of the last stage")] = None,
    resume: Annotated[bool, typer.Option(help="go on from the run's last checkpoint")] = False,
) -> None:
    """Train a recipe on prepared faces, or go on with a run that was cut off."""
    from training.launch import launch, relaunch

    try:
        if resume:
            result = relaunch(run_dir or Path("runs") / recipe)
        else:
            changes = {"weights": weights, "backbone": backbone, "seed": seed, "epochs": epochs}
            result = launch(recipe, store or [], run_dir or Path("runs") / recipe, max_minutes, changes)
    except (AgelensError, ValueError, FileNotFoundError) as error:
        typer.secho(f"agelens-train: {error}", fg="red", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"val_mae {result.val_mae:.3f} years after epoch {result.epoch + 1}; weights in {result.run_dir}")
