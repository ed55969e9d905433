"""Charts of what was measured: error and coverage by group, who passes a gate, speed beside other servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from docs.generate.plot import bar
from training.evaluation.reliability_diagram import path, svg, text

Tree = Mapping[str, Any]

FEWEST: Final = 10
"""Groups with fewer faces are not drawn: their range would be the whole chart."""

_LEFT, _TOP, _HEIGHT, _WIDTH = 44, 44, 180, 560

_NAMED: Final = (0.5, 0.9, 0.95)
_PANEL, _COLUMNS, _NAME_WIDTH = 170, 3, 28


def error_bars(title: str, *sets: Sequence[Tree]) -> str:
    """Draw the mean error of each group as a bar with its 95 % range, and the bias as a dot; a gap between the sets."""
    sets = tuple(_enough(each) for each in sets)
    rows = [row for each in sets for row in each]
    highest = max(row["mae_high"] for row in rows)
    lowest = min(0.0, *(row["bias"] for row in rows))
    scale = _HEIGHT / (highest - lowest)
    zero = _TOP + highest * scale
    step = _WIDTH / (len(rows) + len(sets) - 1)
    parts = [
        text(0, 14, "years", "start"),
        f'<path class="axis" d="{path([(_LEFT, zero), (_LEFT + _WIDTH, zero)])}"/>',
        *(
            text(_LEFT - 6, zero - years * scale + 4, f"{years}", "end")
            for years in range(2 * int(lowest / 2), int(highest) + 1, 2)
        ),
    ]
    for x, row in _placed(sets, step):
        top = zero - row["mae"] * scale
        whisker = path([(x, zero - row["mae_low"] * scale), (x, zero - row["mae_high"] * scale)])
        parts += [
            bar(x - step / 3, top, step / 1.5, row["mae"] * scale),
            f'<path class="axis" d="{whisker}"/>',
            f'<circle class="dot" cx="{x:.1f}" cy="{zero - row["bias"] * scale:.1f}" r="4"/>',
            *_named(x, row),
        ]
    said = "bar: mean error with its 95 % range; dot: bias (above the line: read too old)"
    parts.append(text(_LEFT, _TOP + _HEIGHT + 52, said, "start"))
    return svg(_LEFT + _WIDTH + 10, _TOP + _HEIGHT + 60, title, parts)


def interval_coverage(by: str, level: float, *sets: Sequence[Tree]) -> str:
    """Draw how often an interval holds the true age of each group, with the 95 % range; a gap between the sets."""
    sets = tuple(_enough(each) for each in sets)
    rows = [row for each in sets for row in each]
    lowest = min(0.1 * int(10 * min(row["coverage_low"] for row in rows)), level)
    scale = _HEIGHT / (1 - lowest)
    step = _WIDTH / (len(rows) + len(sets) - 1)
    ticks = [share / 10 for share in range(round(10 * lowest), 11)]
    asked = _TOP + (1 - level) * scale
    parts = [
        text(0, 14, f"true age inside the {level:.0%} interval, by {by}", "start"),
        f'<path class="axis" d="{path([(_LEFT, _TOP), (_LEFT, _TOP + _HEIGHT), (_LEFT + _WIDTH, _TOP + _HEIGHT)])}"/>',
        *(text(_LEFT - 6, _TOP + (1 - share) * scale + 4, f"{share:.0%}", "end") for share in ticks),
        f'<path class="ideal" d="{path([(_LEFT, asked), (_LEFT + _WIDTH, asked)])}"/>',
    ]
    for x, row in _placed(sets, step):
        low, middle, high = (_TOP + (1 - row[key]) * scale for key in ("coverage_low", "coverage", "coverage_high"))
        parts += [
            f'<path class="line" d="{path([(x, low), (x, high)])}"/>',
            f'<circle class="dot" cx="{x:.1f}" cy="{middle:.1f}" r="4"/>',
            *_named(x, row),
        ]
    said = f"dot: share with its 95 % range, from {FEWEST} faces on; dashed: as asked"
    parts.append(text(_LEFT, _TOP + _HEIGHT + 52, said, "start"))
    return svg(_LEFT + _WIDTH + 10, _TOP + _HEIGHT + 60, f"Coverage of the interval by {by}", parts)


def worn_coverage(level: float, rows: Sequence[Tree]) -> str:
    """Draw how often an interval holds the true age on each kind of worn photograph, with the 95 % range."""
    rows = [row for row in _enough(rows) if row["detection_rate"] > 0]
    row_px, label = 18, 150
    lowest = min(0.1 * int(10 * min(row["coverage_low"] for row in rows)), level)
    scale = (_WIDTH - label) / (1 - lowest)
    bottom = 30 + row_px * len(rows)
    asked = label + (level - lowest) * scale
    ticks = [share / 10 for share in range(round(10 * lowest), 11)]
    parts = [
        text(label, 14, f"true age inside the {level:.0%} interval", "start"),
        f'<path class="axis" d="{path([(label, bottom), (_WIDTH, bottom)])}"/>',
        f'<path class="ideal" d="{path([(asked, 24), (asked, bottom)])}"/>',
        *(text(label + (share - lowest) * scale, bottom + 16, f"{share:.0%}") for share in ticks),
    ]
    for number, row in enumerate(rows):
        y = 30 + row_px * (number + 0.5)
        low, middle, high = (
            label + (row[key] - lowest) * scale for key in ("coverage_low", "coverage", "coverage_high")
        )
        parts += [
            text(label - 8, y + 4, row["group"], "end"),
            f'<path class="line" d="{path([(low, y), (high, y)])}"/>',
            f'<circle class="dot" cx="{middle:.1f}" cy="{y:.1f}" r="4"/>',
        ]
    parts.append(text(label, bottom + 36, "dot: share with its 95 % range; dashed: as asked", "start"))
    return svg(_WIDTH + 24, bottom + 46, "Coverage of the interval on worn photographs", parts)


def _enough(rows: Sequence[Tree]) -> list[Tree]:
    return [row for row in rows if row["n"] >= FEWEST]


def _placed(sets: Sequence[Sequence[Tree]], step: float) -> Iterator[tuple[float, Tree]]:
    """Yield the middle of each row's column, one column left free between the sets."""
    column = 0
    for rows in sets:
        for row in rows:
            yield _LEFT + (column + 0.5) * step, row
            column += 1
        column += 1


def _named(x: float, row: Tree) -> list[str]:
    return [text(x, _TOP + _HEIGHT + 18, row["group"]), text(x, _TOP + _HEIGHT + 32, f"n = {row['n']}")]


def gate_curves(gates: Sequence[Tree]) -> str:
    """Draw, for each age, the share of the too young let through against the share of the others refused."""
    parts: list[str] = [
        text(0, 14, "under the age and let through; how many of the others are refused runs to the right", "start")
    ]
    for number, gate in enumerate(gates):
        row, column = divmod(number, _COLUMNS)
        parts += _gate_panel(gate, _LEFT + column * (_PANEL + 50), _TOP + row * (_HEIGHT + 60))
    bottom = _TOP + (len(gates) - 1) // _COLUMNS * (_HEIGHT + 60) + _HEIGHT
    said = "along the line, the least P(age ≥ t) at which people are let through, from 0.5 on"
    parts.append(text(_LEFT, bottom + 38, said, "start"))
    width = _LEFT + min(len(gates), _COLUMNS) * (_PANEL + 50)
    return svg(width, bottom + 46, "Who passes an age gate and who is refused", parts)


def _gate_panel(gate: Tree, left: float, top: float) -> list[str]:
    highest: Final = 0.2
    places = [(left + _PANEL * row["refused"], top + _HEIGHT * (1 - row["passed"] / highest)) for row in gate["bars"]]
    shown = [(row["bar"], place) for row, place in zip(gate["bars"], places, strict=True) if row["bar"] in _NAMED]
    return [
        f'<rect class="axis" x="{left}" y="{top}" width="{_PANEL}" height="{_HEIGHT}"/>',
        f'<path class="line" d="{path(places)}"/>',
        *(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places),
        *_bar_names(shown),
        text(left + _PANEL / 2, top - 8, f"{gate['age']} years"),
        text(left - 4, top + 8, f"{highest:.0%}", "end"),
        text(left - 4, top + _HEIGHT, "0", "end"),
        text(left, top + _HEIGHT + 16, "0"),
        text(left + _PANEL / 2, top + _HEIGHT + 16, "refused"),
        text(left + _PANEL, top + _HEIGHT + 16, "100%"),
    ]


def _bar_names(shown: Sequence[tuple[float, tuple[float, float]]]) -> list[str]:
    """Name dots above and to the right of them, each name over those of the dots to its right that it would cover."""
    words: list[str] = []
    before: tuple[float, float] | None = None
    for least, (x, y) in reversed(shown):
        at = y - 5
        if before is not None and before[0] - x < _NAME_WIDTH:
            at = min(at, before[1] - 13)
        words.append(text(x + 6, at, f"{least:g}", "start"))
        before = x, at
    return words


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
