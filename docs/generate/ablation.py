"""The tables of what `agelens-train ablate` measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from docs.generate.blocks import table

Tree = dict[str, Any]

_NAMED: Final = {
    "clean": "error on val, years",
    "worn": "error on val worn, years",
    "bias 10–17": "years too old at 10 to 17",
    "bias 18–25": "years too old at 18 to 25",
    "coverage gap": "per cent of faces covered less often worn than unworn",
    "interval": "width of those intervals, years",
    "agreement worn": "years from the IMDB-WIKI network's age, worn",
    "agreement unlabelled": "years from its age, faces without an age",
}
"""What the figures of `agelens-train ablate` are called in a table, where it is not as in the file."""


def ablation_table(path: Path) -> str:
    """Return what each change of a recipe changes on `val`, with the commands; nothing where there is no such file."""
    if not path.exists():
        return ""
    found = json.loads(path.read_text())
    named = list(found[0]["figures"])
    rows = [
        [row["what"], str(row["steps"]), *(_shown(row["figures"].get(each), each) for each in named)] for row in found
    ]
    parts = [table(["what differs", "steps", *(_NAMED.get(each, each) for each in named)], rows)]
    more = [row for row in found if any("more" in each for each in row["figures"].values())]
    if more:
        parts.append(_differences(named, more))
    return "\n".join([*parts, "".join(f"    {_command(row['commands'])}\n" for row in found)])


def _command(commands: Sequence[str]) -> str:
    """Return the first training's command, and which seeds the others have, which come last."""
    first, *others = commands
    seeds = " and ".join(each.split()[-1] for each in others)
    return f"{first}  # also with {seeds}" if others else first


def _differences(named: Sequence[str], rows: Sequence[Tree]) -> str:
    """Return how much more each figure is in each row than for the recipe as it is."""
    lines = [
        [
            _NAMED.get(each, each),
            *(_shown(row["figures"].get(each, {}).get("more"), each, sign="+", each_training=True) for row in rows),
        ]
        for each in named
    ]
    head = ["more than for the recipe as it is, on the same faces", *(row["what"] for row in rows)]
    return table(head, lines)


def _shown(value: Tree | None, name: str, *, sign: str = "", each_training: bool = False) -> str:
    """Return a mean, its range over faces, and where asked each training's mean; shares as per cent."""
    if value is None:
        return ""
    by, how = (100, ".1f") if name == "coverage gap" else (1, ".2f")
    sign = "+" if name.startswith("bias") else sign

    def said(number: float) -> str:
        return f"{by * number:{sign}{how}}"

    ends = f" ({said(value['low'])} to {said(value['high'])})" if "low" in value else ""
    trainings = f"; {', '.join(map(said, value['trainings']))}" if each_training and len(value["trainings"]) > 1 else ""
    return f"{said(value['mean'])}{ends}{trainings}"
