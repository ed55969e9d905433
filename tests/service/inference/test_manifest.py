"""The contract inside an ONNX file, and the lock that says which bytes to trust."""

import json
from pathlib import Path

import pytest

from service.errors import ChecksumMismatch, FileMissing, InvalidModelFile
from service.inference.lockfile import LockEntry, ModelLock, verified_path
from service.inference.manifest import METADATA_KEY, CropSpec, Manifest, Provenance

PROVENANCE = Provenance(recipe="smoke", data=("drawn",), initial_weights="none", commit="0" * 40, created="2026-01-01")


def manifest(**changes: object) -> Manifest:
    fields = {"name": "toy", "version": "1.0.0", "family": "coral", "licence": "none", "provenance": PROVENANCE}
    crop, mix = CropSpec(size=32, margin=0.1), [1 / 101] * 101
    return Manifest.model_validate({**fields, "crop": crop, "age_mix": mix, **changes})


def locked(folder: Path, content: bytes = b"model") -> LockEntry:
    (folder / "toy.onnx").write_bytes(content)
    sha256 = "9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4"
    return LockEntry(file="toy.onnx", kind="model", size=5, sha256=sha256, source="here")


def test_a_manifest_comes_back_from_metadata() -> None:
    original = manifest()
    assert Manifest.from_metadata({METADATA_KEY: original.model_dump_json()}, "toy.onnx") == original


def test_a_file_without_a_manifest_says_how_to_get_one() -> None:
    with pytest.raises(InvalidModelFile, match="agelens-train export"):
        Manifest.from_metadata({}, "toy.onnx")


def test_a_manifest_of_another_schema_is_refused_by_its_field() -> None:
    text = json.dumps({**manifest().model_dump(mode="json"), "schema_version": 2})
    with pytest.raises(InvalidModelFile, match="schema_version"):
        Manifest.from_metadata({METADATA_KEY: text}, "toy.onnx")


def test_a_manifest_without_a_mix_of_ages_is_refused_with_the_remedy() -> None:
    text = manifest().model_dump_json(exclude={"age_mix"})
    with pytest.raises(InvalidModelFile, match=r"toy\.onnx: manifest field age_mix .*export it again"):
        Manifest.from_metadata({METADATA_KEY: text}, "toy.onnx")


def test_a_table_that_would_not_nest_is_refused() -> None:
    band = {"low": 0, "high": 101, "levels": [0.5, 0.9], "scores": [0.8, 0.4]}
    with pytest.raises(ValueError, match="nested"):
        manifest(intervals=[band])


def test_a_band_without_widths_holds_any() -> None:
    band = manifest(intervals=[{"low": 0, "high": 20, "levels": [0.5], "scores": [0.4]}]).bands()[0]
    assert band.holds(10, 0.0)
    assert band.holds(10, 99.0)
    assert not band.holds(20, 5.0)


def test_a_mix_of_ages_needs_a_share_for_each_that_sum_to_one() -> None:
    assert len(manifest(age_mix=[1 / 101] * 101).age_mix) == 101
    for shares in ([], [0.5, 0.5], [0.02] * 101, [0.0, *[0.01] * 100]):
        with pytest.raises(ValueError, match="101 shares above 0"):
            manifest(age_mix=shares)


def test_geometry_leaves_only_size_and_exposure_free() -> None:
    first, second = CropSpec(size=32, margin=0.1), CropSpec(size=64, margin=0.1, exposure="stretched")
    assert first.geometry() == second.geometry()
    assert first.geometry() != CropSpec(size=32, margin=0.2).geometry()


def test_a_file_as_locked_is_found(tmp_path: Path) -> None:
    assert verified_path(tmp_path, locked(tmp_path)) == tmp_path / "toy.onnx"


def test_one_changed_byte_is_noticed(tmp_path: Path) -> None:
    entry = locked(tmp_path, b"Model")
    with pytest.raises(ChecksumMismatch, match=r"toy\.onnx"):
        verified_path(tmp_path, entry)


def test_a_missing_detector_names_make_setup(tmp_path: Path) -> None:
    entry = locked(tmp_path).model_copy(update={"file": "gone.tflite", "kind": "detector"})
    with pytest.raises(FileMissing, match="run `make setup`"):
        verified_path(tmp_path, entry)
    with pytest.raises(FileMissing, match="build the wheel again, after `make setup`"):
        verified_path(tmp_path / "site-packages" / "service" / "_models", entry)


def test_a_lock_is_written_sorted_and_read_back(tmp_path: Path) -> None:
    entry = locked(tmp_path)
    lock = ModelLock(files=(entry.model_copy(update={"file": "z.onnx"}), entry))
    lock.write(tmp_path)
    assert [each.file for each in ModelLock.read(tmp_path).files] == ["toy.onnx", "z.onnx"]


def test_a_folder_without_a_lock_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match="AGELENS_MODELS_DIR"):
        ModelLock.read(tmp_path)


def test_one_loaded_model_answers_by_default_and_comes_first(tmp_path: Path) -> None:
    first = locked(tmp_path).model_copy(update={"default": True})
    second = first.model_copy(update={"file": "zoo.onnx", "answers": True})
    third = first.model_copy(update={"file": "zzz.onnx", "default": False})
    ModelLock(files=(first, second, third)).write(tmp_path)
    text = (tmp_path / "models.lock.json").read_text()
    assert (text.count("answers"), text.count("default"), text.count("licence")) == (1, 2, 0)
    assert [entry.file for entry in ModelLock.read(tmp_path).of_kind("model")] == ["zoo.onnx", "toy.onnx", "zzz.onnx"]
    (tmp_path / "models.lock.json").write_text(text.replace('"default": true', '"default": true, "answers": true', 1))
    with pytest.raises(InvalidModelFile, match=r"one model answers by default, not toy\.onnx, zoo\.onnx"):
        ModelLock.read(tmp_path)


def test_a_model_that_is_not_loaded_cannot_answer_by_default(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"toy\.onnx answers by default, so"):
        ModelLock(files=(locked(tmp_path).model_copy(update={"answers": True}),))
