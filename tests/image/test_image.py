"""What the built image is and does; `make test-image` builds it and runs this with the network cut off."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Iterator

import pytest
from PIL import Image
from skimage.data import astronaut

from tests.image.container import ROOT, WORK, Container, command, configuration, running


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    with running() as container:
        yield container


def _photograph() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def test_it_runs_as_a_user_without_rights() -> None:
    assert configuration()["User"] == "10001:10001"


def test_it_says_what_it_is() -> None:
    labels = configuration()["Labels"]
    assert {"title", "description", "licenses", "version", "revision"} == {
        key.removeprefix("org.opencontainers.image.") for key in labels if key.startswith("org.opencontainers.image.")
    }
    assert re.fullmatch(r"[0-9a-f]{40}", labels["org.opencontainers.image.revision"])


def test_it_holds_no_training_and_no_installer() -> None:
    packages = {path.name for path in ROOT.glob("opt/agelens/lib/python3*/site-packages/*")}
    assert "fastapi" in packages
    assert not {"tensorflow", "keras", "tf2onnx", "onnx", "pip", "uv"} & packages


def test_its_bill_of_materials_names_every_package() -> None:
    bill = json.loads((ROOT / "opt/agelens/sbom.cdx.json").read_text())
    named = {part["name"].replace("_", "-").lower() for part in bill["components"]} | {"agelens"}
    installed = ROOT.glob("opt/agelens/lib/python3*/site-packages/*.dist-info")
    assert {path.name.split("-")[0].replace("_", "-").lower() for path in installed} <= named
    assert bill["bomFormat"] == "CycloneDX"


def test_it_answers_with_one_face(container: Container) -> None:
    answer = container.client.post("/predict", content=_photograph(), headers={"content-type": "image/jpeg"})
    assert answer.status_code == 200
    (face,) = answer.json()["faces"]
    assert len(face["threshold_probabilities"]) == 100


def test_its_documentation_needs_no_other_host(container: Container) -> None:
    page = container.client.get("/docs")
    assert page.status_code == 200
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page.text)


def test_its_root_cannot_be_written() -> None:
    words = command("touch", "/opt/agelens/mark", "/opt/mark")
    attempt = subprocess.run(words, check=False, capture_output=True, text=True)
    assert attempt.returncode != 0
    assert attempt.stderr.count("Read-only file system") == 2


def test_its_health_check_follows_the_service(container: Container) -> None:
    kind, *words = configuration()["Healthcheck"]["Test"]
    assert kind == "CMD"
    assert subprocess.run(command(*words), check=False).returncode == 0


@pytest.mark.usefixtures("container")
def test_it_tells_nobody() -> None:
    assert "telemetry" not in (WORK / "container.log").read_text()


def test_sigterm_ends_it_with_status_zero(container: Container) -> None:
    assert container.terminate() == 0
    words = configuration()["Healthcheck"]["Test"][1:]
    assert subprocess.run(command(*words), check=False, capture_output=True).returncode != 0
