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
from training.export.card import FEW, ninety, ranged
from training.measures.calibration import decoded

Tree = dict[str, Any]
Row = dict[str, Any]

TERMS: Final = (
    ("MAE", "mean absolute error in years: how far the estimate is from the true age, on average"),
    ("bias", "mean signed error in years: positive where people are estimated too old"),
    ("CS@5", "cumulative score: share of people whose estimate is at most five years off"),
    ("CRPS", "how far the whole distribution is from the true age, in years; with all of it on one age, it is the MAE"),
    (
        "ECE",
        "mean gap between a predicted probability and how often it came true, 0 to 1; ages weighed to age_mix",
    ),
    ("90 % interval", "contains the true age of 90 % of people if it is right; the narrower, the better"),
    ("(95 %)", "95 % interval: how far the figure may be from that of many more such photographs"),
    ("too few", f"fewer than {FEW} photographs, which say nothing about others"),
)

PIT: Final = (
    "where true ages lie in their distributions: flat if these are right, a hill if too wide, a bowl if too narrow"
)

ENOUGH: Final = 100
"""Photographs below which the page says that all its figures are rough."""


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
    Column("over unchanged, same faces", lambda row: f"{row['over_clean']:.2f}"),
    Column("bias", lambda row: f"{row['bias']:+.2f}"),
    Column("inside the 90 % interval", lambda row: f"{row['coverage']:.1%}"),
    Column("faces found", lambda row: f"{row['detection_rate']:.1%}"),
    Column(
        "children under 10 estimated over 18",
        lambda row: f"{row['children_over_18']:.1%}" if row["children"]["n"] >= FEW else "too few",
    ),
)
RELIABILITY: Final = (
    Column("ECE", lambda row: f"{row['ece']:.3f}"),
    Column("by chance alone, median (95 %)", lambda row: f"{row['ece_by_chance']:.3f} ({row['ece_by_chance_95']:.3f})"),
)
COVERAGE: Final = (
    Column("true age inside (95 %)", lambda row: _share(row, "coverage")),
    Column("ages wide", lambda row: f"{row['width']:.1f}" if row["n"] >= FEW else ""),
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
        note=f"{first['photographs']} photographs, split {first.get('split', 'all')}; errors in years. Ranges are "
        "95 % intervals: by bootstrap over photographs, of shares by Clopper and Pearson.",
        summary=[(name, in_words(tree)) for name, tree in trees.items()],
        overview=overview(trees),
        terms=TERMS,
        sources=[
            source_part(each, {name: t["results"][each] for name, t in trees.items()}) for each in first["results"]
        ],
        robustness=groups_table(trees, "robustness", ROBUSTNESS) if measured else None,
        photographs=[photographs_part(name, trees[name], path) for name, path in raws.items()],
    )


def in_words(tree: Tree) -> str:
    """Say in a few sentences what matters of a model's evaluation."""
    pooled = tree["results"]["pooled"]
    if pooled["n"] < FEW:
        return f"Faces were found in {pooled['n']} photographs, which are too few to judge it by."
    constant, worst = pooled["constant"], _worst(pooled["by_true_age"])
    said = [
        f"Its estimates are {pooled['mae']:.1f} years off on average, {pooled['cs5']:.0%} of them at most five years."
    ]
    said.append(f"Whoever always answers {constant['age']:.0f} is {constant['mae']:.1f} years off.")
    if worst:
        said.append(f"The mean error is largest for people aged {worst['group']}: {worst['mae']:.1f} years.")
    if "coverage" in pooled:
        covered = ninety(pooled)
        said.append(
            f"The 90 % interval contains the true age of {covered['coverage']:.0%} of people; "
            f"it is {covered['width']:.0f} ages wide on average."
        )
    if tree["missed"]:
        said.append(f"No face was found in {tree['missed']} of {tree['photographs']} photographs.")
    if pooled["n"] < ENOUGH:
        said.append(f"All this is rough: it rests on {pooled['n']} photographs.")
    return " ".join(said)


def _worst(rows: Sequence[Row]) -> Row | None:
    return max((row for row in rows if row["n"] >= FEW), key=lambda row: float(row["mae"]), default=None)


def overview(trees: Mapping[str, Tree]) -> Table:
    """Return the models side by side, pooled over all sources, above the constant answer."""
    rows = []
    for name, tree in trees.items():
        pooled = tree["results"]["pooled"]
        covered = ninety(pooled) if "coverage" in pooled else None
        gates = {row["threshold"]: row["ece"] for row in pooled.get("reliability", ())}
        rows.append(
            [
                name,
                *(each.show(pooled) for each in ACCURACY),
                ranged(pooled, "crps") if "crps" in pooled else "",
                f"{covered['coverage']:.1%} / {covered['width']:.1f}" if covered else "",
                " / ".join(f"{gates[age]:.3f}" for age in (18, 25)) if gates else "",
                f"{tree['detection_rate']:.2%}",
                f"{tree['mae_with_missed']:.2f}",
            ]
        )
    constant = next(iter(trees.values()))["results"]["pooled"]["constant"]
    rows.append([f"always {constant['age']:.0f}", f"{constant['mae']:.2f}", f"{constant['cs5']:.1%}", *[""] * 6])
    head = ["", *(each.title for each in ACCURACY), "CRPS (95 %)", "90 % interval: true age inside / ages wide"]
    missed = f"MAE if missed faces count as {next(iter(trees.values()))['fallback_age']:.0f}"
    return Table([*head, "ECE of P(age ≥ 18) / P(age ≥ 25)", "faces found", missed], rows)


def groups_table(
    trees: Mapping[str, Tree], key: str, columns: Sequence[Column], label: str = "group", shown: str = "{}"
) -> Table:
    """Return the rows under `key` as a table, the models side by side; `shown` formats what a row is called."""
    names = list(dict.fromkeys(row[label] for tree in trees.values() for row in tree[key]))
    titles = [f"{name}: {each.title}" if len(trees) > 1 else each.title for name in trees for each in columns]
    counted = any("n" in row for tree in trees.values() for row in tree[key])
    rows = []
    for group in names:
        found = [next((row for row in tree[key] if row[label] == group), None) for tree in trees.values()]
        count = [next((str(row["n"]) for row in found if row and "n" in row), "")] if counted else []
        cells = (each.show(row) if row else "" for row in found for each in columns)
        rows.append([shown.format(group), *count, *cells])
    return Table(["", *(["n"] if counted else []), *titles], rows)


def source_part(source: str, results: Mapping[str, Tree]) -> dict[str, Any]:
    """Return everything that the page shows of one source, by the template's names."""
    gated = all("reliability" in tree for tree in results.values())
    groups = [
        group for group in ("sex", "race", "source") if any(_several(tree[f"by_{group}"]) for tree in results.values())
    ]
    minors = [[name, str(tree["challenge_25"]["n"]), _rate(tree["challenge_25"])] for name, tree in results.items()]
    part = {
        "title": "All sources" if source == "pooled" else source,
        "by_true_age": groups_table(results, "by_true_age", ACCURACY),
        "plots": [
            (bars_plot(results, "by_true_age", "mae", "MAE, years"), "mean error by true age"),
            (
                bars_plot(results, "by_true_age", "bias", "bias, years"),
                "bias by true age: above 0, people of that age are estimated too old",
            ),
            (
                bars_plot(results, "by_predicted_age", "bias", "bias, years"),
                "bias by predicted age: above 0, people are younger than an estimate of that age",
            ),
            (cumulative_score_plot(results), "share of photographs with at most so large an error"),
        ],
        "groups": [(group, groups_table(results, f"by_{group}", ACCURACY)) for group in groups],
        "gates": groups_table(results, "reliability", RELIABILITY, "threshold", "P(age ≥ {})") if gated else None,
        "minors": Table(["", "people under 18", "estimated 25 or over (95 %)"], minors)
        if _any_minors(results)
        else None,
    }
    if gated:
        part["reliability"] = reliability_diagram({name: tree["reliability"] for name, tree in results.items()})
        part["distributions"] = [
            (coverage_plot(results), "share of true ages inside the 90 % interval, by predicted age; line: 90 %"),
            (pit_plot(results), PIT),
        ]
        part["intervals"] = groups_table(results, "coverage", COVERAGE, "level", "{:.0%}")
        covered = {name: ninety(tree) for name, tree in results.items()}
        part["interval_groups"] = [
            (group, groups_table(covered, f"by_{group}", COVERAGE))
            for group in ("sex", "race")
            if all(row[f"by_{group}"] for row in covered.values())
        ]
    return part


def _several(rows: Sequence[Row]) -> bool:
    return len(rows) > 1


def _any_minors(results: Mapping[str, Tree]) -> bool:
    return any(tree["challenge_25"]["n"] for tree in results.values())


def _rate(row: Row) -> str:
    return _share(row, "rate") if row["n"] else ""


def _share(row: Row, key: str) -> str:
    if row["n"] < FEW:
        return "too few"
    return f"{row[key]:.1%} ({row[f'{key}_low']:.1%}–{row[f'{key}_high']:.1%})"


def photographs_part(name: str, tree: Tree, raw: Path) -> dict[str, Any]:
    """Return predicted against true ages, and the worst errors as faces."""
    with np.load(raw) as arrays:
        pmf, low, worst, faces = (arrays[key] for key in ("pmf", "low", "worst", "worst_faces"))
    found = np.flatnonzero(np.isfinite(pmf[:, 0]))
    ages = np.full(len(low), np.nan)
    ages[found] = decoded(pmf[found], tree["model"]["decode"])
    shown = [(picture(face), f"{low[i]} → {ages[i]:.0f}") for i, face in zip(worst, faces, strict=True)]
    return {"name": name, "scatter": scatter_plot(ages[found], low[found]), "worst": shown}
