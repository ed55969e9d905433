"""How the subcommands of `agelens-train` report an error or a warning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer
from pydantic import ValidationError

from service.errors import AgelensError
from training.errors import faults

MORE: Final = "More commands"
"""Heading in --help of the commands that the way from faces to a served model does not need."""


def warn(text: str) -> None:
    """Print a warning as one line."""
    typer.secho(f"agelens-train: warning: {text}", fg="yellow", err=True)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print expected errors as one line and exit with status 1."""
    try:
        yield
    except (AgelensError, ValueError, OSError) as error:
        what = faults(error) if isinstance(error, ValidationError) else error
        typer.secho(f"agelens-train: {what}", fg="red", err=True)
        raise typer.Exit(1) from error
