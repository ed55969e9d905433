"""The page and the card say what was measured, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from service.errors import InvalidParameter
from service.inference.lockfile import ModelLock, sha256_of
from service.inference.manifest import Manifest
from tests.training.export.bell_model import bell_manifest, write_bell_model
from training.evaluation.plots import bars_plot
from training.evaluation.predictions import Predictions
from training.evaluation.reliability_diagram import reliability_diagram
from training.evaluation.report import page
from training.evaluation.summary import summarise_sources
from training.export.card import RESIDUAL, card, headline, sign_off, with_terms
from training.export.graph import ExportRefused
from training.export.lock import fingerprint
from training.onnx_manifest import manifest_of


def tree_of(shift: float, name: str = "bell") -> dict[str, Any]:
    """Measure 200 bells that sit `shift` years too high, from two sources."""
    rng = np.random.default_rng(0)
    ages = rng.integers(1, 90, 200)
    weights = np.exp(-((np.arange(101) - (ages + rng.normal(shift, 4, 200))[:, None]) ** 2) / 32)
    sources = ["utkface", "all_age_faces"] * 100
    sex, race = ["female", "female", "male", "male"] * 50, ["asian", ""] * 100
    found = Predictions.of(weights / weights.sum(axis=1, keepdims=True), ages, sex=sex, race=race, source=sources)
    return {
        "model": {"name": name, "decode": "median"},
        "split": "test",
        "command": "agelens-train evaluate --dataset utkface=utkface.zip",
        "photographs": 201,
        "missed": 1,
        "detection_rate": 200 / 201,
        "mae_with_missed": 5.0,
        "fallback_age": 29.0,
        "results": summarise_sources(found, (), 29.0),
        "robustness": [
            {
                "group": "grey",
                "n": 200,
                "detection_rate": 0.99,
                "mae": 4.5,
                "clean_mae": 3.6,
                "over_clean": 1.25,
                "bias": 0.1,
                "spread": 5.0,
                "coverage": 0.91,
                "width": 20.5,
                "children": {"n": 20, "mae": 1.5, "bias": 0.25, "coverage": 0.88, "width": 6.0},
                "children_over_18": 0.05,
                "under_15_over_18": 0.125,
            }
        ],
    }


def trained_on(*data: str) -> Manifest:
    """Return the bell's manifest as if it had learned from these data sets."""
    made = bell_manifest().provenance.model_copy(update={"data": data})
    return bell_manifest().model_copy(update={"provenance": made})


@pytest.fixture(scope="module")
def trees() -> dict[str, dict[str, Any]]:
    return {"bell": tree_of(0), "older": tree_of(6, "older")}


@pytest.fixture
def raws(tmp_path: Path) -> dict[str, Path]:
    """Write what `evaluate` would lay beside each tree: two faces found, one missed."""
    pmf = np.full((3, 101), np.nan, np.float32)
    pmf[0], pmf[1] = np.eye(101)[20], np.eye(101)[60]
    path, faces = tmp_path / "raw.npz", np.zeros((2, 96, 96, 3), np.uint8)
    np.savez(path, pmf=pmf, low=np.array([10, 61, 5]), worst=np.array([0, 1]), worst_faces=faces)
    return {"bell": path, "older": path}


def test_the_page_fetches_nothing(trees: dict[str, Any], raws: dict[str, Path]) -> None:
    text = page(trees, raws)
    fetched = [word for word in ('src="http', "<script", "<link", "@import", "url(http") if word in text]
    assert fetched == []
    assert text.count("<svg") >= 18


def test_the_page_shows_every_model_with_its_own_figures(trees: dict[str, Any], raws: dict[str, Path]) -> None:
    text = page(trees, raws)
    for name, tree in trees.items():
        assert f"<td>{name}</td><td>{tree['results']['pooled']['mae']:.2f} (" in text
    assert "always 29" in text


def test_the_page_shows_the_worst_faces_with_true_and_predicted_age(
    trees: dict[str, Any], raws: dict[str, Path]
) -> None:
    text = page(trees, raws)
    assert text.count("data:image/jpeg") == 4
    assert "<figcaption>10 → 20</figcaption>" in text


def test_names_are_escaped(trees: dict[str, Any], raws: dict[str, Path]) -> None:
    text = page({"<b>": trees["bell"]}, {"<b>": raws["bell"]})
    assert "<b>" not in text
    assert "<td>&lt;b&gt;</td>" in text


def test_the_page_explains_its_figures(trees: dict[str, Any], raws: dict[str, Path]) -> None:
    text = page(trees, raws)
    for term in ("MAE", "bias", "CS@5", "CRPS", "ECE", "90 % interval", "too few"):
        assert f"<dt>{term}</dt>" in text


def test_the_page_opens_with_what_matters_in_words(trees: dict[str, Any], raws: dict[str, Path]) -> None:
    text, pooled = page(trees, raws), trees["older"]["results"]["pooled"]
    worst = max((row for row in pooled["by_true_age"] if row["n"] >= 10), key=lambda row: row["mae"])
    words = text[text.index("<strong>older.</strong>") : text.index("<table>")]
    assert f"Its estimates are {pooled['mae']:.1f} years off on average" in words
    assert f"people aged {worst['group']}: {worst['mae']:.1f} years" in words
    assert f"true age of {pooled['coverage'][2]['coverage']:.0%} of people" in words
    assert "No face was found in 1 of 201 photographs." in words
    assert "rough" not in words


def test_a_page_of_few_photographs_says_that_it_is_rough(trees: dict[str, Any], raws: dict[str, Path]) -> None:
    tree = tree_of(0)
    tree["results"]["pooled"]["n"] = 40
    assert "All this is rough: it rests on 40 photographs." in page({"bell": tree}, {"bell": raws["bell"]})
    tree["results"]["pooled"]["n"] = 9
    text = page({"bell": tree}, {"bell": raws["bell"]})
    assert "9 photographs, which are too few to judge it by" in text
    assert "<td>bell</td><td>too few</td><td></td><td></td>" in text


def test_groups_with_too_few_photographs_are_left_out_of_plots(trees: dict[str, Any]) -> None:
    rows = [{"group": "0–9", "n": 10, "mae": 4.0}, {"group": "90–100", "n": 9, "mae": 4.0}]
    drawn = bars_plot({"bell": {"by_true_age": rows}}, "by_true_age", "mae", "MAE")
    assert ("0–9" in drawn, "90–100" in drawn) == (True, False)


def test_the_sources_come_after_what_all_have_in_common(trees: dict[str, Any], raws: dict[str, Path]) -> None:
    text = page(trees, raws)
    places = [
        text.index(word)
        for word in ("<h2>All sources", "<h2>Worn and altered", "Largest errors", "<summary>utkface alone")
    ]
    assert places == sorted(places)


def test_too_few_photographs_for_a_figure_are_called_that(trees: dict[str, Any], raws: dict[str, Path]) -> None:
    tree = tree_of(0)
    decade = next(row for row in tree["results"]["pooled"]["by_true_age"] if row["group"] == "30–39")
    decade |= {"n": 1, "mae": 10.45, "mae_low": 10.45, "mae_high": 10.45}
    assert "<td>30–39</td><td>1</td><td>too few</td><td></td><td></td>" in page({"bell": tree}, {"bell": raws["bell"]})
    assert "| 30–39 | 1 | too few |  |  |" in card(bell_manifest(), tree, "0" * 64)
    assert "10.45" not in card(bell_manifest(), {**tree, "results": {"pooled": tree["results"]["pooled"]}}, "0" * 64)


def test_the_page_says_how_often_the_interval_holds_for_each_sex_and_kind_of_wear(
    trees: dict[str, Any], raws: dict[str, Path]
) -> None:
    text = page({"bell": trees["bell"]}, {"bell": raws["bell"]})
    ninety = trees["bell"]["results"]["pooled"]["coverage"][2]
    female = ninety["by_sex"][0]
    inside = f"{female['coverage']:.1%} ({female['coverage_low']:.1%}–{female['coverage_high']:.1%})"
    assert f"<td>female</td><td>{female['n']}</td><td>{inside}</td><td>{female['width']:.1f}</td>" in text
    worn = ("grey", "200", "4.50", "1.25", "+0.10", "91.0%", "99.0%", "5.0%")
    assert "".join(f"<td>{cell}</td>" for cell in worn) in text


def test_a_reliability_diagram_has_a_panel_for_each_age_and_a_line_for_each_model(trees: dict[str, Any]) -> None:
    rows = {name: tree["results"]["pooled"]["reliability"] for name, tree in trees.items()}
    text = reliability_diagram(rows)
    assert text.count('class="axis"') == len(rows["bell"])
    assert text.count("<title>older</title>") == len(rows["older"])
    assert text.count("<circle") == sum(len(row["bins"]) for each in rows.values() for row in each)
    assert reliability_diagram({"bell": rows["bell"]}) != reliability_diagram({"bell": rows["older"]})


def test_the_card_puts_ages_in_order(trees: dict[str, Any]) -> None:
    lines = card(bell_manifest(), trees["bell"], "0" * 64).splitlines()
    groups = [line.split("|")[1].strip() for line in lines if line.startswith("| ") and "–" in line.split("|")[1]]
    assert groups[:9] == [f"{low}–{low + 9}" for low in range(0, 90, 10)]


def test_every_figure_of_the_card_is_the_measured_one(trees: dict[str, Any]) -> None:
    text = card(bell_manifest(), trees["older"], "0" * 64)
    pooled = trees["older"]["results"]["pooled"]
    assert f"| **all** | 200 | {pooled['mae']:.2f} ({pooled['mae_low']:.2f}–{pooled['mae_high']:.2f}) |" in text
    assert f"| 18 | {pooled['reliability'][2]['ece']:.3f} |" in text
    worn = "| grey | 200 | 4.50 | 1.25 | +0.10 | 91.0% | 20.5 | 99.0% | 20 | 1.50 | +0.25 | 88.0% | 5.0% | 12.5% |"
    assert worn in text
    unsure = pooled["reliability"][2]["unsure"]
    assert f"| {unsure['n']} | {unsure['ece']:.3f} |" in text
    half = next(point for point in pooled["gates"][2]["curve"] if point["probability"] == 0.5)
    assert f"| {half['false_accept']:.1%} / {half['false_reject']:.1%} |" in text
    assert "    agelens-train evaluate --dataset utkface=utkface.zip" in text


def test_the_card_says_how_often_the_interval_holds_for_each_sex_and_race(trees: dict[str, Any]) -> None:
    ninety = trees["bell"]["results"]["pooled"]["coverage"][2]
    female, asian = ninety["by_sex"][0], ninety["by_race"][0]
    text = card(bell_manifest(), trees["bell"], "0" * 64)
    for row in (female, asian):
        inside = f"{row['coverage']:.1%} ({row['coverage_low']:.1%}–{row['coverage_high']:.1%})"
        assert f"| 90 %, {row['group']} | {row['n']} | {inside} | {row['width']:.1f} |" in text


def test_the_card_says_how_much_of_the_mix_has_no_face_to_judge_it_by(trees: dict[str, Any]) -> None:
    tree = trees["bell"]
    assert "count nothing" not in card(bell_manifest(), tree, "0" * 64)
    pooled = tree["results"]["pooled"]
    lacking = [{**row, "mix_without_faces": 0.124} for row in pooled["reliability"]]
    results = {**tree["results"], "pooled": {**pooled, "reliability": lacking}}
    text = card(bell_manifest(), {**tree, "results": results}, "0" * 64)
    assert text.count("of the ages that 12% of that mix are: they count nothing") == 1


def test_the_card_tells_the_bias_of_the_young_five_years_at_a_time(trees: dict[str, Any]) -> None:
    text = card(bell_manifest(), trees["older"], "0" * 64)
    rows = trees["older"]["results"]["pooled"]["by_five_years"]
    assert [row["group"] for row in rows] == ["5–9", "10–14", "15–19", "20–24", "25–29"]
    start = text.index("By true age, five years at a time, from 5 to 29:")
    row = next(row for row in rows if row["n"] >= 10)
    mae = f"{row['mae']:.2f} ({row['mae_low']:.2f}–{row['mae_high']:.2f})"
    assert f"| {row['group']} | {row['n']} | {mae} | {row['bias']:+.2f} |" in text[start:]


def test_own_faces_of_which_only_ages_are_known_have_a_card_and_a_page(
    trees: dict[str, Any], raws: dict[str, Path]
) -> None:
    ages = np.arange(20, 60)
    found = Predictions.of(np.eye(101)[ages], ages)
    tree = {**trees["bell"], "results": summarise_sources(found, (), 29.0)}
    text = card(bell_manifest(), tree, "0" * 64)
    assert "| 90 %, predicted 20–29 |" in text
    assert "| 90 %,  |" not in text
    assert "female" not in text + page({"bell": tree}, {"bell": raws["bell"]})


def test_the_card_tells_what_one_data_set_teaches_about_another(trees: dict[str, Any]) -> None:
    figures = {"clean": {"mean": 6.0}, "utkface": {"mean": 5.0}, "aaf": {"mean": 7.25}}
    row = {"name": "only-utkface", "what": "utkface alone", "steps": 40, "sources": ["utkface", "aaf"],
           "figures": figures, "commands": ["agelens-train train x"]}  # fmt: skip
    other = {**row, "name": "clean", "what": "no blur", "commands": ["agelens-train train clean"]}
    text = card(bell_manifest(), trees["bell"], "0" * 64, ablation=[row, other])
    assert "| utkface alone | 40 | 5.00 | 7.25 |" in text
    assert "    agelens-train train x\n" in text
    assert "no blur" not in text
    assert "Across data sets" not in card(bell_manifest(), trees["bell"], "0" * 64, ablation=[other])


def test_the_card_names_the_network_where_it_is_known(trees: dict[str, Any]) -> None:
    assert f"| network | {RESIDUAL} |" in card(bell_manifest(), trees["bell"], "0" * 64, network=RESIDUAL)
    assert "| network |" not in card(bell_manifest(), trees["bell"], "0" * 64)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("utkface", "utkface (non-commercial research)"),
        ("folder/mobilenet_v1_vggface2.npz", "mobilenet_v1_vggface2 (research; cite Cao et al. (2018))"),
        ("merged with imdbwiki", "merged with imdbwiki (research; cite Rothe et al. (2018); from VGGFace2's)"),
        ("then coral-mobilenet 0.6.0", "then coral-mobilenet 0.6.0"),
        ("mine", "mine"),
    ],
)
def test_the_card_says_the_terms_that_it_knows_and_no_folder(name: str, shown: str) -> None:
    assert with_terms(name) == shown


def test_the_card_says_the_limits_of_the_data_that_the_model_learned_from(trees: dict[str, Any]) -> None:
    assert "- UTKFace's ages are estimates" in card(trained_on("utkface"), trees["bell"], "0" * 64)
    both = card(trained_on("fgnet", "all_age_faces"), trees["bell"], "0" * 64)
    assert both.index("- FG-NET shows") < both.index("- Where All-Age-Faces has") < both.index("## Uses")
    assert "UTKFace" not in both


def test_the_card_of_a_model_trained_on_own_faces_names_no_published_data_and_no_limits(trees: dict[str, Any]) -> None:
    tree = {**tree_of(0), "command": "agelens-train evaluate --dataset own=faces"}
    text = card(trained_on("own"), {**tree, "results": {"pooled": tree["results"]["pooled"]}}, "0" * 64)
    assert "UTKFace" not in text
    assert "All-Age-Faces" not in text
    assert "## Limits" not in text


def test_the_headline_names_split_and_source(trees: dict[str, Any]) -> None:
    figures = headline(trees["bell"])
    assert figures["test_mae"] == round(trees["bell"]["results"]["pooled"]["mae"], 4)
    assert {"test_mae_utkface", "test_cs5_all_age_faces", "test_ece_18", "test_coverage_0.9"} <= figures.keys()


def test_signing_off_writes_figures_lock_and_card(trees: dict[str, Any], tmp_path: Path) -> None:
    path = write_bell_model(tmp_path)
    tree = {**trees["bell"], "fingerprint": fingerprint(onnx.load(path))}
    (tmp_path / "bell.json").write_text(json.dumps(tree))
    out = sign_off(path, tmp_path / "bell.json")
    assert manifest_of(onnx.load(path), "bell").metrics["test_mae"] == headline(tree)["test_mae"]
    assert ModelLock.read(tmp_path).files[0].sha256 == sha256_of(path)
    assert sha256_of(path) in out.read_text()


def test_signing_off_twice_is_allowed(trees: dict[str, Any], tmp_path: Path) -> None:
    path = write_bell_model(tmp_path)
    tree = {**trees["bell"], "fingerprint": fingerprint(onnx.load(path))}
    (tmp_path / "bell.json").write_text(json.dumps(tree))
    first = sign_off(path, tmp_path / "bell.json").read_text()
    assert sign_off(path, tmp_path / "bell.json").read_text() == first


def test_figures_of_another_file_are_refused(trees: dict[str, Any], tmp_path: Path) -> None:
    path = write_bell_model(tmp_path)
    (tmp_path / "bell.json").write_text(json.dumps({**trees["bell"], "fingerprint": "0" * 64}))
    with pytest.raises(ExportRefused, match="measured on another file"):
        sign_off(path, tmp_path / "bell.json")


def test_an_ablation_of_an_older_version_is_refused_with_what_to_do(trees: dict[str, Any], tmp_path: Path) -> None:
    path, old = write_bell_model(tmp_path), tmp_path / "ablation.json"
    (tmp_path / "bell.json").write_text(json.dumps({**trees["bell"], "fingerprint": fingerprint(onnx.load(path))}))
    old.write_text(json.dumps([{"name": "only-utkface", "by_source": {}}]))
    with pytest.raises(InvalidParameter, match=r"ablation.json was written by an older .*run that again"):
        sign_off(path, tmp_path / "bell.json", ablation=old)
