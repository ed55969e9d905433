"""What is generated in the documents is what the code and the measurements say now."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from pydantic import ValidationError

from docs.generate import measured
from docs.generate.__main__ import stale
from docs.generate.ablation import ablation_table
from docs.generate.blocks import fill, table
from docs.generate.charts import error_bars, gate_curves, interval_coverage, worn_coverage
from docs.generate.gates import gate, gate_table, gates, share
from docs.generate.measured import evaluations
from docs.generate.replies import REPLY, reply, short_reply
from docs.generate.take import note_error
from service.api.problems import KINDS, PLAIN
from service.api.schemas import PredictReply
from service.cli.models import inspect
from service.inference.lockfile import ModelLock
from service.inference.options import PredictOptions
from tests.docs.messages import messages
from tests.docs.reading import ROOT
from tests.tiny_model import write_models_folder
from training.evaluation.reliability import LEGAL_AGES, binomial_interval
from training.export.lock import fingerprint

TROUBLE = (ROOT / "docs" / "troubleshooting.md").read_text()


def test_no_document_is_stale() -> None:
    assert stale() == [], "run `python -m docs.generate`"


@pytest.mark.parametrize("name", sorted(evaluations()))
def test_the_figures_are_of_the_model_that_is_shipped(name: str) -> None:
    shipped = onnx.load(ROOT / "models" / f"{name}.onnx")
    assert evaluations()[name]["fingerprint"] == fingerprint(shipped), (
        "evaluate it, then `python -m docs.generate.take`"
    )


def test_the_error_that_is_listed_is_the_one_that_was_measured() -> None:
    listed = {file.entry.file.removesuffix(".onnx"): file.error_years for file in inspect(ROOT / "models")}
    measured = {name: tree["results"]["pooled"]["mae"] for name, tree in evaluations().items()}
    assert {name: listed[name] for name in measured} == pytest.approx(measured, abs=0.005)


def test_taking_an_evaluation_notes_its_error_in_the_lock(tmp_path: Path) -> None:
    write_models_folder(tmp_path)
    note_error(tmp_path, "brightness-1.0.0", {"results": {"pooled": {"mae": 4.3567}}})
    assert [entry.error_years for entry in ModelLock.read(tmp_path).files] == [4.36]


def test_a_part_is_replaced_and_the_rest_is_kept() -> None:
    text = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n"
    assert fill(text, {"x": lambda: "new"}) == "a\n<!-- generated: x -->\n\nnew\n\n<!-- end -->\nb\n"


def test_a_part_that_nobody_makes_is_an_error() -> None:
    with pytest.raises(KeyError):
        fill("<!-- generated: y -->\n<!-- end -->", {})


def test_a_table_without_rows_is_left_out() -> None:
    assert table(["a"], []) == ""
    assert table(["a"], [["1|2"]]) == "| a |\n| --- |\n| 1\\|2 |\n"


def test_every_message_that_the_guide_explains_is_said_somewhere() -> None:
    said = "".join(path.read_text() for folder in ("service", "training") for path in (ROOT / folder).rglob("*.py"))
    said = re.sub(r'"\s*\n\s*f?"', "", said)
    said = re.sub(r"\{[^{}]*\}", "…", said) + (ROOT / "Makefile").read_text()
    with pytest.raises(ValidationError) as wrong:
        PredictOptions(max_faces=-1)
    said += str(wrong.value)
    cells = re.findall(r"^\| (?:`[a-z-]+` \| (?=`))?`([^|`]+)` \|", TROUBLE, re.MULTILINE)
    assert len(cells) > 30
    slugs = {kind.slug for kind in (*KINDS.values(), *PLAIN.values())}
    known = [cell for cell in cells if cell not in slugs]
    missing = [words for words in known if words not in said and words.replace("labels.csv", "…") not in said]
    assert missing == []


def test_the_guide_explains_every_problem_that_a_caller_can_see() -> None:
    seen = {kind.slug for error, kind in KINDS.items() if kind.status < 499 and not error.__subclasses__()}
    seen |= {kind.slug for kind in PLAIN.values()}
    assert {slug for slug in seen if f"| `{slug}` |" not in TROUBLE} == set()


def test_the_guide_explains_every_message_of_an_error() -> None:
    cells = re.findall(r"(?<=\| )`([^|`]+)` \|", TROUBLE)
    said = dict(messages())
    assert len(said) > 80
    assert [f"{place}: {text}" for place, text in said.items() if not any(cell in text for cell in cells)] == []


def test_the_reply_shown_is_the_one_recorded() -> None:
    age = json.loads(REPLY.read_text())["faces"][0]["age"]
    assert f'"age": {age}' in reply()
    assert f'"age": {age}' in short_reply()
    assert "threshold_probabilities" not in short_reply()


def test_the_reply_recorded_has_every_field_that_the_service_sends() -> None:
    sent = PredictReply.model_validate_json(REPLY.read_text())
    assert sent.model_dump(mode="json") == json.loads(REPLY.read_text())


def test_a_gate_that_no_minor_came_to_says_nobody() -> None:
    pmf = np.zeros((2, 101))
    pmf[range(2), [30, 40]] = 1
    table = gate_table(gate(pmf, np.array([30, 40]), 18))
    assert "0 people under 18, 2 of 18 or over, of whom 0 aged 18–25." in table
    assert "| 0.5 | nobody | 0.0% | nobody |" in table


def test_a_gate_counts_who_passes() -> None:
    pmf = np.zeros((4, 101))
    pmf[range(4), [10, 17, 20, 40]] = 1
    found = gate(pmf, np.array([10, 20, 17, 40]), 18)
    assert (found["under"], found["over"], found["close"]) == (2, 2, 1)
    assert (found["bars"][0]["passed"], found["bars"][0]["refused"]) == (0.5, 0.5)
    assert found["bars"][0]["close_refused"] == 1.0


def test_a_gate_is_measured_at_each_age_that_an_evaluation_has_a_curve_for(tmp_path: Path) -> None:
    raw = tmp_path / "here.npz"
    pmf = np.zeros((2, 101))
    pmf[range(2), [10, 40]] = 1
    np.savez(raw, pmf=pmf, low=np.array([10, 40]), high=np.array([10, 40]))
    assert [found["age"] for found in gates(raw)["gates"]] == [13, 16, 18, 21, 25]
    assert [[each["threshold"] for each in tree["results"]["pooled"]["gates"]] for tree in evaluations().values()] == (
        [list(LEGAL_AGES)] * len(evaluations())
    )


@pytest.mark.parametrize("name", sorted(evaluations()))
def test_gates_and_evaluation_are_of_the_same_faces(name: str) -> None:
    counted = json.loads((measured.MEASURED / f"{name}.gates.json").read_text())
    curves = {each["threshold"]: each["curve"] for each in evaluations()[name]["results"]["pooled"]["gates"]}
    shared = 0
    for found in counted["gates"]:
        curve = curves[found["age"]]
        told = {row["probability"]: (row["false_accept"], row["false_reject"]) for row in curve}
        bars = {row["bar"]: (row["passed"], row["refused"]) for row in found["bars"] if row["bar"] in told}
        assert {bar: told[bar] for bar in bars} == {bar: pytest.approx(rates) for bar, rates in bars.items()}
        shared += len(bars)
    assert shared >= 15


@pytest.mark.parametrize("name", sorted(evaluations()))
def test_the_chart_of_gates_has_every_age_and_no_names_over_one_another(name: str) -> None:
    drawn = gate_curves(json.loads((measured.MEASURED / f"{name}.gates.json").read_text())["gates"])
    assert re.findall(r">(\d+) years<", drawn) == [str(age) for age in LEGAL_AGES]
    words = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="start">(0\.\d+)<', drawn)
    places = [(float(x), float(y), 6.5 * len(word)) for x, y, word in words]
    assert len(places) == 3 * len(LEGAL_AGES)
    for number, (x, y, wide) in enumerate(places):
        for right, below, other in places[:number]:
            assert x + wide <= right or right + other <= x or abs(y - below) >= 11


def test_the_range_of_a_share_is_that_of_the_cards() -> None:
    assert share(np.array([True] * 5 + [False] * 95)) == (0.05, *binomial_interval(5, 100))
    assert share(np.array([], dtype=np.bool_))[1:] == (0, 1)


@pytest.mark.parametrize("name", sorted(evaluations()))
def test_who_passes_a_gate_is_told_with_that_range(name: str) -> None:
    for found in json.loads((measured.MEASURED / f"{name}.gates.json").read_text())["gates"]:
        for row in found["bars"]:
            exact = binomial_interval(round(row["passed"] * found["under"]), found["under"])
            assert (row["passed_low"], row["passed_high"]) == pytest.approx(exact)


def test_a_group_with_too_few_faces_for_a_figure_is_not_drawn() -> None:
    error = {"mae": 4.0, "mae_low": 3.0, "mae_high": 5.0, "bias": -1.0}
    coverage = {"coverage": 0.9, "coverage_low": 0.85, "coverage_high": 0.94}
    rows = [{"group": "0–9", "n": 10, **error, **coverage}, {"group": "90–100", "n": 9, **error, **coverage}]
    worn = [{**row, "detection_rate": 1.0} for row in rows]
    drawings = error_bars("errors", rows), interval_coverage("age", 0.9, rows), worn_coverage(0.9, worn)
    for drawn in drawings:
        assert "0–9" in drawn
        assert "90–100" not in drawn


def test_the_sets_of_a_chart_stand_apart() -> None:
    row = {"n": 10, "mae": 4.0, "mae_low": 3.0, "mae_high": 5.0, "bias": -1.0}
    sex, race = ([{**row, "group": name} for name in names] for names in (("female", "male"), ("black", "white")))
    drawn = error_bars("errors", sex, race)
    female, male, black, white = (float(x) for x in re.findall(r'<circle class="dot" cx="([\d.]+)"', drawn))
    assert male - female == pytest.approx(white - black) == pytest.approx((black - male) / 2)


def test_coverage_is_drawn_by_sex_and_by_wear_where_no_race_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, share = tmp_path / "measured", {"n": 500, "coverage": 0.8, "coverage_low": 0.75, "coverage_high": 0.85}
    shutil.copytree(measured.MEASURED, folder)
    monkeypatch.setattr(measured, "MEASURED", folder)
    path = folder / f"{measured.default_model()}.evaluation.json"
    tree = json.loads(path.read_text())
    pooled = tree["results"]["pooled"]
    ninety = next(row for row in pooled["coverage"] if row["level"] == 0.9)
    ninety["by_sex"], ninety["by_race"], pooled["by_race"] = [{"group": "female", **share}], [], []
    tree["robustness"] = [{"group": "half-tone", "detection_rate": 0.9, **share}]
    path.write_text(json.dumps(tree))
    drawn = {path.name: plot for path, plot in measured.plots().items()}
    assert [name in drawn["coverage-by-group.svg"] for name in ("female", "asian")] == [True, False]
    assert "half-tone" in drawn["coverage-by-wear.svg"]


def test_an_ablation_shows_what_was_measured_and_differences_where_there_are_some(tmp_path: Path) -> None:
    file = tmp_path / "ablation.json"
    assert ablation_table(file) == ""
    clean: dict[str, Any] = {"mean": 5.3, "low": 5.0, "high": 5.61, "trainings": [5.2, 5.4]}
    base: dict[str, dict[str, Any]] = {
        "clean": clean,
        "bias 10–17": {**clean, "mean": 0.25},
        "coverage gap": {"mean": 0.012},
        "aaf": {"mean": 7},
    }
    row = {"what": "as it is", "steps": 150, "sources": ["aaf"], "figures": base,
           "commands": ["agelens-train recipe --seed 1", "agelens-train recipe --seed 2"]}  # fmt: skip
    file.write_text(json.dumps([row]))
    lines = ablation_table(file).splitlines()
    gap = "per cent of faces covered less often worn than unworn"
    assert lines[0] == f"| what differs | steps | error on val, years | years too old at 10 to 17 | {gap} | aaf |"
    assert lines[2] == "| as it is | 150 | 5.30 (5.00 to 5.61) | +0.25 (+5.00 to +5.61) | 1.2 | 7.00 |"
    assert lines[-1] == "    agelens-train recipe --seed 1  # also with 2"
    assert "on the same faces" not in "".join(lines)
    more = {"more": {"mean": -0.02, "low": -0.05, "high": 0.01, "trainings": [-0.06, 0.02]}}
    other = {**row, "what": "unworn", "figures": {name: {**each, **more} for name, each in base.items()}}
    file.write_text(json.dumps([row, other]))
    lines = ablation_table(file).splitlines()
    assert "| more than for the recipe as it is, on the same faces | unworn |" in lines
    assert "| error on val, years | -0.02 (-0.05 to +0.01); -0.06, +0.02 |" in lines
    assert f"| {gap} | -2.0 (-5.0 to +1.0); -6.0, +2.0 |" in lines
