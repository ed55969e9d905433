"""Proposals say where small faces may be, how wide and how turned; without their file there is no detector."""

import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from service.cli.models import inspect
from service.errors import ChecksumMismatch, FileMissing, InvalidModelFile
from service.inference.detection.detector import BlazeFaceDetector
from service.inference.detection.face_proposals import FILE, FaceProposals, Proposal
from service.inference.detection.views import smallest_sought, views
from service.inference.faces import BoundingBox, Pixels
from service.inference.imaging import Pyramid, eye_angle
from service.inference.lockfile import LockEntry, ModelLock, default_models_dir, sha256_of
from tests.complete_folder import write_complete_folder
from tests.pictures import HEAD, astronaut, coffee, pasted
from tests.tiny_model import write_brightness_model


@pytest.fixture(scope="module")
def proposals() -> FaceProposals:
    return FaceProposals(default_models_dir())


@pytest.fixture(scope="module")
def detector() -> BlazeFaceDetector:
    return BlazeFaceDetector(default_models_dir())


def turned(degrees: float, side: int = 80) -> Pixels:
    """Return the astronaut's head in a scene, turned; its face lies at (300, 200) and is half of `side` wide."""
    matrix = cv2.getRotationMatrix2D((100, 100), -degrees, side / 200)
    matrix[:, 2] += (200, 100)
    scene = coffee().copy()
    head = np.ascontiguousarray(astronaut()[HEAD])
    cv2.warpAffine(head, matrix, scene.shape[1::-1], scene, cv2.INTER_AREA, cv2.BORDER_TRANSPARENT)
    return scene


def proposed(proposals: FaceProposals, picture: Pixels) -> list[Proposal]:
    """Return what is proposed in all views of a picture, likeliest first."""
    height, width = picture.shape[:2]
    planned, _ = views(width, height, smallest_sought(width, height))
    found = [proposal for view in planned for proposal in proposals.propose(Pyramid(picture), view)]
    return sorted(found, key=lambda proposal: -proposal.probability)


@pytest.mark.parametrize("side", [40, 64, 100, 160, 320])
def test_the_likeliest_proposal_is_the_face(proposals: FaceProposals, side: int) -> None:
    first = proposed(proposals, pasted(side, 200, 60))[0]
    assert math.dist(first.box.center, (200 + side / 2, 60 + side / 2)) < side / 6
    assert 0.4 < first.box.width / side < 0.9


@pytest.mark.parametrize("degrees", [-150, -90, -60, -30, 30, 60, 120, 180])
def test_a_small_turned_face_is_found(detector: BlazeFaceDetector, degrees: int) -> None:
    (face,) = detector.detect(Pyramid(turned(degrees))).faces
    assert abs(math.remainder(math.degrees(eye_angle(face)) - degrees, 360)) < 15


def test_a_large_picture_gives_the_same_proposal_as_a_small_one(proposals: FaceProposals) -> None:
    small = pasted(64, 300, 200)
    large = cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    first, second = (proposed(proposals, picture)[0] for picture in (small, large))
    assert math.dist(first.box.center, second.box.scaled(0.25).center) < 3
    assert abs(first.box.width / second.box.width * 4 - 1) < 0.1


def test_a_picture_without_faces_gives_few(proposals: FaceProposals) -> None:
    assert len(proposed(proposals, coffee())) <= 5


def test_a_lock_without_proposals_is_refused(tmp_path: Path) -> None:
    write_complete_folder(tmp_path)
    ModelLock(files=ModelLock.read(tmp_path).of_kind("detector")).write(tmp_path)
    with pytest.raises(FileMissing, match="git checkout models"):
        BlazeFaceDetector(tmp_path)


def test_another_file_than_the_locked_is_refused(tmp_path: Path) -> None:
    write_complete_folder(tmp_path)
    shutil.copy(default_models_dir() / "models.lock.json", tmp_path / FILE)
    with pytest.raises(ChecksumMismatch, match=FILE):
        BlazeFaceDetector(tmp_path)


def lock_brightness(folder: Path) -> None:
    """Lock a file that takes and gives other tensors than proposals do."""
    path = folder / FILE
    write_brightness_model(path)
    entry = LockEntry(file=FILE, kind="proposals", size=path.stat().st_size, sha256=sha256_of(path), source="tests")
    ModelLock(files=(entry,)).write(folder)


def test_a_file_of_another_contract_is_refused(tmp_path: Path) -> None:
    lock_brightness(tmp_path)
    with pytest.raises(InvalidModelFile, match="agreed were"):
        FaceProposals(tmp_path)


def test_models_verify_tells_of_a_file_of_another_contract(tmp_path: Path) -> None:
    lock_brightness(tmp_path)
    (file,) = inspect(tmp_path)
    assert "agreed were" in str(file.trouble)


@pytest.mark.parametrize("degrees", [-150, -90, 60, 120, 180])
def test_a_close_view_tells_the_turn_of_a_small_face(proposals: FaceProposals, degrees: int) -> None:
    picture = Pyramid(turned(degrees, 48))
    doubtful = Proposal(BoundingBox(285, 185, 30, 30), 0.3, 0.0, 0.1)
    best = max(proposals.propose_closely(picture, doubtful), key=lambda proposal: proposal.turn_confidence)
    assert best.turn_confidence > 0.5
    assert abs(math.remainder(math.degrees(best.turn) - degrees, 360)) < 35


def test_what_is_no_face_is_not_proposed_closely(proposals: FaceProposals) -> None:
    assert not proposals.propose_closely(
        Pyramid(np.full((400, 600, 3), 128, np.uint8)), Proposal(BoundingBox(285, 185, 30, 30), 0.9, 0.0, 0.1)
    )
