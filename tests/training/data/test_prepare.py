"""Stores: every picture once, with the service's detector and crop, and going on after an interruption."""

import csv
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.errors import FileMissing
from service.inference.decoding.photo import decode_image
from service.inference.detection.detector import BlazeFaceDetector
from service.inference.imaging import Pyramid, crop_face
from service.inference.lockfile import default_models_dir
from service.inference.manifest import CropSpec
from tests.pictures import astronaut, coffee, jpeg, pasted
from training.data.augment import centre
from training.data.prepare import PrepareError, prepare
from training.data.store import FaceStore
from training.datasets import Listing, read

CROP = CropSpec(size=64, margin=0.1, detector_threshold=0.7)
MODELS = default_models_dir()


def dataset(root: Path, count: int = 6) -> Listing:
    """Write a folder in UTKFace's naming: portraits of growing size, one picture without a face, one broken."""
    root.mkdir()
    for i in range(count):
        picture = pasted(150 + 2 * i, 5 * i, i)
        (root / f"{20 + i}_1_0_2017010100000000{i}.jpg.chip.jpg").write_bytes(jpeg(picture))
    (root / "70_0_0_20170101000000010.jpg.chip.jpg").write_bytes(jpeg(coffee()))
    (root / "71_0_0_20170101000000011.jpg.chip.jpg").write_bytes(jpeg(astronaut())[:5000])
    return read("utkface", root)


def index_of(store: Path) -> list[dict[str, str]]:
    with (store / "index.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_store_holds_every_face_and_a_reason_for_the_rest(tmp_path: Path) -> None:
    kept = prepare(dataset(tmp_path / "faces"), tmp_path / "store", MODELS, CROP, bleed=8, workers=1)
    rows = index_of(tmp_path / "store")
    assert len(rows) == 8
    assert len(kept.samples) == 6
    assert kept.rejected["no face found"] == 1
    assert kept.examples["no face found"] == ["70_0_0_20170101000000010.jpg.chip.jpg"]
    assert [row["row"] == "" for row in rows] == [row["reason"] != "" for row in rows]
    assert rows[-1]["reason"].startswith("unreadable")
    assert rows[0]["low"] == rows[0]["high"] == "20"
    assert rows[0]["sex"] == "female"


def test_the_stored_centre_is_what_the_service_crops(tmp_path: Path) -> None:
    listing = dataset(tmp_path / "faces", count=2)
    prepare(listing, tmp_path / "store", MODELS, CROP, bleed=8, workers=1)
    store = FaceStore.open(tmp_path / "store")
    detector = BlazeFaceDetector(MODELS)
    for i in (0, 1):
        picture = Pyramid(decode_image(listing.open(listing.samples[i].path)).pixels)
        crop = crop_face(picture, detector.detect(picture).faces[0], CROP)
        assert crop.std() > 10
        assert np.array_equal(centre(store.faces[i], CROP.size), crop)


def test_preparing_again_changes_nothing(tmp_path: Path) -> None:
    listing = dataset(tmp_path / "faces", count=2)
    first = prepare(listing, tmp_path / "store", MODELS, CROP, bleed=8, workers=1)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()}
    assert prepare(listing, tmp_path / "store", MODELS, CROP, bleed=8, workers=1) == first
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()}
    assert after == before


def test_a_finished_store_gets_corrected_labels_and_keeps_its_pixels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = dataset(tmp_path / "faces", count=2)
    prepare(listing, tmp_path / "store", MODELS, CROP, bleed=8, workers=1)
    first, *rest = listing.samples
    corrected = listing.replaced([replace(first, low=40, high=45, subject="Ann", split="test"), *rest])
    written = (tmp_path / "store" / "faces.npy").stat().st_mtime_ns
    capsys.readouterr()
    prepare(corrected, tmp_path / "store", MODELS, CROP, bleed=8, workers=1)
    said = " ".join(capsys.readouterr().err.split())
    (tmp_path / "whole").mkdir()
    prepare(corrected, tmp_path / "whole", MODELS, CROP, bleed=8, workers=1)
    assert index_of(tmp_path / "store") == index_of(tmp_path / "whole")
    assert len(FaceStore.open(tmp_path / "store").select("test")) == 1
    assert said.startswith("1 rows of")
    assert said.endswith("have new labels or splits now")
    assert (tmp_path / "store" / "faces.npy").stat().st_mtime_ns == written


def test_another_crop_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    listing = dataset(tmp_path / "faces", count=1)
    prepare(listing, tmp_path / "store", MODELS, CROP, bleed=8, workers=1)
    with pytest.raises(PrepareError, match="another crop"):
        prepare(listing, tmp_path / "store", MODELS, CROP.model_copy(update={"margin": 0.3}), bleed=8, workers=1)


def test_a_picture_replaced_under_its_name_is_refused_and_a_store_of_before_is_not(tmp_path: Path) -> None:
    listing, store = dataset(tmp_path / "faces", count=2), tmp_path / "store"
    first = prepare(listing, store, MODELS, CROP, bleed=8, workers=1)
    broken = tmp_path / "faces" / listing.samples[-1].path
    broken.write_bytes(jpeg(astronaut()))
    with pytest.raises(PrepareError, match=r"replaced under their names .* give another --out"):
        prepare(listing, store, MODELS, CROP, bleed=8, workers=1)
    about = json.loads((store / "store.json").read_text())
    del about["sizes_sha256"]
    (store / "store.json").write_text(json.dumps(about))
    assert prepare(listing, store, MODELS, CROP, bleed=8, workers=1) == first


def test_a_killed_preparation_goes_on_where_it_stopped(tmp_path: Path) -> None:
    listing = dataset(tmp_path / "faces", count=24)
    script = (
        "from pathlib import Path; from tests.training.data.test_prepare import CROP, MODELS; "
        "from training.datasets import read; from training.data.prepare import prepare\n"
        f"if __name__ == '__main__': prepare(read('utkface', Path({str(tmp_path / 'faces')!r})), "
        f"Path({str(tmp_path / 'store')!r}), MODELS, CROP, 8, 1)"
    )
    (tmp_path / "run.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py")],
        env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    journal = tmp_path / "store" / "index.partial.csv"
    while process.poll() is None and not (journal.exists() and journal.read_text().count("\n") >= 3):
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = journal.read_text().count("\n")
    assert 3 <= done < len(listing.samples)
    listing = listing.replaced([replace(sample, split="test") for sample in listing.samples])
    journal.write_text(journal.read_text() + "23,utkface,half a li")  # what a kill may leave
    prepare(listing, tmp_path / "store", MODELS, CROP, bleed=8, workers=1)
    whole = tmp_path / "whole"
    prepare(listing, whole, MODELS, CROP, bleed=8, workers=1)
    assert index_of(tmp_path / "store") == index_of(whole)
    assert np.array_equal(np.load(tmp_path / "store" / "faces.npy"), np.load(whole / "faces.npy"))
    assert json.loads((whole / "store.json").read_text())["bleed"] == 8


def test_a_table_whose_pictures_are_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,age\n1.jpg,30\n")
    with pytest.raises(PrepareError, match=r"own has no photograph to prepare; .*: 1 \(in the table"):
        prepare(read("own", tmp_path), tmp_path / "store", MODELS, CROP, bleed=8, workers=1)
    assert not (tmp_path / "store").exists()


def test_photographs_without_any_face_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "30").mkdir()
    (tmp_path / "30" / "1.jpg").write_bytes(jpeg(coffee()))
    for _ in range(2):  # the second time there is a store already
        with pytest.raises(PrepareError, match="no photograph of own has a face"):
            prepare(read("own", tmp_path), tmp_path / "store", MODELS, CROP, bleed=8, workers=1)


def test_a_folder_without_the_detector_is_an_error_and_no_endless_start_of_processes(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    for path in MODELS.glob("*.json"):
        (tmp_path / "models" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(FileMissing, match="make setup"):
        prepare(dataset(tmp_path / "faces"), tmp_path / "store", tmp_path / "models", CROP, bleed=8, workers=1)
