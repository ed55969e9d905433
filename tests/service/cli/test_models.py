"""The command `agelens models`, through the command line as it is installed."""

from __future__ import annotations

import json
from pathlib import Path

from service.inference.lockfile import ModelLock
from tests.complete_folder import write_complete_folder
from tests.service.cli.command import agelens
from tests.tiny_model import brightness_manifest, lock_entry, write_brightness_model


def test_models_are_a_row_each_and_their_details_are_shown_on_request(folder: Path) -> None:
    rows = [line.split() for line in agelens("models", "--models-dir", folder).stdout.splitlines()]
    (row,) = [row for row in rows if row[:1] == ["brightness"]]
    assert row[1:3] == ["1.0.0", "answers"]
    assert [" ".join(row) for row in rows if "Apache-2.0" in row] == ["licence of all: Apache-2.0"]
    details = agelens("models", "--models-dir", folder, "--verbose").stdout
    assert details.count("(answers by default)") == 1
    for entry in ModelLock.read(folder).files:
        assert entry.sha256 in details


def test_licences_that_differ_are_said_with_the_models_that_have_them(tmp_path: Path) -> None:
    entries = []
    for name, licence in (("free", "Apache-2.0"), ("bound", "Research [only]")):
        path = tmp_path / f"{name}.onnx"
        write_brightness_model(path, brightness_manifest(name).model_copy(update={"licence": licence}))
        entries.append(lock_entry(path))
    ModelLock(files=tuple(entries)).write(tmp_path)
    said = agelens("models", "--models-dir", tmp_path).stdout.splitlines()
    assert [line.strip() for line in said if "licence" in line] == [
        "licence of bound: Research [only]",
        "licence of free: Apache-2.0",
    ]


def test_the_error_is_that_of_the_last_measurement_where_the_lock_has_it(tmp_path: Path) -> None:
    path = tmp_path / "brightness.onnx"
    write_brightness_model(path, brightness_manifest().model_copy(update={"metrics": {"test_mae": 4.3}}))
    for noted, shown in ((None, "4.30"), (4.5, "4.50")):
        ModelLock(files=(lock_entry(path).model_copy(update={"error_years": noted}),)).write(tmp_path)
        (row,) = [
            line.split() for line in agelens("models", "--models-dir", tmp_path).stdout.splitlines() if "1.0.0" in line
        ]
        assert row[3] == shown


def test_models_as_json_has_the_manifest(folder: Path) -> None:
    found = json.loads(agelens("models", "--models-dir", folder, "--json").stdout)
    manifests = [file["manifest"]["name"] for file in found if file["manifest"]]
    assert manifests == ["brightness", "other"]


def test_models_folder_without_a_lock_is_named(tmp_path: Path) -> None:
    result = agelens("models", "--models-dir", tmp_path / "nowhere")
    assert result.exit_code == 1
    assert f"models.lock.json is not in the models folder {tmp_path / 'nowhere'}; name" in result.stderr


def test_verify_runs_every_model(folder: Path) -> None:
    result = agelens("models", "verify", "--models-dir", folder)
    assert result.exit_code == 0
    assert result.stdout.count("✓") == 4
    assert result.stdout.count("first run") == 2


def test_verify_names_an_altered_file(tmp_path: Path) -> None:
    folder = write_complete_folder(tmp_path)
    (folder / "brightness-1.0.0.onnx").write_bytes(b"something else")
    result = agelens("models", "verify", "--models-dir", folder)
    assert result.exit_code == 1
    assert "brightness-1.0.0.onnx differs from its sha256" in " ".join(result.stdout.split())
