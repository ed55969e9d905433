"""`agelens settings`: list every setting with its variable, value and meaning."""

from __future__ import annotations

import os

from rich.console import Console
from rich.table import Table

from service.settings import PREFIX, Settings, load_settings


def print_settings(console: Console | None = None) -> int:
    """Print one row for each setting; raise InvalidSetting if one is invalid."""
    settings = load_settings()
    table = Table()
    for heading in ("variable", "value", "set", "meaning"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "variable")  # a name must be found by a search
    for name, field in Settings.model_fields.items():
        variable = PREFIX + name.upper()
        value = getattr(settings, name)
        shown = f"{len(value)} key(s)" if name == "api_keys" else _as_written(value)
        table.add_row(variable, shown, "yes" if variable in os.environ else "", field.description)
    (console or Console()).print(table)
    return 0


def _as_written(value: object) -> str:
    """Return a value as the variable would have it; nothing for one that is not set."""
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
