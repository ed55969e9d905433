"""Original photographs through the service's pipeline: grey pictures, brightness models, a detector of one box."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from typer.testing import CliRunner

from service.errors import InvalidParameter
from service.inference.detection.detector import Detection, FaceDetector
from service.inference.detection.search_work import MOST_WORK
from service.inference.estimator import Estimator
from service.inference.faces import BoundingBox, Face
from service.inference.imaging import Pyramid
from service.inference.lockfile import sha256_of
from tests.complete_folder import write_astronaut, write_complete_folder
from tests.training.export.bell_model import bell_manifest, write_bell_model
from training.cli.main import app
from training.data.gather import Duplicates, gather
from training.datasets import DatasetError, Listing, read
from training.evaluation.evaluate import RememberingDetector, evaluate, photographs, training_median
from training.evaluation.reliability import binomial_interval
from training.evaluation.robustness import CHANGES, DARK, old_print, robustness
from training.evaluation.run import command, listings, measure, named_paths
from training.export.graph import embed

SIDE = 120


class MiddleDetector(FaceDetector):
    """Finds one face in the middle of any picture that is not black, and counts how often it looked."""

    def __init__(self) -> None:
        self.looked = 0

    def detect(self, picture: Pyramid, min_size: float | None = None, work: float = MOST_WORK) -> Detection:  # noqa: ARG002
        self.looked += 1
        if picture.pixels.max() == 0 or min(picture.pixels.shape[:2]) < 2 * (min_size or 0):
            return Detection(())
        height, width = picture.pixels.shape[:2]
        marks = tuple(
            (width * x, height * y) for x, y in ((0.4, 0.4), (0.6, 0.4), (0.5, 0.5), (0.5, 0.6), (0.3, 0.4), (0.7, 0.4))
        )
        return Detection((Face(BoundingBox(width / 4, height / 4, width / 2, height / 2), 0.9, marks),))


def grey_picture(folder: Path, name: str, age: int) -> None:
    Image.new("RGB", (SIDE, SIDE), (round(age * 2.55),) * 3).save(folder / name)


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    """Make four photographs read as 20, 40, 60 and nothing; two training faces aged 30 and 50."""
    root = tmp_path / "own"
    root.mkdir()
    rows = [
        "file,age,sex,split",
        "a.png,22,female,test",
        "b.png,40,male,test",
        "c.png,50,male,test",
        "black.png,70,,test",
    ]
    for name, age in (("a.png", 20), ("b.png", 40), ("c.png", 60), ("black.png", 0), ("t.png", 30), ("u.png", 30)):
        grey_picture(root, name, age)
    (root / "labels.csv").write_text("\n".join([*rows, "t.png,30,,train", "u.png,50,,train"]) + "\n")
    return read("own", root)


@pytest.fixture
def estimators(tmp_path: Path) -> dict[str, Estimator]:
    folder = tmp_path / "models"
    paths = [write_bell_model(folder, "bell"), write_bell_model(folder, "older", shift=10)]
    return {path.stem: Estimator(path, sha256_of(path)) for path in paths}


def test_errors_detection_and_missed_faces_come_out_as_counted_by_hand(
    listing: Listing, estimators: dict[str, Estimator], tmp_path: Path
) -> None:
    shown = photographs([listing], "test")
    trees = evaluate(estimators, MiddleDetector, shown, tmp_path / "out", fallback_age=40.0, workers=2)
    pooled = trees["bell"]["results"]["pooled"]
    assert (trees["bell"]["photographs"], trees["bell"]["detection_rate"]) == (4, 0.75)
    assert pooled["mae"] == pytest.approx((2 + 0 + 10) / 3, abs=0.1)
    assert trees["bell"]["mae_with_missed"] == pytest.approx((2 + 0 + 10 + 30) / 4, abs=0.1)
    assert trees["older"]["results"]["pooled"]["bias"] == pytest.approx(pooled["bias"] + 10, abs=0.1)


def test_calibration_errors_are_of_the_mix_of_ages_that_the_file_says(listing: Listing, tmp_path: Path) -> None:
    young = np.where(np.arange(101) < 30, 9.0, 1.0)
    trees = {}
    for name, mix in (("even", (1 / 101,) * 101), ("young", tuple(map(float, young / young.sum())))):
        path = write_bell_model(tmp_path / "models", name)
        model = onnx.load(path)
        embed(model, bell_manifest(name).model_copy(update={"age_mix": mix}))
        onnx.save(model, path)
        shown = photographs([listing], "test")
        found = evaluate({name: Estimator(path, sha256_of(path))}, MiddleDetector, shown, tmp_path / "out")
        trees[name] = found[name]["results"]["pooled"]["reliability"][-1]  # P(age ≥ 25): of 22, 40 and 50
    assert trees["even"]["as_they_come"]["ece"] == trees["young"]["as_they_come"]["ece"]
    assert abs(trees["young"]["ece"] - trees["even"]["ece"]) > 0.01


def test_what_was_predicted_lies_beside_the_figures(
    listing: Listing, estimators: dict[str, Estimator], tmp_path: Path
) -> None:
    evaluate(estimators, MiddleDetector, photographs([listing], "test"), tmp_path / "out")
    tree = json.loads((tmp_path / "out/bell.json").read_text())
    with np.load(tmp_path / "out/bell.npz") as raw:
        assert tree["model"]["sha256"] == estimators["bell"].sha256
        assert np.isnan(raw["pmf"][raw["name"] == "black.png"]).all()
        assert raw["name"][raw["worst"][0]] == "c.png"
        assert raw["worst_faces"].shape == (3, 96, 96, 3)


def test_an_unreadable_photograph_is_missed_and_named(
    listing: Listing, estimators: dict[str, Estimator], tmp_path: Path
) -> None:
    (tmp_path / "own/b.png").write_bytes(b"no picture")
    trees = evaluate(estimators, MiddleDetector, photographs([listing], "test"), tmp_path / "out")
    assert [missed["file"] for missed in trees["bell"]["missed_examples"]] == ["b.png", "black.png"]
    assert trees["bell"]["missed_examples"][0]["reason"].startswith("unreadable")


def test_several_models_cost_one_detection() -> None:
    counting = MiddleDetector()
    detector = RememberingDetector(counting)
    pictures = [Pyramid(np.full((8, 8, 3), grey, np.uint8)) for grey in (10, 20)]
    for picture in (pictures[0], pictures[0], pictures[1]):
        assert detector.detect(picture).faces[0].box.width == 4
    assert counting.looked == 2


def test_no_photograph_is_an_error_that_names_the_remedy(estimators: dict[str, Estimator], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="check the datasets"):
        evaluate(estimators, MiddleDetector, [], tmp_path)


def test_a_limit_takes_photographs_from_all_over_the_set(listing: Listing) -> None:
    assert [photograph.sample.path for photograph in photographs([listing], "test", 2)] == ["a.png", "black.png"]


def test_a_missed_face_is_answered_with_the_median_of_the_training_split(listing: Listing) -> None:
    assert training_median([listing]) == 40


def test_robustness_compares_the_same_photographs_in_every_version(
    listing: Listing, estimators: dict[str, Estimator]
) -> None:
    rows = robustness(estimators, MiddleDetector, photographs([listing], "test"))["bell"]
    assert [row["group"] for row in rows] == ["unchanged", *CHANGES]
    assert {row["n"] for row in rows} == {3}
    assert {row["children"]["n"] for row in rows} == {sum(p.sample.high < 10 for p in photographs([listing], "test"))}
    errors = {row["group"]: row["mae"] for row in rows}
    assert errors["grey"] == pytest.approx(errors["unchanged"], abs=0.2)
    assert errors["lower third covered"] != pytest.approx(errors["unchanged"], abs=0.2)


def test_children_are_measured_apart(estimators: dict[str, Estimator], tmp_path: Path) -> None:
    # Truth, and what the model reads: of those under 10 a half is over 18, of those under 15 three in five.
    people = ((2, 4), (8, 6), (9, 20), (9, 28), (12, 24), (50, 52))
    root = tmp_path / "families"
    root.mkdir()
    for number, (_, seen) in enumerate(people):
        grey_picture(root, f"{number}.png", seen)
    rows = [f"{number}.png,{age},test" for number, (age, _) in enumerate(people)]
    (root / "labels.csv").write_text("\n".join(["file,age,split", *rows]) + "\n")
    unchanged = robustness(estimators, MiddleDetector, photographs([read("own", root)], "test"))["bell"][0]
    children = unchanged["children"]
    assert children["n"] == 4
    assert children["mae"] == pytest.approx((2 + 2 + 11 + 19) / 4, abs=0.3)
    assert children["bias"] == pytest.approx((2 - 2 + 11 + 19) / 4, abs=0.3)
    assert children["coverage"] == pytest.approx(2 / 4)
    assert unchanged["coverage"] == pytest.approx(3 / 6)
    assert (unchanged["children_over_18"], unchanged["under_15_over_18"]) == (2 / 4, 3 / 5)


@pytest.mark.parametrize("change", ["grain σ 16 at 3 px", "blur", "half-tone", "scan lines", "old print"])
def test_wear_is_as_wide_as_the_face_is(change: str) -> None:
    """Of a face twice as large in a picture twice as large, half as many pixels of detail are left."""
    detail = np.random.default_rng(0).integers(60, 200, (40, 40, 3), dtype=np.uint8)
    left = []
    for scale in (1, 2):
        picture = Image.fromarray(detail).resize((320 * scale, 320 * scale), Image.Resampling.NEAREST)
        box = BoundingBox(80.0 * scale, 80.0 * scale, 160.0 * scale, 160.0 * scale)
        worn = CHANGES[change](picture, box).resize((320, 320), Image.Resampling.BOX)
        left.append(np.asarray(worn, dtype=float))
    plain = np.asarray(Image.fromarray(detail).resize((320, 320), Image.Resampling.NEAREST), dtype=float)
    spread = [float(np.abs(np.diff(each, axis=1)).mean()) for each in left]
    assert abs(left[0] - plain).mean() > 3
    assert spread[1] == pytest.approx(spread[0], rel=0.25)


def test_worn_faces_are_compared_with_the_same_faces_as_they_were(
    listing: Listing, estimators: dict[str, Estimator], tmp_path: Path
) -> None:
    # A quarter of its light leaves this one black: it is not found again.
    Image.new("RGB", (SIDE, SIDE), (1, 1, 1)).save(tmp_path / "own/c.png")
    found = robustness(estimators, MiddleDetector, photographs([listing], "test"))["bell"]
    rows = {row["group"]: row for row in found}
    unchanged, dark = rows["unchanged"], rows["quarter of the light"]
    assert (unchanged["over_clean"], unchanged["clean_mae"]) == (1, unchanged["mae"])
    assert (unchanged["detection_rate"], dark["detection_rate"]) == (1, pytest.approx(2 / 3))
    assert unchanged["mae"] > 10
    assert dark["clean_mae"] == pytest.approx((2 + 0) / 2, abs=0.1)
    assert dark["over_clean"] == pytest.approx(dark["mae"] / dark["clean_mae"])


def test_the_coverage_of_worn_photographs_has_a_range(listing: Listing, estimators: dict[str, Estimator]) -> None:
    unchanged = robustness(estimators, MiddleDetector, photographs([listing], "test"))["bell"][0]
    assert (unchanged["coverage_low"], unchanged["coverage_high"]) == pytest.approx(binomial_interval(2, 3))


def test_what_is_evaluated_says_the_coverage_by_sex(
    listing: Listing, estimators: dict[str, Estimator], tmp_path: Path
) -> None:
    evaluate(estimators, MiddleDetector, photographs([listing], "test"), tmp_path / "out")
    ninety = json.loads((tmp_path / "out/bell.json").read_text())["results"]["pooled"]["coverage"][2]
    assert ninety["level"] == 0.9
    assert [(row["group"], row["n"], row["coverage"]) for row in ninety["by_sex"]] == [
        ("female", 1, 1),
        ("male", 2, 0.5),
    ]


def test_each_change_changes_a_coloured_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    picture, box = Image.fromarray(pixels), BoundingBox(30, 30, 60, 60)
    for change in CHANGES.values():
        after = np.asarray(change(picture, box))
        assert after.shape != pixels.shape or not np.array_equal(after, pixels)


def test_sunglasses_cover_both_eyes_and_little_else() -> None:
    white, box = Image.new("RGB", (300, 300), (255, 255, 255)), BoundingBox(50, 60, 200, 200)
    covered = np.asarray(CHANGES["sunglasses"](white, box)) == DARK[0]
    assert covered[116, 106, 0]
    assert covered[116, 192, 0]
    assert not covered[:95].any()
    assert not covered[150:].any()
    assert 0.1 < covered[60:260, 50:250].mean() < 0.15


@pytest.mark.parametrize(
    ("change", "width"), [("squeezed to 3/4 of the width", 75), ("stretched to 4/3 of the width", 133)]
)
def test_a_picture_in_another_format_changes_its_width_alone(change: str, width: int) -> None:
    picture = Image.new("RGB", (100, 80))
    assert CHANGES[change](picture, BoundingBox(0, 0, 50, 50)).size == (width, 80)


def test_an_old_print_is_yellowed_grey_of_little_contrast() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    after = np.asarray(old_print(Image.fromarray(pixels), BoundingBox(30, 30, 60, 60))).astype(int)
    assert ((after[..., 0] - after[..., 2] >= 25) & (after[..., 0] - after[..., 2] <= 27)).all()
    assert after.min() > 40
    assert 5 < after.std() < 0.6 * pixels.std()


def test_datasets_are_named_with_either_dash() -> None:
    assert named_paths(["all-age-faces=/data/aaf.zip"]) == {"all_age_faces": Path("/data/aaf.zip")}
    with pytest.raises(InvalidParameter, match="name=path"):
        named_paths(["utkface"])
    with pytest.raises(InvalidParameter, match="all_age_faces is given twice, as a and as b"):
        named_paths(["all-age-faces=a", "all_age_faces=b"])


@pytest.mark.parametrize("program", ["/opt/bin/agelens-train", "/opt/training/cli/main.py"])
def test_the_command_shows_no_folder_of_this_machine(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr("sys.argv", [program, "evaluate", "--dataset", "utkface=/data/utkface.zip"])
    assert command() == "agelens-train evaluate --dataset utkface=utkface.zip"


def test_photographs_without_a_split_get_the_one_that_prepare_gives(tmp_path: Path) -> None:
    for age in range(20, 40):
        (tmp_path / str(age)).mkdir()
        noise = np.random.default_rng(age).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / str(age) / f"{age}.png")
    (listing,) = listings([f"own={tmp_path}"], [])
    assert {sample.split for sample in listing.samples} >= {"train", "test"}
    assert listing.samples == gather("own", tmp_path).samples


def test_photographs_get_the_splits_of_what_prepare_was_given(tmp_path: Path) -> None:
    for name in ("fgnet/images/001A05.JPG", "fgnet/images/001A05b.JPG", "fgnet/images/002A05.JPG", "own/20/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_astronaut(tmp_path / name)
    datasets = [f"fgnet={tmp_path / 'fgnet'}", f"own={tmp_path / 'own'}"]
    kept_of: dict[Duplicates, int] = {"keep": 3, "drop": 1}
    for duplicates, kept in kept_of.items():
        found, own = listings(datasets, [], ["fgnet=leave_out=001", "own=name=family"], duplicates)
        assert len(found.samples) == kept
        assert [each.split for each in found.samples if each.subject == "001"] == ["test"] * min(kept, 2)
        assert own.dataset == "family"
    (found,) = listings(datasets[:1], [], ["leave_out=002"], "keep")
    assert [each.split for each in found.samples if each.subject == "002"] == ["test"]
    with pytest.raises(DatasetError, match="the option leave_out is given twice"):
        listings(datasets[:1], [], ["leave-out=001", "leave_out=002"])
    words = ["evaluate", "--dataset", datasets[0], "--duplicates", "keep", "--option", "leave-out=009"]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "009" in done.output) == (1, True)


def test_a_real_photograph_goes_through_the_real_detector_to_a_page(tmp_path: Path) -> None:
    folder, root = tmp_path / "models", tmp_path / "own"
    folder.mkdir()
    root.mkdir()
    write_astronaut(root / "astronaut.png")
    (root / "labels.csv").write_text("file,age,split\nastronaut.png,37,test\n")
    page = measure([f"own={root}"], [], [], write_complete_folder(folder), tmp_path / "out")
    tree = json.loads((tmp_path / "out/brightness.json").read_text())
    assert tree["detection_rate"] == 1
    assert "brightness" in page.read_text()


def detectors() -> Iterator[FaceDetector]:
    """Hold the double to the protocol."""
    yield MiddleDetector()
