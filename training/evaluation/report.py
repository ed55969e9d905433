"""One self-contained HTML page from evaluations: several models side by side, plots inside, worst faces shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from training.evaluation.plots import bars_plot, coverage_plot, cumulative_score_plot, picture, pit_plot, scatter_plot
from training.evaluation.reliability_diagram import reliability_diagram
from training.export.calibration import decoded
from training.export.card import FEW, ranged

Tree = dict[str, Any]
Row = dict[str, Any]

TERMS: Final = (
    ("MAE", "mean absolute error in years: how far the estimate is from the true age, on average"),
    ("bias", "mean signed error in years: positive where people are estimated too old"),
    ("CS@5", "share of people whose estimate is at most five years off"),
    ("CRPS", "error of the whole distribution in years; of a distribution that names one age it is the MAE"),
    ("ECE", "mean gap between a predicted probability and how often it came true; 0 is perfect"),
    ("90 % interval", "how often the true age lies inside it, which should be 90 %, and how many ages wide it is"),
)


class Table(NamedTuple):
    """A table of texts."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Column(NamedTuple):
    """A column's title and what it shows of a row."""

    title: str
    show: Callable[[Row], str]


ACCURACY: Final = (
    Column("MAE (95 %)", lambda row: ranged(row, "mae")),
    Column("CS@5", lambda row: f"{row['cs5']:.1%}" if row["n"] >= FEW else ""),
    Column("bias", lambda row: f"{row['bias']:+.2f}" if row["n"] >= FEW else ""),
)
ROBUSTNESS: Final = (
    Column("MAE", lambda row: f"{row['mae']:.2f}"),
    Column("bias", lambda row: f"{row['bias']:+.2f}"),
    Column("inside the 90 % interval", lambda row: f"{row['coverage']:.1%}"),
    Column("faces found", lambda row: f"{row['detection_rate']:.1%}"),
)
RELIABILITY: Final = (
    Column("ECE", lambda row: f"{row['ece']:.3f}"),
    Column("by chance (95 %)", lambda row: f"{row['ece_by_chance']:.3f} ({row['ece_by_chance_95']:.3f})"),
)
COVERAGE: Final = (
    Column("inside (95 %)", lambda row: ranged(row, "coverage", 3)),
    Column("ages wide", lambda row: f"{row['width']:.1f}"),
)


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
    first = next(iter(trees.values()))
    measured = all("robustness" in tree for tree in trees.values())
    templates = Environment(
        loader=PackageLoader("training.evaluation", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return templates.get_template("report.html").render(
        title="Age models: " + ", ".join(trees),
        note=f"{first['photographs']} photographs, split {first.get('split', 'all')}. Errors in years; ranges are "
        "95 % intervals by bootstrap over photographs.",
        overview=overview(trees),
        terms=TERMS,
        sources=[
            source_part(each, {name: t["results"][each] for name, t in trees.items()}) for each in first["results"]
        ],
        robustness=groups_table(trees, "robustness", ROBUSTNESS) if measured else None,
        photographs=[photographs_part(name, trees[name], path) for name, path in raws.items()],
    )


def overview(trees: Mapping[str, Tree]) -> Table:
    """Return the models side by side, pooled over all sources, above the constant answer."""
    rows = []
    for name, tree in trees.items():
        pooled = tree["results"]["pooled"]
        ninety = _ninety(pooled) if "coverage" in pooled else None
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
    return Table([*head, "ECE of P(≥ 18) / P(≥ 25)", "faces found", "MAE with missed"], rows)


def groups_table(trees: Mapping[str, Tree], key: str, columns: Sequence[Column], label: str = "group") -> Table:
    """Return the rows under `key` as a table, the models side by side."""
    names = list(dict.fromkeys(row[label] for tree in trees.values() for row in tree[key]))
    titles = [f"{name}: {each.title}" if len(trees) > 1 else each.title for name in trees for each in columns]
    rows = []
    for group in names:
        found = [next((row for row in tree[key] if row[label] == group), None) for tree in trees.values()]
        count = next((str(row["n"]) for row in found if row and "n" in row), "")
        rows.append([str(group), count, *(each.show(row) if row else "" for row in found for each in columns)])
    return Table(["", "n", *titles], rows)


def source_part(source: str, results: Mapping[str, Tree]) -> dict[str, Any]:
    """Return everything that the page shows of one source, by the template's names."""
    gated = all("reliability" in tree for tree in results.values())
    groups = [group for group in ("sex", "race", "source") if any(tree[f"by_{group}"] for tree in results.values())]
    minors = [[name, str(tree["challenge_25"]["n"]), _rate(tree["challenge_25"])] for name, tree in results.items()]
    part = {
        "title": "All sources" if source == "pooled" else source,
        "by_true_age": groups_table(results, "by_true_age", ACCURACY),
        "plots": [
            cumulative_score_plot(results),
            bars_plot(results, "by_true_age", "mae", "MAE by true age"),
            bars_plot(results, "by_true_age", "bias", "bias by true age"),
            bars_plot(results, "by_predicted_age", "bias", "bias by predicted age"),
        ],
        "groups": [(group, groups_table(results, f"by_{group}", ACCURACY)) for group in groups],
        "gates": groups_table(results, "reliability", RELIABILITY, "threshold") if gated else None,
        "minors": Table(["", "under 18", "estimated 25 or over"], minors),
    }
    if gated:
        part["reliability"] = reliability_diagram({name: tree["reliability"] for name, tree in results.items()})
        part |= {"pit": pit_plot(results), "coverage": coverage_plot(results)}
        part["intervals"] = groups_table(results, "coverage", COVERAGE, "level")
        ninety = {name: _ninety(tree) for name, tree in results.items()}
        part["interval_groups"] = [
            (group, groups_table(ninety, f"by_{group}", COVERAGE))
            for group in ("sex", "race")
            if all(row.get(f"by_{group}") for row in ninety.values())
        ]
    return part


def _ninety(tree: Tree) -> Row:
    """Return the coverage of the 90 % interval."""
    return next(row for row in tree["coverage"] if row["level"] == 0.9)


def _rate(row: Row) -> str:
    return f"{row['rate']:.1%} ({row['rate_low']:.1%}–{row['rate_high']:.1%})" if row["n"] else ""


def photographs_part(name: str, tree: Tree, raw: Path) -> dict[str, Any]:
    """Return predicted against true ages, and the worst errors as faces."""
    with np.load(raw) as arrays:
        pmf, low, worst, faces = (arrays[key] for key in ("pmf", "low", "worst", "worst_faces"))
    found = np.flatnonzero(np.isfinite(pmf[:, 0]))
    ages = np.full(len(low), np.nan)
    ages[found] = decoded(pmf[found], tree["model"]["decode"])
    shown = [(picture(face), f"{low[i]} → {ages[i]:.0f}") for i, face in zip(worst, faces, strict=True)]
    return {"name": name, "scatter": scatter_plot(ages[found], low[found]), "worst": shown}
