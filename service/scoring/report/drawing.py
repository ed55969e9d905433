"""The report's drawings: SVG in the page, coloured by its style sheet, with the figures as titles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_WIDTH, _HEIGHT, _LEFT, _TOP = 720, 200, 44, 14
_FEW: Final = 1000
"""Faces below which bars of single years would be noise."""


def share_bar(seen: int, empty: int, failed: int) -> str:
    """Draw how many of the photographs had a face, had none, failed."""
    total = max(seen + empty + failed, 1)
    parts, x = [], 0.0
    for kind, count in (("seen", seen), ("empty", empty), ("failed", failed)):
        width = 1000 * count / total
        parts.append(f'<rect class="{kind}" x="{x:.1f}" width="{width:.1f}" height="10"/>')
        x += width
    title = f"{seen:,} photographs with a face, {empty:,} without, {failed:,} failed"
    return _svg(f'class="shares" viewBox="0 0 1000 10" preserveAspectRatio="none"><title>{title}</title>', parts)


def histogram(ages: Sequence[int]) -> str:
    """Draw faces by age, in bars of one year, or of five if there are few faces."""
    step = 1 if sum(ages) >= _FEW else 5
    counts = [sum(ages[first : first + step]) for first in range(0, len(ages), step)]
    top = _round_up(max(counts))
    per_year, floor = (_WIDTH - _LEFT) / (len(counts) * step), _TOP + _HEIGHT
    parts = []
    for value in (0, top // 2, top) if top > 1 else (0, top):
        y = floor - _HEIGHT * value / top
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>')
    for number, count in enumerate(counts):
        first, last = number * step, min(number * step + step, len(ages)) - 1
        years = str(first) if first == last else f"{first} to {last}"
        x, height = _LEFT + first * per_year, _HEIGHT * count / top
        place = f'x="{x + 0.5:.1f}" y="{floor - height:.1f}" width="{step * per_year - 1:.1f}" height="{height:.1f}"'
        parts.append(f'<rect class="bar" {place}><title>{years} years: {count:,}</title></rect>')
    parts += [
        f'<text x="{_LEFT + age * per_year:.1f}" y="{floor + 18}" text-anchor="middle">{age}</text>'
        for age in range(0, len(ages), 10)
    ]
    box = f"0 0 {_WIDTH + 12} {floor + 26}"
    return _svg(f'class="histogram" viewBox="{box}"><title>Faces by age in years</title>', parts)


def sketch(ages: Sequence[int]) -> str:
    """Draw a folder's ages small, a step for each five years."""
    counts = [sum(ages[first : first + 5]) for first in range(0, len(ages), 5)]
    highest = max(counts)
    steps = "".join(f"V{20 - 19 * count / highest:.1f}h6" for count in counts)
    return _svg(
        f'class="sketch" viewBox="0 0 {6 * len(counts)} 21" aria-hidden="true">', [f'<path d="M0 20{steps}V20"/>']
    )


def span(age: float, low: int, high: int) -> str:
    """Draw an interval and the age in it on a line of 100 years."""
    line = f'<path class="line" d="M0 8H200"/><rect x="{2 * low}" y="4" width="{2 * (high - low)}" height="8" rx="3"/>'
    return _svg(
        'class="span" viewBox="-2 0 204 16" aria-hidden="true">', [line, f'<circle cx="{2 * age:.1f}" cy="8" r="5"/>']
    )


def _svg(opening: str, parts: Sequence[str]) -> str:
    role = "" if "aria-hidden" in opening else 'role="img" '
    return f"<svg {role}{opening}" + "".join(parts) + "</svg>"


def _round_up(number: int) -> int:
    """Return the next number that reads well on an axis and has a whole half."""
    scale = 1
    while True:
        for digit in (2, 4, 6, 8, 10):
            if digit * scale >= number:
                return digit * scale
        scale *= 10
