"""`make bench`: every figure that docs and issue promise, or the named ones: `python -m benchmarks stages server`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Final, cast

from rich.console import Console

from benchmarks.figures import Findings
from benchmarks.scale import QUICK, Scale

BENCHMARKS: Final[Mapping[str, str]] = {
    "stages": "benchmarks.measurements.stages",
    "detection": "benchmarks.measurements.detection",
    "server": "benchmarks.measurements.server",
    "peers": "benchmarks.measurements.peers_comparison",
    "precision": "benchmarks.measurements.precision",
    "large-photo": "benchmarks.measurements.large_photo",
    "archives": "benchmarks.measurements.archives",
    "accuracy": "benchmarks.measurements.accuracy",
    "estimators": "benchmarks.measurements.estimators",
    "worn": "benchmarks.measurements.worn",
}
"""Name → module whose `run` measures it."""

NEED_AGES: Final = ("accuracy", "estimators", "worn")

Run = Callable[[Scale, Console], Findings]


def main() -> int:
    """Measure, print and write down."""
    arguments = _parser().parse_args()
    scale = QUICK if arguments.quick else Scale()
    scale = dataclasses.replace(scale, labelled=arguments.labelled)
    console, findings = Console(width=120), Findings()
    names = arguments.names or [name for name in BENCHMARKS if scale.labelled or name not in NEED_AGES]
    if not scale.labelled:
        console.print(f"without --labelled: {' and '.join(NEED_AGES)} are left out")
    for name in names:
        console.rule(name)
        run = cast("Run", import_module(BENCHMARKS[name]).run)
        findings.add(run(scale, console))
        if not arguments.quick:  # after each: an hour's work must not be lost to the last minute
            findings.write()
    console.rule("figures")
    findings.show(console)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="see that everything runs; nothing is written")
    parser.add_argument("--labelled", type=Path, help="folder of photographs of known age: index.csv and images/")
    return parser


if __name__ == "__main__":
    sys.exit(main())
