"""Where the time goes: medians by stage on one processor, for three photographs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.bound import STAGES
from benchmarks.figures import Findings
from benchmarks.pictures import photos
from benchmarks.pinned import ask, cores
from benchmarks.scale import Scale


def stage_times(picture: bytes, count: int) -> dict[str, Any]:
    """Measure one photograph in a process of its own; milliseconds by stage, and `whole`."""
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        Path(file.name).write_bytes(picture)
        return dict(ask("benchmarks.bound", file.name, str(count), core=cores()[0]))


def run(scale: Scale, console: Console) -> Findings:
    """Print the stage table; it has no figure of its own."""
    table = Table("median ms", *STAGES, "sum", "faces")
    details: dict[str, Any] = {}
    for name, picture in photos().items():
        found = details[name] = stage_times(picture, scale.repeats)
        medians = [found["stages_ms"][stage]["median"] for stage in STAGES]
        table.add_row(name, *(f"{value:.2f}" for value in medians), f"{sum(medians):.2f}", str(found["faces"]))
    console.print(table)
    return Findings(details={"stages": details})
