"""`agelens score` against the in-process bound on one processor, and Ray with two actors against two processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.figures import Findings, Spread
from benchmarks.measurements.stages import stage_times
from benchmarks.pictures import small_photo
from benchmarks.pinned import ROOT, cores, taskset
from benchmarks.scale import Scale


def run(scale: Scale, console: Console) -> Findings:
    """Score a folder of photographs; what a run of one chunk takes is its start, and is taken off both."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, one = Path(scratch) / "photos", Path(scratch) / "one"
        _fill(folder, scale.pictures)
        _fill(one, 2)
        over_bound, over_local, rates = [], [], []
        for number in range(max(1, scale.rounds // 2)):
            bound = stage_times(small_photo(), scale.repeats)["stages_ms"]["whole"]["median"] / 1e3
            out = Path(scratch) / str(number)
            single = _per_second(folder, one, out / "1", scale.pictures, ["--workers", "1"], pin=True)
            local = _per_second(folder, one, out / "2", scale.pictures, ["--workers", "2"])
            ray = _per_second(folder, one, out / "ray", scale.pictures, ["--workers", "2", "--engine", "ray"])
            over_bound.append(single * bound)
            over_local.append(ray / local)
            rates.append({"bound": 1 / bound, "one worker": single, "two workers": local, "two actors": ray})
    console.print(f"pictures a second: {', '.join(f'{name} {rate:.1f}' for name, rate in rates[-1].items())}")
    found = {"score_over_bound": Spread(tuple(over_bound)), "ray_over_local": Spread(tuple(over_local))}
    return Findings(
        {name: spread.median for name, spread in found.items()},
        {"archives": {**{name: spread.facts() for name, spread in found.items()}, "per_second": rates}},
    )


def _fill(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06}.jpg").write_bytes(small_photo())


def _per_second(folder: Path, one: Path, out: Path, count: int, options: Sequence[str], pin: bool = False) -> float:
    """Photographs a second once everything is loaded."""
    start = _seconds(one, out / "start", options, pin)
    return (count - 2) / (_seconds(folder, out / "all", options, pin) - start)


def _seconds(folder: Path, out: Path, options: Sequence[str], pin: bool) -> float:
    command = [sys.executable, "-m", "service.cli.main", "score", str(folder), "--output", str(out), *options]
    began = time.perf_counter()
    subprocess.run(taskset(cores()[0], command) if pin else command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began
