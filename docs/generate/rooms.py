"""The packages as import-linter's contracts have them: a picture of the layers, and what is in each."""

from __future__ import annotations

import ast
import re
import tomllib
from typing import Any, Final

from docs.generate.blocks import table
from docs.generate.code import ROOT
from training.evaluation.reliability_diagram import svg, text

_WIDTH, _HEIGHT, _GAP, _TITLE = 420, 34, 10, 30


def layers(package: str) -> list[list[str]]:
    """Return the layers of `service` or `training`, highest first, each with its modules."""
    contracts: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    (contract,) = [each for each in contracts if each.get("containers") == [package]]
    return [re.split(r" *[:|] *", layer) for layer in contract["layers"]]


def rooms_plot() -> str:
    """Draw the layers of both packages side by side; imports only point down, and from `training` to `inference`."""
    parts: list[str] = []
    lowest = 0.0
    for column, package in enumerate(("service", "training")):
        left = column * (_WIDTH + 4 * _GAP)
        parts.append(text(left + _WIDTH / 2, _TITLE - 10, package))
        for number, names in enumerate(layers(package)):
            top = _TITLE + number * (_HEIGHT + _GAP)
            width = (_WIDTH - (len(names) - 1) * _GAP) / len(names)
            for place, name in enumerate(names):
                x = left + place * (width + _GAP)
                kind = "area" if name == "inference" else "axis"
                parts.append(f'<rect class="{kind}" x="{x:g}" y="{top}" width="{width:g}" height="{_HEIGHT}" rx="5"/>')
                parts.append(text(x + width / 2, top + _HEIGHT / 2 + 4, name))
            lowest = max(lowest, top + _HEIGHT)
    said = "Imports point down only; of the service, training imports the shaded room and what lies below it."
    parts.append(text(0, lowest + 24, said, "start"))
    return svg(2 * _WIDTH + 4 * _GAP, lowest + 34, "The packages in layers", parts)


def rooms_table() -> str:
    """Return what each package and module of the layers holds, as its docstring says."""
    rows = []
    for package in ("service", "training"):
        for names in layers(package):
            rows += [[f"`{package}/{name}`", _first_line(package, name)] for name in names]
    return table(["room", "what is in it"], rows)


def _first_line(package: str, name: str) -> str:
    folder = ROOT / package / name
    source = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    doc: Final = ast.get_docstring(ast.parse(source.read_text())) or ""
    return doc.split("\n")[0]
