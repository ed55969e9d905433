"""What the documents say of measurements, read from the files that the measuring commands wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from docs.generate import charts
from docs.generate.blocks import ranged, table
from docs.generate.code import ROOT
from docs.generate.gates import gate_table, gate_tables
from docs.generate.plot import distribution_plot
from docs.generate.replies import REPLY
from service.inference.estimator import Estimator
from service.inference.lockfile import ModelLock
from training.evaluation.reliability_diagram import reliability_diagram
from training.export.card import ninety

Tree = dict[str, Any]

MEASURED: Final = ROOT / "docs" / "measured"
IMAGES: Final = ROOT / "docs" / "images"
SPEED: Final = ROOT / "benchmarks" / "results" / "latest.json"

_FIGURES: Final = {
    "server_over_bound": "pictures a second through HTTP, over those of the bare pipeline in one process",
    "server_over_best_peer": "pictures a second, over those of the best other server with the same pipeline",
    "p50_over_stages": "median time to answer, over the sum of its stages",
    "p99_over_p50": "99th percentile of the time to answer, over the median",
    "int8_over_float32": "time of an int8 model, over that of its float32 one",
    "large_photo_over_decode": "a 12-megapixel photograph, over decoding it in full",
    "score_over_bound": "pictures a second of `agelens score`, over those of the bare pipeline",
    "ray_over_local": "pictures a second on Ray, over those without it",
    "ready_s": "seconds from start to ready",
    "rss_mb": "megabytes of memory under load",
    "mae_change": "largest increase of the mean error of any model, in years, by reduced decoding or int8",
}


def evaluations() -> dict[str, Tree]:
    """Return what `agelens-train evaluate` wrote of each model, by the model's name."""
    files = sorted(MEASURED.glob("*.evaluation.json"))
    return {path.name.removesuffix(".evaluation.json"): json.loads(path.read_text()) for path in files}


def accuracy_table() -> str:
    """Return the models side by side on each dataset, with the command behind."""
    trees = evaluations()
    rows = [
        [name, source, str(part["n"]), ranged(part, "mae"), f"{part['cs5']:.1%}", f"{part['constant']['mae']:.2f}"]
        for name, tree in trees.items()
        for source, part in tree["results"].items()
    ]
    head = ["model", "photographs", "n", "mean error, years (95 %)", "within 5 years", "guessing the median"]
    return _with_commands(table(head, rows), list(trees.values()))


def default_accuracy() -> str:
    """Return the error of the model that answers by default, a row for each dataset."""
    rows = [
        [source, str(part["n"]), ranged(part, "mae"), f"{part['cs5']:.0%}", f"{part['constant']['mae']:.1f}"]
        for source, part in evaluations()[default_model()]["results"].items()
        if source != "pooled"
    ]
    return table(["photographs", "n", "mean error, years (95 %)", "within 5 years", "guessing the median"], rows)


def default_trust() -> str:
    """Return how far the answers of the model that answers by default may be relied on, a line each."""
    tree = evaluations()[default_model()]
    pooled = _pooled(tree)
    covered = ninety(pooled)["coverage"]
    worn = [row["coverage"] for row in tree["robustness"] if row["group"] != "unchanged"]
    adult = next(row for row in pooled["reliability"] if row["threshold"] == 18)
    curve = next(gate for gate in pooled["gates"] if gate["threshold"] == 18)["curve"]
    gate = next(point for point in curve if point["probability"] == 0.9)
    rows = [
        ["share of faces whose true age is in the interval of 90 %", f"{covered:.0%}"],
        [f"the same under {len(worn)} kinds of wear", f"{min(worn):.0%} to {max(worn):.0%}"],
        ["calibration error of P(age ≥ 18); by chance alone", f"{adult['ece']:.3f}; {adult['ece_by_chance']:.3f}"],
        ["minors whom a gate at P(age ≥ 18) ≥ 0.9 lets through", f"{gate['false_accept']:.1%}"],
        ["grown-ups whom it refuses", f"{gate['false_reject']:.1%}"],
        *([f"mean error by {name}, years", _spread(pooled[f"by_{name}"])] for name in ("sex", "race")),
    ]
    return table(["what", "measured"], rows)


def _spread(rows: Sequence[Tree]) -> str:
    low, high = (choose(rows, key=lambda row: row["mae"]) for choose in (min, max))
    return f"{low['mae']:.1f} ({low['group']}) to {high['mae']:.1f} ({high['group']})"


def _with_commands(text: str, trees: Sequence[Tree]) -> str:
    commands = dict.fromkeys(tree["command"] for tree in trees if tree.get("command"))
    return text + "".join(f"\n    {command}\n" for command in commands) if text else ""


def ages_table() -> str:
    """Return the mean error and bias by true age, the models side by side."""
    trees = evaluations()
    groups = list(dict.fromkeys(row["group"] for tree in trees.values() for row in _pooled(tree)["by_true_age"]))
    rows = []
    for group in groups:
        found = [_row(_pooled(tree)["by_true_age"], group) for tree in trees.values()]
        rows.append([group, str(found[0]["n"]), *(f"{row['mae']:.2f} ({row['bias']:+.2f})" for row in found)])
    return table(["true age", "n", *trees], rows)


def worn_table() -> str:
    """Return the error on worn photographs, and how many children are read as grown up there, the int8 models."""
    trees = {name: tree for name, tree in evaluations().items() if name.endswith("-int8")}
    rows = []
    for group in dict.fromkeys(row["group"] for tree in trees.values() for row in tree["robustness"]):
        found = [_row(tree["robustness"], group) for tree in trees.values()]
        rows.append([group, *(f"{row['mae']:.1f} ({row['children_over_18']:.0%})" for row in found)])
    return table(["photographs", *trees], rows)


def _pooled(tree: Tree) -> Tree:
    pooled: Tree = tree["results"]["pooled"]
    return pooled


def _row(rows: Sequence[Tree], group: str) -> Tree:
    return next(row for row in rows if row["group"] == group)


def speed_table() -> str:
    """Return what a photograph costs on one processor, then the benchmark's ratios, with the command behind."""
    if not SPEED.exists():
        return ""
    figures, details = json.loads(SPEED.read_text()), json.loads(SPEED.with_name("details.json").read_text())
    machines = details["machines"]
    costs = [
        [
            f"milliseconds on one processor, {name}",
            f"{found['stages_ms']['whole']['median']:.0f}",
            _processor(machines["stages"]),
        ]
        for name, found in details["stages"].items()
    ]
    rows = [
        [meaning, _figure(figures[name]), _processor(machines[name])]
        for name, meaning in _FIGURES.items()
        if name in figures
    ]
    head = ["what", "measured", "processor"]
    return table(head, [*costs, *rows]) + "\n    make bench\n"


def speed_summary() -> str:
    """Return the figures of speed and size that a user asks for first."""
    figures, details = json.loads(SPEED.read_text()), json.loads(SPEED.with_name("details.json").read_text())
    costs = {name: found["stages_ms"]["whole"]["median"] for name, found in details["stages"].items()}
    first, phone, *_ = costs
    rows = [
        [f"a photograph of {first}, on one processor", f"{costs[first]:.0f} ms"],
        [f"a photograph of {phone}, on one processor", f"{costs[phone]:.0f} ms"],
        ["from start to ready", f"{figures['ready_s']:.1f} s"],
        ["memory after a thousand requests", f"{figures['rss_mb']:.0f} MB"],
    ]
    return table(["what", f"measured ({_processor(details['machines']['stages'])})"], rows)


def _processor(machine: Tree) -> str:
    """Name a processor by what decides how fast eight-bit arithmetic is."""
    return f"{machine['processor']}, {'VNNI' if any('vnni' in flag for flag in machine['flags']) else 'no VNNI'}"


def estimators_table() -> str:
    """Return other people's estimators and ours on the same photographs, with the command behind."""
    details = json.loads(SPEED.with_name("details.json").read_text()) if SPEED.exists() else {}
    found = details.get("estimators", {})
    rows = [
        [name, f"{row['mae']:.2f}", f"{row['found']:.1%}", f"{row['ms']:.0f}"]
        for name, row in found.items()
        if "failed" not in row
    ]
    head = [
        "whole picture in, ages out",
        "mean error of faces found, years",
        "faces found",
        "milliseconds, one processor",
    ]
    return table(head, rows) + "\n    make bench WHAT=estimators LABELLED=utkface\n" if rows else ""


def _figure(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_figure(each)}" for key, each in value.items())
    return f"{value:.3g}" if isinstance(value, int | float) else str(value)


def _gates(name: str) -> Tree:
    measured: Tree = json.loads((MEASURED / f"{name}.gates.json").read_text())
    return measured


def gate_example() -> str:
    """Return who passes and who is refused at 18 with the model that answers by default, and one row in words."""
    (found,) = [gate for gate in _gates(default_model())["gates"] if gate["age"] == 18]
    (row,) = [bar for bar in found["bars"] if bar["bar"] == 0.95]
    said = (
        f"At 0.95, {row['passed']:.1%} of people under 18 pass, and {row['refused']:.1%} of adults are asked for a "
        f"document; of those aged 18 to {found['near']} it is {row['close_refused']:.0%}."
    )
    return f"{gate_table(found)}\n{said}\n"


def gates_tables() -> str:
    """Return, for each model and legal age, who is let through and who is refused at each bar."""
    names = sorted(path.name.removesuffix(".gates.json") for path in MEASURED.glob("*.gates.json"))
    return "\n".join(gate_tables(_gates(name)) for name in names)


def reliability_part() -> str:
    """Return calibration errors and where the plots are."""
    parts = []
    for name, tree in evaluations().items():
        rows = [
            [
                f"{row['threshold']}",
                f"{row['ece']:.3f}",
                f"{row['ece_by_chance']:.3f} ({row['ece_by_chance_95']:.3f})",
                f"{row['as_they_come']['ece']:.3f}",
            ]
            for row in _pooled(tree)["reliability"]
        ]
        head = ["t", "calibration error of P(age ≥ t)", "by chance alone, median (95 %)", "in the photographs' own mix"]
        parts.append(
            f"### {name}\n\n![Observed against predicted](images/reliability-{name}.svg)\n\n{table(head, rows)}"
        )
    return "\n".join(parts)


def coverage_table() -> str:
    """Return how often the true age lies inside the interval, and how wide it is."""
    rows = [
        [name, f"{row['level']:.0%}", ranged(row, "coverage", ".1%"), f"{row['width']:.1f}"]
        for name, tree in evaluations().items()
        for row in _pooled(tree)["coverage"]
    ]
    return table(["model", "asked", "true age inside (95 %)", "ages wide, mean"], rows)


def cards() -> str:
    """Return the model cards, included when the site is built."""
    names = sorted(path.name for path in (ROOT / "models").glob("*.md") if path.name != "LICENSE.md")
    return "\n\n".join(f'--8<-- "models/{name}"' for name in names)


def choices() -> str:
    """Return the list of the choices that have a page."""
    lines = []
    for page in sorted((ROOT / "docs" / "adr").glob("*.md")):
        title = page.read_text().splitlines()[0].lstrip("# ")
        lines.append(f"- [{title}](adr/{page.name})")
    return "\n".join(lines)


def mixes_table() -> str:
    """Return how common young ages are in the mixes that the models' probabilities hold for."""
    rows = []
    for entry in ModelLock.read(ROOT / "models").of_kind("model"):
        manifest = Estimator(ROOT / "models" / entry.file, entry.sha256).manifest
        mix = manifest.age_mix
        rows.append([manifest.name, f"{sum(mix[:18]):.1%}", *(f"{mix[age] / mix[27]:.2f}" for age in (12, 18))])
    return table(["model", "under 18", "12 for each of 27", "18 for each of 27"], rows)


def default_model() -> str:
    """Return the name of the model that answers where a request names none."""
    loaded = (entry for entry in ModelLock.read(ROOT / "models").of_kind("model") if entry.default)
    return next(loaded).file.removesuffix(".onnx")


def plots() -> dict[Path, str]:
    """Return every plot as SVG, by its file."""
    trees = evaluations()
    drawn: dict[Path, str] = {
        IMAGES / f"reliability-{name}.svg": reliability_diagram({name: _pooled(tree)["reliability"]})
        for name, tree in trees.items()
    }
    found = _pooled(trees[default_model()])
    drawn[IMAGES / "error-by-age.svg"] = charts.error_bars("Mean error and bias by true age", found["by_true_age"])
    errors, covered = ([part[key] for key in ("by_sex", "by_race") if part[key]] for part in (found, ninety(found)))
    drawn[IMAGES / "error-by-group.svg"] = charts.error_bars("Mean error and bias by sex and race", *errors)
    by_age = charts.interval_coverage("predicted age", 0.9, ninety(found)["bands"])
    drawn[IMAGES / "coverage-by-age.svg"] = by_age
    drawn[IMAGES / "coverage-by-group.svg"] = charts.interval_coverage("sex and race", 0.9, *covered)
    drawn[IMAGES / "coverage-by-wear.svg"] = charts.worn_coverage(0.9, trees[default_model()]["robustness"])
    drawn[IMAGES / "gates.svg"] = charts.gate_curves(_gates(default_model())["gates"])
    drawn[IMAGES / "peers.svg"] = charts.peers(json.loads(SPEED.with_name("details.json").read_text())["peers"])
    drawn[IMAGES / "distribution.svg"] = distribution_plot(json.loads(REPLY.read_text())["faces"][0])
    return drawn
