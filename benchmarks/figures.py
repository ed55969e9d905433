"""Medians with their spread, the table that is printed, and the file that the docs are generated from."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

RESULTS: Final = Path(__file__).parent / "results"

BARS: Final[Mapping[str, str]] = {
    "server_over_bound": "≥ 0.85",
    "server_over_best_peer": "> 1.0 at each",
    "p50_over_stages": "≤ 1.25",
    "p99_over_p50": "≤ 3",
    "int8_over_float32": "≤ 0.5",
    "request_over_parts": "≤ 1.9",
    "ten_faces_over_calls": "≤ 15",
    "large_photo_over_decode": "≤ 0.35",
    "score_over_bound": "≥ 0.9",
    "ray_over_local": "≥ 0.8",
    "ready_s": "≤ 3 aimed at",
    "rss_mb": "≤ 400 aimed at",
    "mae_change": "≤ 0.05",
}
"""Every figure, and what is asked of it."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Rounds of one measurement: the median is told, the extremes say how far to trust it."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def facts(self) -> dict[str, float]:
        return {"median": self.median, "low": min(self.rounds), "high": max(self.rounds), "rounds": len(self.rounds)}


@dataclass(slots=True)
class Findings:
    """What benchmarks found: `figures` for the docs, `details` for whoever doubts them."""

    figures: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def add(self, other: Findings) -> None:
        self.figures |= other.figures
        self.details |= other.details

    def write(self, folder: Path = RESULTS) -> None:
        """Bring `latest.json` and `details.json` up to date; what was not measured now stays, with its own machine."""
        folder.mkdir(exist_ok=True)
        figures = {**_read(folder / "latest.json"), **self.figures}
        ordered = {name: figures[name] for name in BARS if name in figures}
        before = _read(folder / "details.json")
        machines = {**before.get("machines", {}), **dict.fromkeys([*self.figures, *self.details], machine())}
        details = {**before, **self.details, "machines": machines}
        for name, content in (("latest.json", ordered), ("details.json", details)):
            (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def show(self, console: Console) -> None:
        table = Table("figure", "measured", "asked")
        for name, value in self.figures.items():
            shown = _by_key(value) if isinstance(value, Mapping) else f"{value:.3g}"
            table.add_row(name, shown, BARS[name])
        console.print(table)


def quantile(values: Sequence[float], q: float) -> float:
    """Return the value below which a share `q` lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def machine() -> dict[str, Any]:
    """Say what was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = dict(line.partition(":")[::2] for line in lines if ":" in line)
    named = {name.strip(): value.strip() for name, value in facts.items()}
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")
    flags = [flag for flag in wanted if flag in named.get("flags", "").split()]
    return {"processor": named.get("model name", "unknown"), "flags": flags, "python": platform.python_version()}


def _by_key(values: Mapping[str, float]) -> str:
    return ", ".join(f"{key}: {value:.3g}" for key, value in values.items())


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}
