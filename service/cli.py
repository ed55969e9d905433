"""The command `agelens`: it only parses; what a command does lives in a module of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from service.errors import SetupError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Estimate ages from photographs."
)


@app.callback()
def agelens() -> None:
    """Estimate ages from photographs."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (AGELENS_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one (AGELENS_PORT).")] = None,
    models_dir: Annotated[Path | None, typer.Option(help="Folder with models.lock.json (AGELENS_MODELS_DIR).")] = None,
    threads: Annotated[int | None, typer.Option(help="Worker threads (AGELENS_THREADS).")] = None,
) -> None:
    """Serve the HTTP API. Every setting is an AGELENS_ variable; `agelens settings` lists them."""
    from service.server import serve as run

    _exit_with(lambda: run(host=host, port=port, models_dir=models_dir, threads=threads))


@app.command()
def settings() -> None:
    """List every setting with its value now and its meaning."""
    from service.settings_list import print_settings

    _exit_with(print_settings)


def _exit_with(command: Callable[[], int]) -> None:
    """End with the command's status; an error of the installation is one line, not a traceback."""
    try:
        status = command()
    except SetupError as error:
        typer.echo(f"agelens: {error}", err=True)
        status = 1
    raise typer.Exit(status)
