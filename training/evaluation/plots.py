"""Plots of evaluations as inline SVG and PNG; each function takes evaluations by model name."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluation.reliability_diagram import COLOURS, Markup
from training.export.card import FEW, ninety

Tree = dict[str, Any]
Trees = Mapping[str, Tree]

STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def svg(figure: Figure) -> Markup:
    """Return a figure as an inline SVG element without its XML header; text stays text."""
    stream = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = stream.getvalue()
    return Markup(re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL))


def png(figure: Figure) -> Markup:
    """Return a figure as an image element with its bytes inside, for plots of many points."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, bbox_inches="tight")
    return Markup(f'<img alt="" src="data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}">')


def picture(pixels: NDArray[np.uint8]) -> Markup:
    """Return pixels uint8 [height, width, 3] as an image element with JPEG bytes inside."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=80)
    return Markup(f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}">')


def canvas(width: float = 4.2) -> tuple[Figure, Axes]:
    """Make a figure `width` inches wide and 3 high, and its axes."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, 3.0), layout="constrained")
        return figure, figure.subplots()


def cumulative_score_plot(trees: Trees) -> Markup:
    """Draw the share of errors within x years, a line for each model."""
    figure, axes = canvas()
    for (name, tree), colour in zip(trees.items(), COLOURS * len(trees), strict=False):
        axes.plot(100 * np.array(tree["cumulative_score"]), color=colour, label=name)
    axes.set(xlabel="error of at most … years", ylabel="photographs, %", ylim=(0, 100))
    _legend(axes, trees)
    return svg(figure)


def bars_plot(trees: Trees, key: str, value: str, label: str) -> Markup:
    """Draw one value of the groups under `key`, bars side by side for the models; groups with too few are left out."""
    shown = {name: [row for row in tree[key] if row["n"] >= FEW] for name, tree in trees.items()}
    groups = list(dict.fromkeys(row["group"] for rows in shown.values() for row in rows))
    figure, axes = canvas(width=max(4.2, 0.4 * len(groups) + 1))
    share = 0.8 / len(trees)
    for i, ((name, found), colour) in enumerate(zip(shown.items(), COLOURS * len(trees), strict=False)):
        rows = {row["group"]: row for row in found}
        places = [j for j, group in enumerate(groups) if group in rows]
        heights = [rows[groups[j]][value] for j in places]
        axes.bar([j - 0.4 + (i + 0.5) * share for j in places], heights, share, color=colour, label=name)
    axes.set(xticks=range(len(groups)), xticklabels=groups, ylabel=label)
    axes.tick_params(axis="x", rotation=30)
    _legend(axes, trees)
    return svg(figure)


def coverage_plot(trees: Trees) -> Markup:
    """Draw the coverage of the 90 % interval by predicted decade with its 95 % range; small ones are left out."""
    figure, axes = canvas(width=5.5)
    for i, ((name, tree), colour) in enumerate(zip(trees.items(), COLOURS * len(trees), strict=False)):
        rows = [row for row in ninety(tree)["bands"] if row["n"] >= FEW]
        middle = np.array([100 * row["coverage"] for row in rows])
        below = middle - [100 * row["coverage_low"] for row in rows]
        above = [100 * row["coverage_high"] for row in rows] - middle
        places = np.array([int(re.split(r"\D", row["group"])[0]) for row in rows]) + 5 + 1.2 * (i - len(trees) / 2)
        axes.errorbar(places, middle, [below, above], fmt="o", color=colour, markersize=4, capsize=2, label=name)
    axes.axhline(90, color="#999999", linewidth=0.8)
    axes.set(xlabel="predicted age, years", ylabel="inside the 90% interval, %", ylim=(None, 101))
    _legend(axes, trees)
    return svg(figure)


def pit_plot(trees: Trees) -> Markup:
    """Draw the histogram of the randomised PIT: flat if calibrated, a hill if too wide, a bowl if too narrow."""
    figure, axes = canvas()
    edges = np.linspace(0, 1, 11)
    for (name, tree), colour in zip(trees.items(), COLOURS * len(trees), strict=False):
        axes.stairs(10 * np.array(tree["pit"]), edges, color=colour, label=name)
    axes.axhline(1, color="#999999", linewidth=0.8)
    axes.set(xlabel="probability integral transform", ylabel="density", ylim=(0, None))
    _legend(axes, trees)
    return svg(figure)


def _legend(axes: Axes, trees: Trees) -> None:
    if len(trees) > 1:
        axes.legend()


def scatter_plot(ages: NDArray[np.floating], true: NDArray[np.integer]) -> Markup:
    """Draw predicted against true age; the more photographs, the darker."""
    figure, axes = canvas(width=3.4)
    axes.hexbin(true, ages, gridsize=50, extent=(0, 100, 0, 100), bins="log", cmap="Blues", mincnt=1)
    axes.plot([0, 100], [0, 100], color="#999999", linewidth=0.8)
    axes.set(xlabel="true age", ylabel="predicted age")
    return png(figure)
