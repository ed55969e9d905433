"""Which mix of ages a file's probabilities hold for, and what its intervals are read off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from service.errors import InvalidParameter
from service.inference.age_mix import mix_of, stated_for
from tests.training.export.bell_model import (
    bell_manifest,
    bell_model,
    grey_faces,
    write_bell_model,
    write_grey_store,
)
from training.export.calibration_nodes import set_mix, tail_nodes
from training.export.card import sign_off
from training.export.graph import ExportRefused, embed, run
from training.export.quantize import quantize
from training.export.release import Split, faces_of_mix, finish, recalibrate, recalibrate_for
from training.measures.calibration import age_mix, balanced, calibration_loss
from training.onnx_manifest import manifest_of

FACES = grey_faces(np.linspace(5, 95, 19))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grey_store(tmp_path_factory.mktemp("stores") / "grey", count=2000)


def test_a_file_says_the_mix_of_ages_that_it_is_calibrated_to(store: Path, tmp_path: Path) -> None:
    path = write_bell_model(tmp_path, sigma=2)
    calib = Split.load([store], "calib", bell_manifest().crop)
    own = age_mix(calib.low, calib.high)
    answers = []
    for balance in (0.0, 1.0, 0.0):
        model = onnx.load(recalibrate(path, [store], balance))
        manifest = manifest_of(model, "bell")
        assert manifest.age_mix == pytest.approx(balanced(calib.low, calib.high, balance), rel=1e-4)
        assert manifest.metrics["balance"] == balance
        answers.append(run(model, calib.faces))
    as_it_comes, lifted, again = answers
    # The same distributions, for another mix of ages, and back.
    assert lifted == pytest.approx(stated_for(as_it_comes, own, balanced(calib.low, calib.high, 1)), abs=1e-5)
    assert np.abs(lifted - as_it_comes).max() > 0.01
    assert again == pytest.approx(as_it_comes, abs=1e-6)


def test_a_copy_of_another_name_does_not_overwrite_the_file_that_it_was_copied_from(
    store: Path, tmp_path: Path
) -> None:
    path = write_bell_model(tmp_path)
    copy, before = tmp_path / "copy.onnx", path.read_bytes()
    copy.write_bytes(before)
    (tmp_path / "bell.json").write_text("{}")
    for calibrated in (
        lambda: recalibrate(copy, [store], balance=0.5),
        lambda: recalibrate_for(copy, [store], FACES),
        lambda: sign_off(copy, tmp_path / "bell.json"),
    ):
        with pytest.raises(InvalidParameter, match=r"copy\.onnx calls itself bell, .*: name it bell\.onnx"):
            calibrated()
    assert path.read_bytes() == before


def test_faces_cut_with_another_margin_are_refused(store: Path) -> None:
    crop = bell_manifest().crop
    with pytest.raises(InvalidParameter, match=r"margin of 0\.1 and the model takes .* with 0\.2; .*--margin 0\.2"):
        Split.load([store], "calib", crop.model_copy(update={"margin": 0.2}))
    other = crop.model_copy(update={"detector_threshold": 0.9, "exposure": "stretched"})
    assert len(Split.load([store], "calib", other).cut) == 500


def test_a_new_calibration_drops_what_was_measured_with_the_one_before(store: Path, tmp_path: Path) -> None:
    path = write_bell_model(tmp_path)
    model = onnx.load(path)
    wrong = dict.fromkeys(
        ("test_mae", "val_mae_elsewhere", "val_ece_18", "all_mae", "train_cs5", "temperature", "float32_val_mae"), 4.0
    )
    metrics = {"gate_crps": 3.4, **wrong}
    embed(model, manifest_of(model, "bell").model_copy(update={"metrics": metrics}))
    onnx.save(model, path)
    found = manifest_of(onnx.load(recalibrate(path, [store], balance=0.0)), "bell").metrics
    assert found["gate_crps"] == 3.4
    assert not wrong.keys() & found.keys()
    assert found["calib_loss"] <= found["calib_loss_before"]


def test_the_mix_of_ages_comes_last_in_the_graph_and_only_behind_a_correction() -> None:
    model, uniform = bell_model(), np.full(101, 1 / 101)
    plain = len(model.graph.node)
    set_mix(model, uniform, uniform)
    assert len(model.graph.node) == plain
    young = mix_of(np.where(np.arange(101) < 20, 3.0, 1.0))
    expected = stated_for(run(model, FACES), uniform, young)
    for _ in range(2):
        set_mix(model, uniform, young)
        assert len(model.graph.node) == plain + 1
        assert run(model, FACES) == pytest.approx(expected, abs=1e-6)
    onnx.checker.check_model(model)
    assert "calibration_restated" in tail_nodes(model)
    bare = bell_model()
    del bare.graph.node[-1]
    with pytest.raises(ExportRefused, match="export it again"):
        set_mix(bare, uniform, young)


def test_a_file_is_calibrated_for_the_mix_of_ages_of_faces_without_labels(store: Path, tmp_path: Path) -> None:
    path = write_bell_model(tmp_path, sigma=2)
    seen = np.random.default_rng(0).normal(35, 5, 400).clip(0, 100)  # the store's ages lie all over
    found = recalibrate_for(path, [store], grey_faces(seen))
    manifest = manifest_of(onnx.load(path), "bell")
    assert manifest.age_mix == pytest.approx(found.mix, rel=1e-3)
    assert found.mix @ np.arange(101) == pytest.approx(35, abs=3)
    calib = Split.load([store], "calib", bell_manifest().crop)
    assert abs(age_mix(calib.low, calib.high) @ np.arange(101) - 35) > 8


def test_the_mix_of_ages_of_an_archive_stays_where_none_is_asked_for(store: Path, tmp_path: Path) -> None:
    path = write_bell_model(tmp_path, sigma=2)
    recalibrate(path, [store], balance=0.5)
    seen = np.random.default_rng(0).normal(35, 5, 400).clip(0, 100)
    mix = recalibrate_for(path, [store], grey_faces(seen)).mix
    for made in (recalibrate(path, [store]), quantize(path, "float16", [store])):
        manifest = manifest_of(onnx.load(made), made.name)
        assert manifest.age_mix == pytest.approx(mix, rel=1e-3)
        assert "balance" not in manifest.metrics
    assert manifest_of(onnx.load(recalibrate(path, [store], balance=0.0)), "bell").metrics["balance"] == 0


def test_intervals_for_another_mix_of_ages_are_read_off_faces_of_it(tmp_path: Path) -> None:
    store = write_grey_store(tmp_path / "grey", count=8000)
    path = write_bell_model(tmp_path, sigma=6)
    young = mix_of(np.where(np.arange(101) < 30, 4.0, 1.0))
    model = onnx.load(path)
    manifest = finish(model, bell_manifest(), [store], target=young)
    calib = Split.load([store], "calib", bell_manifest().crop)
    own = age_mix(calib.low, calib.high)
    chosen = faces_of_mix(calib, own, young)
    # Where there are faces, a young one is chosen four times as often for each that there is.
    middle = (calib.low >= 20) & (calib.low < 60)
    shares = [(calib.low[middle & who] < 30).mean() for who in (np.ones(len(chosen), bool), chosen)]
    odds = [share / (1 - share) for share in shares]
    assert 2 < odds[1] / odds[0] < 6
    few = mix_of(np.where(np.arange(101) == 16, 1.0, 0.0))
    assert manifest.intervals
    assert not finish(model, bell_manifest(), [store], target=few).intervals


def test_probabilities_hold_for_the_faces_whose_age_is_known_not_for_groups(tmp_path: Path) -> None:
    exact = write_grey_store(tmp_path / "exact", count=800)
    groups = write_grey_store(tmp_path / "groups", count=800, seed=1)
    rows = (groups / "index.csv").read_text().splitlines()
    head, *rest = (row.split(",") for row in rows)
    low, high = head.index("low"), head.index("high")
    for row in rest:
        row[low], row[high] = "8", "16"
    (groups / "index.csv").write_text("\n".join(",".join(row) for row in [head, *rest]) + "\n")
    path = write_bell_model(tmp_path, sigma=3)
    manifest = manifest_of(onnx.load(recalibrate(path, [exact, groups], balance=0.0)), "bell")
    alone = Split.load([exact], "calib", bell_manifest().crop)
    assert manifest.age_mix == pytest.approx(age_mix(alone.low, alone.high), rel=1e-4)


def test_a_few_faces_leave_a_calibrated_file_as_it_is_and_say_so(store: Path, tmp_path: Path) -> None:
    path = recalibrate(write_bell_model(tmp_path, sigma=2), [store])
    before, said = manifest_of(onnx.load(path), "bell"), list[str]()
    few = write_grey_store(tmp_path / "few", count=200, seed=5)
    faces = Split.load([few], "calib", before.crop).faces
    answers = run(onnx.load(path), faces)
    recalibrate(path, [few], version="1.0.1", notice=said.append)
    assert manifest_of(onnx.load(path), "bell") == before.model_copy(update={"version": "1.0.1"})
    assert (run(onnx.load(path), faces) == answers).all()
    assert (
        "bell keeps its calibration: 50 `calib` faces do not show that they calibrate it better (CRPS in years"
        in said[0]
    )
    with pytest.raises(ValueError, match="version"):
        recalibrate(path, [few], version="")
    recalibrate(path, [write_grey_store(tmp_path / "two", count=8)], notice=said.append)
    assert "bell keeps its calibration: 2 `calib` faces" in said[1]
    recalibrate(path, [few], balance=0.5, notice=said.append)
    assert len(said) == 2
    assert manifest_of(onnx.load(path), "bell").metrics["balance"] == 0.5


@pytest.mark.parametrize("balance", [0.0, 0.5])
def test_a_few_faces_leave_the_calibration_to_another_mix_of_ages_as_it_is(
    store: Path, tmp_path: Path, balance: float
) -> None:
    path, said = recalibrate(write_bell_model(tmp_path, sigma=2), [store], balance), list[str]()
    before, answers = manifest_of(onnx.load(path), "bell"), run(onnx.load(path), FACES)
    two = write_grey_store(tmp_path / "two", count=8)
    seen = np.random.default_rng(0).normal(35, 5, 400).clip(0, 100)
    found = recalibrate_for(path, [two], grey_faces(seen), "1.0.1", said.append)
    after = manifest_of(onnx.load(path), "bell")
    assert run(onnx.load(path), FACES) == pytest.approx(stated_for(answers, before.mix(), found.mix), abs=1e-5)
    assert after.age_mix == pytest.approx(found.mix, rel=1e-3)
    assert (after.version, after.decode, after.intervals, "val_mae" in after.metrics) == (
        "1.0.1", before.decode, (), False
    )  # fmt: skip
    assert said[0].startswith("bell keeps its calibration: 2 `calib` faces")
    assert "--balance" not in said[0]


def test_a_few_faces_calibrate_a_file_that_is_wrong_about_them(store: Path, tmp_path: Path) -> None:
    path, said = recalibrate(write_bell_model(tmp_path, sigma=2), [store]), list[str]()
    few = write_grey_store(tmp_path / "few", count=200, seed=5)
    table = (few / "index.csv").read_text().splitlines()
    older = [row.split(",") for row in table[1:]]
    aged = [",".join([*row[:3], *(str(min(int(age) + 12, 100)) for age in row[3:5]), *row[5:]]) for row in older]
    (few / "index.csv").write_text("\n".join([table[0], *aged]) + "\n")
    test = Split.load([few], "test", bell_manifest().crop)
    before = calibration_loss(run(onnx.load(path), test.faces), test.low, test.high)
    recalibrate(path, [few], notice=said.append)
    assert not said
    assert calibration_loss(run(onnx.load(path), test.faces), test.low, test.high) < 0.7 * before


def test_a_smaller_file_is_compared_with_the_larger_one_as_both_are_calibrated_to_the_same_faces(
    tmp_path: Path,
) -> None:
    path = recalibrate(write_bell_model(tmp_path, sigma=2), [write_grey_store(tmp_path / "usual", count=400)])
    few = write_grey_store(tmp_path / "few", count=40, seed=7)
    metrics = manifest_of(onnx.load(quantize(path, "float16", [few])), "bell").metrics
    assert metrics["val_mae"] == pytest.approx(metrics["float32_val_mae"], abs=0.01)
