"""The command line, run in this process."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from service.cli.main import app


def agelens(*words: object, stdin: bytes | None = None) -> Result:
    """Run `agelens` with these words and return its exit status and output."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(word) for word in words], input=stdin)
