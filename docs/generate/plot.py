"""Plots as SVG that reads on light and dark pages; the same figures always give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

Point = tuple[float, float]

_LEFT, _TOP, _SIDE, _GAP = 42, 26, 150, 40
_STYLE: Final = (
    "<style>text{font:11px system-ui,sans-serif;fill:#777}.line{fill:none;stroke:#0b8f7a;stroke-width:2}"
    ".area{fill:#0b8f7a;fill-opacity:.2}.dot{fill:#0b8f7a}.axis{stroke:#999;fill:none}"
    ".ideal{stroke:#999;stroke-dasharray:3 3}</style>"
)


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """Return a picture with a title that screen readers say."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">'
        f"<title>{title}</title>{_STYLE}\n" + "\n".join(parts) + "\n</svg>\n"
    )


def path(points: Sequence[Point], closed: bool = False) -> str:
    """Return the `d` of a line through points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + ("Z" if closed else "")


def text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    """Return words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def bar(x: float, y: float, width: float, height: float) -> str:
    """Return a filled rectangle."""
    return f'<rect class="area" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def reliability_plot(summary: dict[str, Any]) -> str:
    """Draw observed against predicted P(age ≥ t), a panel for each t, a dot for each tenth of the photographs."""
    rows = summary["reliability"]
    parts = [
        text(12, _TOP + _SIDE / 2, "observed").replace(
            "<text", f'<text transform="rotate(-90 12 {_TOP + _SIDE / 2:g})"'
        )
    ]
    for number, row in enumerate(rows):
        left = _LEFT + number * (_SIDE + _GAP)
        places = [(left + _SIDE * each["predicted"], _TOP + _SIDE * (1 - each["observed"])) for each in row["bins"]]
        parts += [
            f'<rect class="axis" x="{left}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}"/>',
            f'<path class="ideal" d="{path([(left, _TOP + _SIDE), (left + _SIDE, _TOP)])}"/>',
            f'<path class="line" d="{path(places)}"/>',
            *(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places),
            text(left + _SIDE / 2, _TOP - 8, f"P(age ≥ {row['threshold']})"),
            text(left, _TOP + _SIDE + 15, "0"),
            text(left + _SIDE / 2, _TOP + _SIDE + 15, "predicted"),
            text(left + _SIDE, _TOP + _SIDE + 15, "1"),
        ]
    width = _LEFT + len(rows) * (_SIDE + _GAP)
    return svg(width, _TOP + _SIDE + 24, "Observed share against predicted probability", parts)


def distribution_plot(face: dict[str, Any]) -> str:
    """Draw a reply's P(age = k) above its P(age ≥ k), with the interval shaded."""
    older = [1.0, *face["threshold_probabilities"], 0.0]
    single = [older[k] - older[k + 1] for k in range(101)]
    highest = max(single)
    low, high = face["interval"]["low"], face["interval"]["high"]
    mass = [(_LEFT + 5 * k, 120 - 90 * single[k] / highest) for k in range(101)]
    inside = [(_LEFT + 5 * low, 120.0), *mass[low : high + 1], (_LEFT + 5 * high, 120.0)]
    curve = [(_LEFT + 5 * k, 250 - 90 * older[k]) for k in range(101)]
    parts = [
        text(_LEFT, 18, "P(age = k), its interval shaded", "start"),
        f'<path class="area" d="{path(inside, closed=True)}"/>',
        f'<path class="line" d="{path(mass)}"/>',
        text(_LEFT, 150, "P(age ≥ k)", "start"),
        f'<path class="line" d="{path(curve)}"/>',
    ]
    for base in (120, 250):
        parts.append(f'<path class="axis" d="{path([(_LEFT, base), (_LEFT + 500, base)])}"/>')
        parts += [text(_LEFT + 5 * age, base + 14, str(age)) for age in range(0, 101, 20)]
    return svg(_LEFT + 530, 270, "A distribution over ages and its curve of P(age ≥ k)", parts)
