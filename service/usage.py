"""A wrong command line is answered in one line that says where to look, by every program with a command line."""

from __future__ import annotations

import sys
from typing import Any, Final, cast

import typer
from typer.core import TyperGroup

from service.printable import shown

_UsageError: Final = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
"""Typer has it from click or from a copy of click in it, and exports only what is derived from it."""
_WRONG: Final = 2


class OneLineUsage(TyperGroup):
    """The commands of a program; it answers "PROGRAM: what is wrong; see `PROGRAM COMMAND --help`"."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command that the words name and exit with its status, with 2 if they are wrong."""
        try:
            status = super().main(*args, **{**options, "standalone_mode": False})
        except _UsageError as error:
            if said := error.format_message():  # nothing where the help has been shown instead
                typer.echo(shown(self._line(said, error.ctx)), err=True)
            status = _WRONG
        sys.exit(status)

    def _line(self, said: str, context: Any) -> str:
        """Write the message of typer and pydantic as ours are."""
        text = said.replace("Value error, ", "").replace("Input should", "it should").rstrip(".")
        command = context.command_path.removeprefix(context.find_root().command_path) if context else ""
        return f"{self.name}: {text[:1].lower()}{text[1:]}; see `{self.name}{command} --help`"
