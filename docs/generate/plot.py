"""Plots as SVG that reads on light and dark pages; the same figures always give the same bytes."""

from __future__ import annotations

from typing import Any, Final

from training.evaluation.reliability_diagram import path, svg, text

_LEFT: Final = 42


def bar(x: float, y: float, width: float, height: float) -> str:
    """Return a filled rectangle."""
    return f'<rect class="area" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


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
