"""How often a gate by P(age ≥ t) errs at each bar: `python -m docs.generate.gates NAME.npz`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from docs.generate.blocks import ranged, table
from training.evaluation.reliability import LEGAL_AGES, binomial_interval

Flags = NDArray[np.bool_]

BARS: Final = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
NEAR_YEARS: Final = 7
"""Who is at most so much older than the gate's age is counted by itself: most wrong refusals are theirs."""


def share(hits: Flags) -> tuple[float, float, float]:
    """Return a share with its 95 % interval; of nobody it is not a number, anywhere from 0 to 1."""
    rate = float(hits.mean()) if len(hits) else math.nan
    return rate, *binomial_interval(int(hits.sum()), len(hits))


def gate(pmf: NDArray[np.floating], ages: NDArray[np.integer], age: int) -> dict[str, Any]:
    """Return who passes a gate at `age`, given distributions [n, 101] and true ages [n]."""
    probability = pmf[:, age:].sum(axis=1)
    under, over = ages < age, ages >= age
    close = over & (ages <= age + NEAR_YEARS)
    counts = {name: int(who.sum()) for name, who in (("under", under), ("over", over), ("close", close))}
    bars = []
    for bar in BARS:
        passed = probability >= bar
        rate, low, high = share(passed[under])
        refused = {"refused": share(~passed[over])[0], "close_refused": share(~passed[close])[0]}
        bars.append({"bar": bar, "passed": rate, "passed_low": low, "passed_high": high, **refused})
    return {"age": age, "near": age + NEAR_YEARS, **counts, "bars": bars}


def gates(raw: Path) -> dict[str, Any]:
    """Measure every gate on the raw distributions that `agelens-train evaluate` wrote, where a face was found."""
    with np.load(raw) as arrays:
        pmf, low, high = (arrays[name] for name in ("pmf", "low", "high"))
    # UTKFace's youngest are 0 or 1, which is one side of every gate.
    known = np.isfinite(pmf[:, 0]) & (high - low <= 1)
    return {"model": raw.stem, "gates": [gate(pmf[known], high[known], age) for age in LEGAL_AGES]}


def gate_tables(tree: dict[str, Any]) -> str:
    """Return what `gates` measured as text: who is let through and who is refused at each bar."""
    return "\n".join(f"### {tree['model']}: {found['age']} years\n\n{gate_table(found)}" for found in tree["gates"])


def gate_table(found: dict[str, Any]) -> str:
    """Return one gate as a table, with the number of people it was measured on."""
    age, near = found["age"], found["near"]
    head = [f"let through where P(age ≥ {age}) is at least", f"under {age} let through (95 %)"]
    head += [f"{age} or over refused", f"aged {age}–{near} refused"]
    return f"{_counts(found)}\n\n{table(head, [_row(row, found) for row in found['bars']])}"


def _counts(found: dict[str, Any]) -> str:
    age, near = found["age"], found["near"]
    over = f"{found['over']} of {age} or over, of whom {found['close']} aged {age}–{near}"
    return f"{found['under']} people under {age}, {over}."


def _row(row: dict[str, Any], found: dict[str, Any]) -> list[str]:
    cells = {"under": ranged(row, "passed", ".1%"), "over": f"{row['refused']:.1%}"}
    cells["close"] = f"{row['close_refused']:.1%}"
    return [f"{row['bar']:g}", *(text if found[who] else "nobody" for who, text in cells.items())]


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("usage: python -m docs.generate.gates NAME.npz, a file that `agelens-train evaluate` wrote")
    sys.stdout.write(gate_tables(gates(Path(sys.argv[1]))))
