"""Charts of what was measured: error by true age, who passes a gate, speed beside other servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from docs.generate.plot import bar
from training.evaluation.reliability_diagram import path, svg, text

Tree = Mapping[str, Any]

_LEFT, _TOP, _HEIGHT, _WIDTH = 44, 44, 180, 560

_NAMED: Final = (0.5, 0.9, 0.95)


def error_by_age(rows: Sequence[Tree]) -> str:
    """Draw the mean error of each decade of true age as a bar with its 95 % range, and the bias as a dot."""
    highest = max(row["mae_high"] for row in rows)
    lowest = min(0.0, *(row["bias"] for row in rows))
    scale = _HEIGHT / (highest - lowest)
    zero = _TOP + highest * scale
    step = _WIDTH / len(rows)
    parts = [
        text(0, 14, "years", "start"),
        f'<path class="axis" d="{path([(_LEFT, zero), (_LEFT + _WIDTH, zero)])}"/>',
        *(
            text(_LEFT - 6, zero - years * scale + 4, f"{years}", "end")
            for years in range(2 * int(lowest / 2), int(highest) + 1, 2)
        ),
    ]
    for number, row in enumerate(rows):
        x = _LEFT + (number + 0.5) * step
        top = zero - row["mae"] * scale
        whisker = path([(x, zero - row["mae_low"] * scale), (x, zero - row["mae_high"] * scale)])
        parts += [
            bar(x - step / 3, top, step / 1.5, row["mae"] * scale),
            f'<path class="axis" d="{whisker}"/>',
            f'<circle class="dot" cx="{x:.1f}" cy="{zero - row["bias"] * scale:.1f}" r="4"/>',
            text(x, _TOP + _HEIGHT + 18, row["group"]),
            text(x, _TOP + _HEIGHT + 32, f"n = {row['n']}"),
        ]
    said = "bar: mean error with its 95 % range; dot: bias (above the line: read too old)"
    parts.append(text(_LEFT, _TOP + _HEIGHT + 52, said, "start"))
    return svg(_LEFT + _WIDTH + 10, _TOP + _HEIGHT + 60, "Mean error and bias by true age", parts)


def gate_curves(gates: Sequence[Tree]) -> str:
    """Draw, for each age, the share of the too young let through against the share of the others refused."""
    panel: Final = 170
    highest = 0.2
    parts: list[str] = [
        text(0, 14, "under the age and let through; how many of the others are refused runs to the right", "start")
    ]
    for number, gate in enumerate(gates):
        left = _LEFT + number * (panel + 50)
        places = [
            (left + panel * row["refused"], _TOP + _HEIGHT * (1 - row["passed"] / highest)) for row in gate["bars"]
        ]
        shown = [(row["bar"], place) for row, place in zip(gate["bars"], places, strict=True) if row["bar"] in _NAMED]
        parts += [
            f'<rect class="axis" x="{left}" y="{_TOP}" width="{panel}" height="{_HEIGHT}"/>',
            f'<path class="line" d="{path(places)}"/>',
            *(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places),
            *(text(x + 6, y - 5, f"{least:g}", "start") for least, (x, y) in shown),
            text(left + panel / 2, _TOP - 8, f"{gate['age']} years"),
            text(left - 4, _TOP + 8, f"{highest:.0%}", "end"),
            text(left - 4, _TOP + _HEIGHT, "0", "end"),
            text(left, _TOP + _HEIGHT + 16, "0"),
            text(left + panel / 2, _TOP + _HEIGHT + 16, "refused"),
            text(left + panel, _TOP + _HEIGHT + 16, "100%"),
        ]
    said = "along the line, the least P(age ≥ t) at which people are let through: 0.5 to 0.999"
    parts.append(text(_LEFT, _TOP + _HEIGHT + 38, said, "start"))
    width = _LEFT + len(gates) * (panel + 50)
    return svg(width, _TOP + _HEIGHT + 46, "Who passes an age gate and who is refused", parts)


def peers(rates: Mapping[str, Mapping[str, Tree]]) -> str:
    """Draw pictures a second of each server, by the number of clients that ask at once."""
    names = list(next(iter(rates.values())))
    highest = max(found["high"] for servers in rates.values() for found in servers.values())
    row, label = 18, 110
    scale = (_WIDTH - label) / highest
    parts, y = [text(label, 14, "pictures a second, one processor for the server", "start")], 30.0
    for clients, servers in rates.items():
        parts.append(text(0, y + 12, f"{clients} client{'s' if clients != '1' else ''}", "start"))
        y += row
        for name in names:
            found = servers[name]
            ends = [(label + found[end] * scale, y + row / 2) for end in ("low", "high")]
            parts += [
                text(label - 6, y + 13, name, "end"),
                bar(label, y + 3, found["median"] * scale, row - 5),
                f'<path class="axis" d="{path(ends)}"/>',
                text(label + found["high"] * scale + 6, y + 13, f"{found['median']:.1f}", "start"),
            ]
            y += row
        y += 8
    return svg(_LEFT + _WIDTH, y + 8, "Pictures a second beside other servers of the same pipeline", parts)
