"""Run all measurements, or those named: `python -m benchmarks.soak [--short] [NAME ...]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.soak.beside_hostile import beside_hostile
from benchmarks.soak.hostile import bomb_refusals, contract, mutations
from benchmarks.soak.life import drain, offline, restarts
from benchmarks.soak.load import overload, same_answer, slow_clients, soak
from benchmarks.soak.verdict import Verdict

LONG: dict[str, Callable[[], Verdict]] = {
    "bombs": bomb_refusals,
    "same": same_answer,
    "offline": offline,
    "slow": slow_clients,
    "overload": overload,
    "drain": drain,
    "restarts": restarts,
    "contract": contract,
    "mutations": mutations,
    "soak": soak,
    "adversarial": beside_hostile,
}
SHORT: dict[str, Callable[[], Verdict]] = {
    **LONG,
    "same": partial(same_answer, 4),
    "slow": partial(slow_clients, 500, 5),
    "overload": partial(overload, 9),
    "drain": partial(drain, 1),
    "restarts": partial(restarts, 2),
    "contract": partial(contract, 5),
    "mutations": partial(mutations, 500),
    "soak": partial(soak, 200),
    "adversarial": partial(beside_hostile, 2),
}


def main() -> int:
    """Print a table of bars and figures; return 0 where all bars are cleared."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(LONG))
    parser.add_argument("--short", action="store_true", help="minutes instead of an hour")
    parser.add_argument("--minutes", type=float, default=30, help="how long `adversarial` lasts; default 30")
    parser.add_argument("--pictures", type=int, default=100_000, help="how many `mutations` sends; default 100,000")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(LONG)
    if unknown:
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    table = Table("what", "bar", "measured", "", title="the running service")
    long: dict[str, Callable[[], Verdict]] = {**LONG, "adversarial": partial(beside_hostile, arguments.minutes)}
    chosen: dict[str, Callable[[], Verdict]] = (
        SHORT if arguments.short else {**long, "mutations": partial(mutations, arguments.pictures)}
    )
    verdicts = []
    for name in track(arguments.names or list(chosen), "measuring", console=Console(stderr=True)):
        verdict = chosen[name]()
        verdicts.append(verdict)
        table.add_row(verdict.what, verdict.bar, verdict.measured, "[green]✓" if verdict.good else "[red]✗")
    Console().print(table)
    return 0 if all(verdict.good for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
