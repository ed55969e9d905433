"""The command `agelens`: parse the command line and call the module of the command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from service.cli.options import predict_options, takes_predict_options
from service.cli.output import checked_stdout
from service.errors import AgelensError, InvalidParameter, PictureError, RequestError
from service.printable import shown
from service.scoring.job import EngineName, Format
from service.usage import OneLineUsage

app = typer.Typer(
    name="agelens",
    cls=OneLineUsage,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Estimate ages from photographs.",
)
models = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")
app.add_typer(models, name="models")

ModelsDir = Annotated[Path | None, typer.Option(help="Folder with models.lock.json (AGELENS_MODELS_DIR).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_STATUS: Final[Mapping[type[AgelensError], int]] = {PictureError: 3, RequestError: 2}
STATUSES: Final[Mapping[int, str]] = {
    0: "success, also if there is no face",
    1: "the installation or a setting is wrong, or the output cannot be written",
    2: "the command line is wrong",
    3: "a photograph cannot be read",
    4: "scoring is done, but some photographs could not be scored, or showed too few faces for --fit-prior: the "
    "summary says which",
    130: "interrupted",
}
_INTERRUPTED: Final = 130


def _exit_statuses(*unused: int) -> str:
    """Say in a command's help what its exit statuses mean, without those that it never has."""
    said = (f"{status} {meaning}" for status, meaning in STATUSES.items() if status not in unused)
    return f"Exit status: {'; '.join(said)}."


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("agelens"))
        raise typer.Exit


@app.callback()
def agelens(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Estimate ages from photographs."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (AGELENS_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free port (AGELENS_PORT).")] = None,
    models_dir: ModelsDir = None,
    threads: Annotated[int | None, typer.Option(help="Number of worker threads (AGELENS_THREADS).")] = None,
) -> None:
    """Run the HTTP service. Settings are environment variables AGELENS_…; `agelens settings` lists them."""
    from service.api.server import serve as run

    _exit_with(lambda: run(host=host, port=port, models_dir=models_dir, threads=threads))


@app.command()
def settings() -> None:
    """List all settings with their current values."""
    from service.cli.settings import print_settings

    _exit_with(print_settings)


@app.command(epilog=_exit_statuses(4))
@takes_predict_options
def predict(
    photos: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO", help="Picture files, folders, patterns, or - for standard input."),
    ],
    asked: Mapping[str, Any],
    as_json: AsJson = False,
    annotate: Annotated[
        Path | None,
        typer.Option(help="Write a copy of the picture with a frame around each face and its age.", metavar="FILE"),
    ] = None,
    models_dir: ModelsDir = None,
) -> None:
    """Estimate the ages in photographs on this machine, without a server. For thousands, use `agelens score`.

    [bold]agelens predict family.jpg --thresholds 18,25 --annotate family-ages.jpg[/]

    With --json, several photographs give one JSON object per line, with the name in `file`.
    """
    from service.cli.predict import PredictCommand

    _exit_with(lambda: PredictCommand(photos, predict_options(asked), as_json, annotate, models_dir).run())


@app.command(epilog=_exit_statuses(), context_settings={"allow_extra_args": True})
@takes_predict_options
def score(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="Folder, pattern, text list, Parquet or CSV table, or URI.")
    ],
    output: Annotated[
        Path,
        typer.Option(help="Folder for the results. Run again with the same folder to resume.", metavar="DIR"),
    ],
    asked: Mapping[str, Any],
    fmt: Annotated[Format, typer.Option("--format", help="Format of the rows.")] = "parquet",
    engine: Annotated[
        EngineName,
        typer.Option(help="Run the workers as processes, threads or Ray actors (on the cluster at RAY_ADDRESS)."),
    ] = "processes",
    workers: Annotated[int | None, typer.Option(min=1, help="Number of workers; default: all processors.")] = None,
    column: Annotated[
        str | None,
        typer.Option(help="Table's column with the pictures' bytes or paths; default: detected by type and name."),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Table's column with the photographs' ids; default: file name and row number.")
    ] = None,
    allow_any_path: Annotated[
        bool, typer.Option("--allow-any-path", help="Also read paths outside a table's folder, and URIs in it.")
    ] = False,
    retry_failures: Annotated[
        bool,
        typer.Option("--retry-failures", help="Score the photographs again whose rows in DIR are failures."),
    ] = False,
    models_dir: ModelsDir = None,
    fit_prior: Annotated[
        bool,
        typer.Option(
            "--fit-prior",
            help="Also estimate the archive's mix of ages and write it to DIR/prior.csv, for AGELENS_PRIORS.",
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Also write DIR/report.html: distribution of ages, uncertain and failed photographs."
        ),
    ] = False,
) -> None:
    """Estimate the ages in many photographs; write Parquet, CSV or JSON lines. An interrupted run can be resumed.

    [bold]agelens score photos/ --output ages/[/]
    """
    from service.scoring.command import ENGINES, ScoreCommand
    from service.scoring.tables import Columns

    def run() -> int:
        if context.args:
            raise InvalidParameter(
                f"INPUT is one folder, pattern or file, and {1 + len(context.args)} were named; put a pattern in "
                "quotes, as 'photos/*.jpg'"
            )
        command = ScoreCommand(
            source,
            output,
            format=fmt,
            engine=ENGINES[engine],
            workers=workers,
            options=predict_options(asked),
            columns=Columns(column, id_column, allow_any_path),
            models_dir=models_dir,
            report=report,
            fit_prior=fit_prior,
            retry_failures=retry_failures,
        )
        try:
            return command.run(Console(stderr=True))
        except KeyboardInterrupt:
            typer.echo("agelens: interrupted; run the same command again to resume", err=True)
            return _INTERRUPTED

    _exit_with(run)


@models.callback()
def list_models(
    context: typer.Context,
    models_dir: ModelsDir = None,
    as_json: AsJson = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show metrics and hashes as well.")] = False,
) -> None:
    """List the installed models; `verify` checks them."""
    if context.invoked_subcommand is None:
        from service.cli.models import list_models as run

        _exit_with(lambda: run(models_dir, as_json, verbose))


@models.command(epilog=_exit_statuses(3, 4))
def verify(models_dir: ModelsDir = None) -> None:
    """Check every model file against models.lock.json, and run each model once."""
    from service.cli.models import verify_models

    _exit_with(lambda: verify_models(models_dir))


def _exit_with(command: Callable[[], int]) -> None:
    """Exit with the status of the command; print an expected error as one line."""
    try:
        with checked_stdout():
            status = command()
    except AgelensError as error:
        typer.echo(shown(f"agelens: {error}"), err=True)
        status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 1)
    raise typer.Exit(status)


if __name__ == "__main__":
    app()
