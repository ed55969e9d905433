"""Write model cards: Markdown from the manifest, the evaluation and the limits of the training data."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from onnx import ModelProto

from service.errors import InvalidParameter
from service.inference.manifest import Manifest
from training.datasets import ABOUT
from training.export.graph import ExportRefused, embed
from training.export.lock import fingerprint, lock_model, own_model, write_model
from training.weights import TERMS as WEIGHTS_TERMS

Tree = dict[str, Any]
Row = dict[str, Any]

UNFIT: Final = """\
- Proof of age, or any decision about a person without a human who can be asked again.
- Identifying people, or guessing anything but age.
- Comparing two photographs of one person to the year: the interval says how little one picture shows.
- A gate that relies on P(age ≥ t) where the mix of ages differs from the one measured here: such a probability holds
  for the mix that the file states.
"""

FEW: Final = 10
"""Photographs below which a mean and its bootstrap interval are not shown."""

BLOCKS: Final = 13
MOBILENET: Final = f"MobileNetV1 ({BLOCKS} separable blocks)"
RESIDUAL: Final = "MobileNetV1 with parameter-free shortcuts (not ResNet-34 or -50)"

MIRRORED: Final = ", the mean over the face and its mirror image"


def sign_off(path: Path, evaluation: Path, note: str | None = None, ablation: Path | None = None) -> Path:
    """Write the measured figures into the file's manifest, its lock entry anew, and `NAME.md` beside it.

    `ablation` is what `agelens-train ablate` wrote; its rows trained on one dataset alone go into the card, and `note`
    ends it. Returns the card's path. Raises ExportRefused where the evaluation is of another graph, and
    InvalidParameter for an ablation of another form or a file of another name than its manifest's.
    """
    tree = json.loads(evaluation.read_text())
    model, manifest = own_model(path)
    if tree.get("fingerprint") != fingerprint(model):
        raise ExportRefused(f"{evaluation.name} was measured on another file than {path.name}; evaluate this one")
    signed = manifest.model_copy(update={"metrics": {**manifest.metrics, **headline(tree)}})
    embed(model, signed)
    entry = lock_model(write_model(model, path.parent))
    out = path.with_suffix(".md")
    rows = json.loads(ablation.read_text()) if ablation else ()
    if not all("figures" in row for row in rows):
        raise InvalidParameter(f"{ablation} was written by an older `agelens-train ablate`; run that again")
    out.write_text(card(signed, tree, entry.sha256, note, rows, network_of(model)))
    return out


def headline(tree: Tree) -> dict[str, float]:
    """Return the figures that go into the manifest: MAE and CS@5 by source, coverage, calibration, detection."""
    split = tree.get("split", "test")
    figures = {f"{split}_detection_rate": tree["detection_rate"]}
    for source, result in tree["results"].items():
        suffix = "" if source == "pooled" else f"_{source}"
        figures[f"{split}_mae{suffix}"] = result["mae"]
        figures[f"{split}_cs5{suffix}"] = result["cs5"]
    pooled = tree["results"]["pooled"]
    figures |= {f"{split}_ece_{row['threshold']}": row["ece"] for row in pooled.get("reliability", ())}
    figures |= {f"{split}_coverage_{row['level']:g}": row["coverage"] for row in pooled.get("coverage", ())}
    return {name: round(float(value), 4) for name, value in figures.items()}


def card(
    manifest: Manifest,
    tree: Tree,
    sha256: str,
    note: str | None = None,
    ablation: Sequence[Row] = (),
    network: str | None = None,
) -> str:
    """Return the card of a model as Markdown; `network` is what its backbone is called, `note` its closing line."""
    made = manifest.provenance
    facts = [
        ("family", manifest.family),
        *([("network", network)] if network else []),
        ("precision", manifest.precision),
        ("input", f"{manifest.crop.size}×{manifest.crop.size} RGB, cut {manifest.crop.margin:g} beyond the face's box"),
        ("answer", f"P(age = 0..100){MIRRORED * manifest.flip}; the age is its {manifest.decode}"),
        ("recipe", f"`{made.recipe}`, code {made.commit}, {made.created}"),
        ("data", "; ".join(with_terms(source) for source in made.data)),
        ("initial weights", "; ".join(with_terms(name) for name in origins(made.initial_weights))),
        ("licence", manifest.licence),
        ("sha256", f"`{sha256}`"),
    ]
    parts = [
        f"# {manifest.name} {manifest.version}\n\nWritten by `agelens-train card` from measurements; do not edit.\n",
        markdown(["", ""], [[key, value] for key, value in facts]),
        f"## Measured on `{tree.get('split', 'test')}`\n\n{measured(tree)}",
        *(source_part(source, result) for source, result in tree["results"].items()),
    ]
    if "robustness" in tree:
        parts.append("## Robustness\n\n" + robustness_table(tree["robustness"]))
    alone = [row for row in ablation if row["name"] == "recipe" or row["name"].startswith("only-")]
    if alone:
        parts.append("## Across data sets\n\n" + across(alone))
    parts += limits_part(made.data)
    parts.append(
        "## Uses\n\nFor research: age distributions of photographs in aggregate, and methods that need an honest "
        f"uncertainty.\n\nUnfit for:\n\n{UNFIT}"
    )
    if note:
        parts.append(f"More figures: {note}\n")
    return "\n".join(parts)


def network_of(model: ModelProto) -> str | None:
    """Name the backbone by the layers in the graph, an ensemble's by each member; None where they tell nothing.

    A member that shares another's first layers has only the last ones of its own.
    """
    members: dict[str, list[str]] = {}
    for node in model.graph.node:
        member = re.match(r"(member\d+_)*", node.name)
        members.setdefault(member.group() if member else "", []).append(node.name)
    found = []
    for _, names in sorted(members.items()):
        blocks = {int(number) for name in names for number in re.findall(r"conv_dw_(\d+)", name)}
        if BLOCKS not in blocks:
            continue
        whole = RESIDUAL if any("shortcut_" in name for name in names) else MOBILENET
        lacking = BLOCKS - len(blocks)
        found.append(
            f"the last {len(blocks)} blocks of another, on the first {lacking} of one of these" if lacking else whole
        )
    return " + ".join(found) or None


def limits_part(data: Sequence[str], others: Sequence[str] = ()) -> list[str]:
    """Return the section on limits of the named data sets, then `others`; no section where none is known."""
    limits = [limit for name in data if name in ABOUT for limit in ABOUT[name].limits]
    return ["## Limits\n\n" + "".join(f"- {limit}\n" for limit in (*limits, *others))] if limits or others else []


def origins(initial_weights: str) -> list[str]:
    """Name each network that the weights come from once, in order: a merged one has many twice."""
    steps = (step.removeprefix("then ").removeprefix("merged with ") for step in initial_weights.split(", "))
    return list(dict.fromkeys(steps))


def with_terms(name: str) -> str:
    """Return a data set's or weights' name with its terms of use, where they are known; a path is cut to its stem."""
    known = terms_of(name)
    return f"{_stem(name)} ({known})" if known else _stem(name)


def terms_of(name: str) -> str | None:
    """Return the terms of use of a data set or weights; None where none are known."""
    terms = {**WEIGHTS_TERMS, **{key: about.terms for key, about in ABOUT.items()}}
    word = _stem(name).rpartition(" ")[2]
    return next((text for key, text in terms.items() if word == key or word.endswith(f"_{key}")), None)


def _stem(name: str) -> str:
    return Path(name).stem if Path(name).suffix in {".npz", ".onnx"} else Path(name).name


def measured(tree: Tree) -> str:
    """Describe the evaluation: photographs, detection rate, command."""
    text = (
        f"{tree['photographs']} original photographs through detector and crop as the service does it; the largest "
        f"face counts. A face was found in {tree['detection_rate']:.2%} of them; with the missed ones "
        f"answered {tree['fallback_age']:.0f}, the MAE of all is {tree['mae_with_missed']:.2f} years. "
        "Ranges are 95 % bootstrap intervals over photographs, not over trainings. Figures that others publish are of "
        "other splits. Calibration errors are of photographs weighed to the mix of ages that the file says its "
        "probabilities hold for (`age_mix`), and in the last column as they come.\n"
    )
    command = tree.get("command")
    return f"{text}\n    {command}\n" if command else text


def _without_faces(share: float) -> list[str]:
    """Say how much of the mix of ages has no face to judge probabilities by, from a per cent on."""
    if share < 0.01:
        return []
    told = f"None of these photographs shows people of the ages that {share:.0%} of that mix are: they count nothing.\n"
    return [told]


def source_part(source: str, result: Tree) -> str:
    """Return the part of the card about one source."""
    whole = {"group": "**all**", **{key: value for key, value in result.items() if not isinstance(value, list | dict)}}
    lines = [accuracy_line(row) for row in (whole, *result["by_true_age"], *result["by_youth"])]
    for group in ("sex", "race"):
        lines += [accuracy_line(row) for row in result[f"by_{group}"]]
    constant = result["constant"]
    lines.append([f"always {constant['age']:.0f}", "", f"{constant['mae']:.2f}", f"{constant['cs5']:.1%}", ""])
    parts = [f"### {source}\n", markdown(["", "n", "MAE, years", "CS@5", "bias"], lines)]
    if result["by_five_years"]:
        lines = [[*line[:3], line[4]] for line in map(accuracy_line, result["by_five_years"])]
        parts.append("By true age, five years at a time, from 5 to 29:\n")
        parts.append(markdown(["", "n", "MAE, years", "bias"], lines))
    if "reliability" in result:
        head = ["P(age ≥ t)", "calibration error", "by chance, median (95 %)"]
        head += ["n with P of 0.05–0.95", "calibration error there", "by chance, median (95 %)"]
        head.append("as the photographs come: all, there")
        parts.append(markdown(head, [reliability_line(row) for row in result["reliability"]]))
        parts += _without_faces(result["reliability"][0]["mix_without_faces"])
    if any(row["curve"] for row in result.get("gates", ())):
        parts.append(gates_table(result["gates"]))
    if "coverage" in result:
        covered = ninety(result)
        lines = [[f"{row['level']:.0%} interval, all", *coverage_line(row)] for row in result["coverage"]]
        lines += [[f"90 %, predicted {row['group']}", *coverage_line(row)] for row in covered["bands"]]
        groups = (row for key in ("by_sex", "by_race") for row in covered[key])
        lines += [[f"90 %, {row['group']}", *coverage_line(row)] for row in groups]
        parts.append(markdown(["", "n", "true age inside", "ages wide"], lines))
    parts.append(f"{result['one_hump']:.1%} of the distributions have one hump.\n")
    minors = result["challenge_25"]
    if minors["n"]:
        rate = f"{minors['rate']:.1%} ({minors['rate_low']:.1%}–{minors['rate_high']:.1%})"
        parts.append(f"Challenge 25: {rate} of {minors['n']} people under 18 are estimated 25 or over.\n")
    return "\n".join(parts)


def ninety(result: Tree) -> Row:
    """Return how often the 90 % interval of a source's photographs covers, and how wide it is."""
    return next(row for row in result["coverage"] if row["level"] == 0.9)


def ranged(row: Row, key: str, digits: int = 2) -> str:
    """Format a figure with its 95 % interval; below `FEW` photographs neither says anything."""
    if row["n"] < FEW:
        return "too few"
    return f"{row[key]:.{digits}f} ({row[f'{key}_low']:.{digits}f}–{row[f'{key}_high']:.{digits}f})"


def accuracy_line(row: Row) -> list[str]:
    """Return one row of accuracy as cells."""
    figures = [ranged(row, "mae"), f"{row['cs5']:.1%}", f"{row['bias']:+.2f}"]
    return [row["group"], str(row["n"]), *(figures if row["n"] >= FEW else (figures[0], "", ""))]


def reliability_line(row: Row) -> list[str]:
    """Return one threshold as cells."""
    unsure, plain = row["unsure"], row["as_they_come"]
    doubtful = error_cells(unsure) if "ece" in unsure else ["", ""]
    unweighted = ", ".join(f"{part['ece']:.3f}" for part in (plain, plain["unsure"]) if "ece" in part)
    return [str(row["threshold"]), *error_cells(row), str(unsure["n"]), *doubtful, unweighted]


def error_cells(row: Row) -> list[str]:
    """Return a calibration error, and what chance alone shows, as cells."""
    return [f"{row['ece']:.3f}", f"{row['ece_by_chance']:.3f} ({row['ece_by_chance_95']:.3f})"]


def gates_table(gates: Sequence[Row]) -> str:
    """Say who passes gates that ask for a P(age ≥ t): the share of the younger, and of the old enough who do not."""
    gates = [gate for gate in gates if gate["curve"]]
    head = ["gate at t: younger who pass / old enough who do not"]
    head += [f"P ≥ {point['probability']:g}" for point in gates[0]["curve"]]
    lines = [
        [str(gate["threshold"]), *(f"{p['false_accept']:.1%} / {p['false_reject']:.1%}" for p in gate["curve"])]
        for gate in gates
    ]
    return markdown(head, lines)


def coverage_line(row: Row) -> list[str]:
    """Return one coverage as cells."""
    inside = f"{row['coverage']:.1%} ({row['coverage_low']:.1%}–{row['coverage_high']:.1%})"
    return [str(row["n"]), inside, f"{row['width']:.1f}"]


def robustness_table(rows: Sequence[Row]) -> str:
    """Return the rows of changed photographs as a table."""
    head = ["", "n", "MAE, years", "over unchanged, same faces", "bias", "90 % interval covers", "ages wide"]
    head += ["faces found", "children under 10: n", "MAE", "bias", "covered", "over 18", "under 15: over 18"]
    return markdown(head, [[row["group"], str(row["n"]), *wear_cells(row)] for row in rows])


def wear_cells(row: Row) -> list[str]:
    """Return what a kind of wear does, to all and to children, as cells."""
    children = row["children"]
    cells = [f"{row['mae']:.2f}", f"{row['over_clean']:.2f}", f"{row['bias']:+.2f}", f"{row['coverage']:.1%}"]
    cells += [f"{row['width']:.1f}", f"{row['detection_rate']:.1%}", str(children["n"])]
    if not children["n"]:
        return [*cells, "", "", "", "", ""]
    cells += [f"{children['mae']:.2f}", f"{children['bias']:+.2f}", f"{children['coverage']:.1%}"]
    return [*cells, f"{row['children_over_18']:.1%}", f"{row['under_15_over_18']:.1%}"]


def across(rows: Sequence[Row]) -> str:
    """Return the rows of `agelens-train ablate` that learned from one dataset alone, with their commands."""
    sources = rows[0]["sources"]
    lines = [
        [row["what"], str(row["steps"]), *(f"{row['figures'][source]['mean']:.2f}" for source in sources)]
        for row in rows
    ]
    head = ["short runs that learned from", "steps", *(f"MAE on {source} `val`, years" for source in sources)]
    return markdown(head, lines) + "\n" + "".join(f"    {each}\n" for row in rows for each in row["commands"])


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
