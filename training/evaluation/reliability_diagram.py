"""The reliability diagram as SVG that reads on light and dark pages; the same figures give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

Point = tuple[float, float]
Row = dict[str, Any]

COLOURS: Final = ("#0b8f7a", "#d1495b", "#0b6e99", "#8e6c8a", "#b07d2b", "#777777")
STYLE: Final = (
    "<style>text{font:11px system-ui,sans-serif;fill:#777}.line{fill:none;stroke:#0b8f7a;stroke-width:2}"
    ".area{fill:#0b8f7a;fill-opacity:.2}.dot{fill:#0b8f7a}.axis{stroke:#999;fill:none}"
    ".ideal{stroke:#999;stroke-dasharray:3 3}</style>"
)
_LEFT, _TOP, _SIDE, _GAP = 42, 26, 150, 40


class Markup(str):
    """HTML or SVG that a template does not escape."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return the markup."""
        return str(self)


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> Markup:
    """Return an SVG picture with a title, which screen readers read out."""
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">'
        f"<title>{escape(title)}</title>{STYLE}\n" + "\n".join(parts) + "\n</svg>\n"
    )


def path(points: Sequence[Point], closed: bool = False) -> str:
    """Return the `d` of a line through points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + ("Z" if closed else "")


def text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    """Return words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def reliability_diagram(models: Mapping[str, Sequence[Row]]) -> Markup:
    """Draw observed against predicted P(age ≥ t): a panel for each t, a line for each model, a dot for each bin.

    `models` maps names to what `evaluation.reliability.reliability` returned for each age t, the same ages for all.
    """
    thresholds = [row["threshold"] for row in next(iter(models.values()))]
    middle = _TOP + _SIDE / 2
    observed = text(12, middle, "observed").replace("<text", f'<text transform="rotate(-90 12 {middle:g})"')
    parts = [observed, *(part for number, age in enumerate(thresholds) for part in _panel(_left(number), age))]
    for (name, rows), colour in zip(models.items(), COLOURS * len(models), strict=False):
        for number, row in enumerate(rows):
            parts += _line(_left(number), row["bins"], colour, name if len(models) > 1 else "")
    return svg(_left(len(thresholds)), _TOP + _SIDE + 24, "Observed share against predicted probability", parts)


def _left(number: int) -> int:
    return _LEFT + number * (_SIDE + _GAP)


def _panel(left: int, age: int) -> list[str]:
    bottom = _TOP + _SIDE
    return [
        f'<rect class="axis" x="{left}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}"/>',
        f'<path class="ideal" d="{path([(left, bottom), (left + _SIDE, _TOP)])}"/>',
        text(left + _SIDE / 2, _TOP - 8, f"P(age ≥ {age})"),
        text(left, bottom + 15, "0"),
        text(left + _SIDE / 2, bottom + 15, "predicted"),
        text(left + _SIDE, bottom + 15, "1"),
    ]


def _line(left: int, bins: Sequence[Row], colour: str, name: str) -> list[str]:
    places = [(left + _SIDE * each["predicted"], _TOP + _SIDE * (1 - each["observed"])) for each in bins]
    title = f"<title>{escape(name)}</title>" if name else ""
    return [
        f'<path class="line" style="stroke:{colour}" d="{path(places)}">{title}</path>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places),
    ]
