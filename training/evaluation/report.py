"""One self-contained HTML page from evaluation trees: several models side by side, plots inside, worst faces shown."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from training.evaluation.plots import (
    bars_plot,
    coverage_plot,
    cumulative_score_plot,
    picture,
    pit_plot,
    reliability_plot,
    scatter_plot,
)
from training.export.calibration import decoded

Tree = dict[str, Any]
Row = dict[str, Any]

STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1c2430}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #d5dae0;padding-bottom:.2rem}
table{border-collapse:collapse;margin:.6rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #e6e9ed}
th:first-child,td:first-child{text-align:left}
.scroll{overflow-x:auto}.faces{display:flex;flex-wrap:wrap;gap:.6rem}.faces figure{margin:0;width:96px}
figcaption,.note{font-size:.8rem;color:#5a6675}svg,img{max-width:100%;height:auto}
"""


def report(folder: Path, names: Sequence[str], out: Path) -> Path:
    """Write the page of the models whose `NAME.json` and `NAME.npz` lie in `folder`; return its path.

    Raises FileNotFoundError where a model was not evaluated.
    """
    trees = {name: json.loads((folder / f"{name}.json").read_text()) for name in names}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(trees, {name: folder / f"{name}.npz" for name in names}))
    return out


def page(trees: Mapping[str, Tree], raws: Mapping[str, Path]) -> str:
    """Return the whole page as HTML; it fetches nothing."""
    sources = list(next(iter(trees.values()))["results"])
    parts = [overview(trees)]
    parts += [source_section(each, {name: tree["results"][each] for name, tree in trees.items()}) for each in sources]
    if all("robustness" in tree for tree in trees.values()):
        parts.append(section("Robustness", groups_table(trees, "robustness", ROBUSTNESS)))
    parts += [faces_section(name, trees[name], path) for name, path in raws.items()]
    title = "Age models: " + ", ".join(trees)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><h1>{html.escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """Return a titled part of the page."""
    return f"<h2>{html.escape(title)}</h2>{''.join(parts)}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts, escaped."""
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{cells}</tr>{lines}</table></div>'


def ranged(row: Row, key: str, digits: int = 2) -> str:
    """Format a figure with its 95 % interval."""
    return f"{row[key]:.{digits}f} ({row[f'{key}_low']:.{digits}f}–{row[f'{key}_high']:.{digits}f})"


def overview(trees: Mapping[str, Tree]) -> str:
    """Return the models side by side, pooled over all sources, above the constant answer."""
    rows = []
    for name, tree in trees.items():
        pooled = tree["results"]["pooled"]
        ninety = next((row for row in pooled.get("coverage", ()) if row["level"] == 0.9), None)
        gates = {row["threshold"]: row["ece"] for row in pooled.get("reliability", ())}
        rows.append(
            [
                name,
                ranged(pooled, "mae"),
                f"{pooled['cs5']:.1%}",
                f"{pooled['bias']:+.2f}",
                ranged(pooled, "crps") if "crps" in pooled else "",
                f"{ninety['coverage']:.1%} / {ninety['width']:.1f}" if ninety else "",
                " / ".join(f"{gates[age]:.3f}" for age in (18, 25)) if gates else "",
                f"{tree['detection_rate']:.2%}",
                f"{tree['mae_with_missed']:.2f}",
            ]
        )
    constant = next(iter(trees.values()))["results"]["pooled"]["constant"]
    rows.append([f"always {constant['age']:.0f}", f"{constant['mae']:.2f}", f"{constant['cs5']:.1%}", *[""] * 6])
    head = ["", "MAE (95 %)", "CS@5", "bias", "CRPS (95 %)", "90 % interval: inside / ages wide"]
    head += ["ECE of P(≥ 18) / P(≥ 25)", "faces found", "MAE with missed"]
    first = next(iter(trees.values()))
    counted = f"{first['photographs']} photographs, split {first.get('split', 'all')}"
    note = f"{counted}. Errors in years; intervals by bootstrap."
    return section("All sources", f'<p class="note">{html.escape(note)}</p>', table(head, rows))


Column = tuple[str, Callable[[Row], str]]

ACCURACY: Final[tuple[Column, ...]] = (
    ("MAE (95 %)", lambda row: ranged(row, "mae")),
    ("CS@5", lambda row: f"{row['cs5']:.1%}"),
    ("bias", lambda row: f"{row['bias']:+.2f}"),
)
ROBUSTNESS: Final[tuple[Column, ...]] = (
    ("MAE", lambda row: f"{row['mae']:.2f}"),
    ("bias", lambda row: f"{row['bias']:+.2f}"),
    ("found", lambda row: f"{row['detection_rate']:.1%}"),
)
RELIABILITY: Final[tuple[Column, ...]] = (
    ("ECE", lambda row: f"{row['ece']:.3f}"),
    ("by chance (95 %)", lambda row: f"{row['ece_by_chance']:.3f} ({row['ece_by_chance_95']:.3f})"),
)
COVERAGE: Final[tuple[Column, ...]] = (
    ("inside (95 %)", lambda row: ranged(row, "coverage", 3)),
    ("ages wide", lambda row: f"{row['width']:.1f}"),
)


def groups_table(trees: Mapping[str, Tree], key: str, columns: Sequence[Column], label: str = "group") -> str:
    """Return the rows under `key` as a table, the models side by side."""
    names = list(dict.fromkeys(row[label] for tree in trees.values() for row in tree[key]))
    head = ["", "n", *(f"{name}: {title}" if len(trees) > 1 else title for name in trees for title, _ in columns)]
    rows = []
    for group in names:
        found = [next((row for row in tree[key] if row[label] == group), None) for tree in trees.values()]
        count = next((str(row["n"]) for row in found if row and "n" in row), "")
        rows.append([str(group), count, *(show(row) if row else "" for row in found for _, show in columns)])
    return table(head, rows)


def source_section(source: str, results: Mapping[str, Tree]) -> str:
    """Return everything measured on one source."""
    parts = [groups_table(results, "by_true_age", ACCURACY), cumulative_score_plot(results)]
    parts += [
        bars_plot(results, "by_true_age", "mae", "MAE by true age"),
        bars_plot(results, "by_true_age", "bias", "bias by true age"),
        bars_plot(results, "by_predicted_age", "bias", "bias by predicted age"),
    ]
    for group in ("sex", "race", "source"):
        if any(tree[f"by_{group}"] for tree in results.values()):
            parts.append(f"<h3>By {group}</h3>{groups_table(results, f'by_{group}', ACCURACY)}")
    if all("reliability" in tree for tree in results.values()):
        parts += ["<h3>P(age ≥ t)</h3>", groups_table(results, "reliability", RELIABILITY, "threshold")]
        parts += [reliability_plot(results), pit_plot(results), "<h3>Intervals</h3>"]
        parts += [groups_table(results, "coverage", COVERAGE, "level"), coverage_plot(results)]
    minors = [[name, str(tree["challenge_25"]["n"]), _rate(tree["challenge_25"])] for name, tree in results.items()]
    parts.append("<h3>Challenge 25</h3>" + table(["", "under 18", "estimated 25 or over"], minors))
    return section(source, *parts)


def _rate(row: Row) -> str:
    return f"{row['rate']:.1%} ({row['rate_low']:.1%}–{row['rate_high']:.1%})" if row["n"] else ""


def faces_section(name: str, tree: Tree, raw: Path) -> str:
    """Return predicted against true ages, and the worst errors as faces."""
    with np.load(raw) as arrays:
        pmf, low, worst, faces = (arrays[key] for key in ("pmf", "low", "worst", "worst_faces"))
    found = np.flatnonzero(np.isfinite(pmf[:, 0]))
    ages = np.full(len(low), np.nan)
    ages[found] = decoded(pmf[found], tree["model"]["decode"])
    figures = [
        f"<figure>{picture(face)}<figcaption>{low[i]} → {ages[i]:.0f}</figcaption></figure>"
        for i, face in zip(worst, faces, strict=True)
    ]
    return section(
        f"{name}: photographs",
        scatter_plot(ages[found], low[found]),
        '<h3>Worst errors</h3><p class="note">true age → predicted age</p>',
        f'<div class="faces">{"".join(figures)}</div>',
    )
