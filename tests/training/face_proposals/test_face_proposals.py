"""What the proposals of small faces learn from, and that their file is their network."""

import json
import math
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from onnx import numpy_helper

from service.errors import FileMissing
from service.inference.detection.face_proposals import FILE, INPUT, STRIDE
from service.inference.faces import BoundingBox
from service.inference.lockfile import ModelLock
from service.inference.manifest import METADATA_KEY, Provenance
from service.inference.onnx_session import ort
from tests.tiny_model import write_models_folder
from training.data.synthetic import synthetic_face
from training.export.graph import ExportRefused
from training.face_proposals.backgrounds import drawn, read_rgb
from training.face_proposals.fewer_nodes import in_fewer_nodes
from training.face_proposals.make import answered, check_proposals, converted, graph_of, publish
from training.face_proposals.network import SIDES, Pool, build_proposer, proposal_loss, targets, varied
from training.face_proposals.report import Measured, Sighting, card, provenance
from training.face_proposals.scenes import Portrait, SceneFace, Scenes
from training.face_proposals.search_measurement import Remeasured, Searched

MADE = Provenance(
    recipe="face-proposals", data=("utkface",), initial_weights="none", commit="none", created="2026-01-01"
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    path: Path = tmp_path_factory.mktemp("photographs") / "face.png"
    rng = np.random.default_rng(0)
    cv2.imwrite(str(path), synthetic_face(30, 160, rng))
    return Scenes([[Portrait(path, BoundingBox(40, 40, 80, 80))]], (drawn(rng, 300, 400),))


def test_scenes_hold_faces_of_the_sizes_asked_for_inside(scenes: Scenes) -> None:
    found = [scenes.scene(np.random.default_rng(seed), 128, 192, smallest=20)[1] for seed in range(12)]
    held = [face for faces in found for face in faces]
    assert held
    assert all(20 <= face.width <= 128 and 0 <= face.x <= 192 and 0 <= face.y <= 128 for face in held)


def test_some_faces_are_cut_off_by_the_border_and_some_fill_the_scene(scenes: Scenes) -> None:
    held = [face for seed in range(60) for face in scenes.scene(np.random.default_rng(seed), 128, 128)[1]]
    assert any(face.x - face.width / 2 < -0.2 * face.width for face in held)
    assert max(face.width for face in held) > 100


def test_a_sheet_has_many_faces_in_rows(scenes: Scenes) -> None:
    many = max((scenes.scene(np.random.default_rng(seed), 256, 256)[1] for seed in range(40)), key=len)
    assert len(many) > 8
    assert len({round(face.y) for face in many}) < len(many) / 2


def test_equal_seeds_give_equal_scenes(scenes: Scenes) -> None:
    first, again = (scenes.scene(np.random.default_rng(3), 96, 96)[0] for _ in range(2))
    assert np.array_equal(first, again)


def test_faces_turn_all_the_way_round(scenes: Scenes) -> None:
    turns = [abs(face.turn) for seed in range(60) for face in scenes.scene(np.random.default_rng(seed), 96, 96)[1]]
    assert math.radians(150) < max(turns) <= math.pi
    assert sum(turn < math.radians(31) for turn in turns) > len(turns) / 2


def test_a_cell_of_a_face_is_told_where_and_how_wide_it_is_and_how_turned() -> None:
    wanted = targets([SceneFace(70, 66, 48, 0.5)], 128, 128)
    assert wanted[8, 8, 0] == 1
    x, y, width = (8.5 + wanted[8, 8, 2]) * STRIDE, (8.5 + wanted[8, 8, 3]) * STRIDE, np.exp(wanted[8, 8, 4]) * STRIDE
    assert np.allclose((x, y, width), (70, 66, 48), atol=1e-3)
    assert np.isclose(np.arctan2(wanted[8, 8, 6], wanted[8, 8, 5]), 0.5)
    assert wanted[0, 0, 0] < 0.01


def test_a_varied_scene_has_its_faces_where_they_are_shown() -> None:
    picture, face = np.zeros((64, 96, 3), np.uint8), SceneFace(10, 20, 12, 0.3)
    picture[20, 10] = 255
    seen = set()
    for seed in range(40):
        shown, (held,) = varied(np.random.default_rng(seed), picture, [face])
        row, column = np.unravel_index(shown.sum(-1).argmax(), shown.shape[:2])
        assert abs(held.x - column) <= 1
        assert abs(held.y - row) <= 1
        seen.add((held.x, held.y, round(held.turn, 3)))
    assert len(seen) == 8, "mirrored or not, in four turns"


@pytest.mark.parametrize(("quarters", "turn"), [(1, -90), (2, 180), (3, 90)])
def test_a_scene_turned_against_the_clock_turns_the_eyes(quarters: int, turn: float) -> None:
    face = SceneFace(10, 20, 12, 0.0)
    for _ in range(quarters):
        face = face.quarter_turned(64)
    assert math.cos(face.turn - math.radians(turn)) == pytest.approx(1)


def test_the_right_answer_costs_least() -> None:
    truth = targets([SceneFace(70, 66, 48, 0.5)], 128, 128)[None]
    logit = np.where(truth[..., :1] == 1, 9.0, -9.0)
    right = np.concatenate([logit, truth[..., 2:7]], -1).astype(np.float32)
    elsewhere, wider = np.roll(right, 3, axis=1), right + np.array([0, 0, 0, 0.5, 0, 0], np.float32)
    costs = [float(proposal_loss(truth, answer)) for answer in (right, elsewhere, wider)]
    assert costs[0] < 0.01 < min(costs[1:])


def test_composed_scenes_are_kept_for_another_run(scenes: Scenes, tmp_path: Path) -> None:
    first = Pool.composed(scenes, 3, tmp_path, 0)
    again = Pool.composed(Scenes([], ()), 3, tmp_path, 0)
    assert np.array_equal(first.pictures, again.pictures)
    assert first.faces == again.faces
    pictures, truths = next(again.batches(0))
    assert pictures.shape[1:] == (SIDES[0], SIDES[0], 3)
    assert len(pictures) == len(truths)


def test_the_file_answers_as_the_network_and_says_where_it_comes_from(tmp_path: Path) -> None:
    # Some random networks answer much the same everywhere, which is refused: not one that the tests before decide.
    keras.utils.set_random_seed(0)
    proposer, sample = build_proposer(), np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    last = proposer.get_layer("heat")
    last.set_weights([values * scale for values, scale in zip(last.get_weights(), (300_000, 0), strict=True)])
    graph, expected = graph_of(proposer), np.asarray(answered(proposer, sample))
    check_proposals(graph, sample, expected)
    with pytest.raises(ExportRefused, match="differs from Keras"):
        check_proposals(graph, sample, expected * np.float32(0.9))
    path = publish(graph, write_models_folder(tmp_path), MADE)
    assert provenance(path) == MADE
    (entry,) = ModelLock.read(tmp_path).of_kind("proposals")
    assert (entry.file, entry.size) == (FILE, path.stat().st_size)
    assert METADATA_KEY in json.dumps([prop.key for prop in graph.metadata_props])


def test_graph_of_fewer_nodes_answers_the_same_bit_for_bit() -> None:
    as_written = converted(build_proposer())
    shorter = in_fewer_nodes(as_written)
    sample = np.random.default_rng(1).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    answers = [
        ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {INPUT: sample})[
            0
        ]
        for graph in (as_written, shorter)
    ]
    assert len(np.unique(answers[0])) > 500
    assert np.array_equal(*answers)
    assert len(shorter.graph.node) < 0.6 * len(as_written.graph.node)
    assert [node.op_type for node in shorter.graph.node][:3] == ["Transpose", "DequantizeLinear", "Conv"]
    assert sum(node.op_type == "Resize" for node in shorter.graph.node) == 2


def test_input_whose_rescaling_would_round_otherwise_is_refused() -> None:
    graph = converted(build_proposer())
    (step,) = (
        tensor for tensor in graph.graph.initializer if numpy_helper.to_array(tensor).ravel().tolist() == [1 / 64]
    )
    step.CopyFrom(numpy_helper.from_array(np.array(0.01, np.float32), step.name))
    with pytest.raises(ExportRefused, match="power of two"):
        in_fewer_nodes(graph)
    for kept in (1, 2):
        shorter = converted(build_proposer())
        del shorter.graph.node[kept:]
        with pytest.raises(ExportRefused, match="the input is read by Cast"):
            in_fewer_nodes(shorter)


def test_the_card_says_the_shares_that_were_counted(tmp_path: Path) -> None:
    proposer = build_proposer()
    publish(graph_of(proposer), write_models_folder(tmp_path), MADE)
    (entry,) = ModelLock.read(tmp_path).of_kind("proposals")
    seen = [Sighting(30.0, 50.0, True, True), Sighting(30.0, 50.0, True, False)]
    hard = [Searched("turned by 180°", 4, 4, 3, 1, (0.5, 2.0, 0.75)), Searched("without faces", 9, 0, 0, 2)]
    again = [Remeasured("store", 5, 4, (0.01, 0.02, 0.03), (-0.04, 0.01, 0.01))]
    text = card(entry, MADE, Measured(seen, [3, 4], 0, [40.0, 60.0]), hard, again)
    assert "| 24 to 40 px | 2 | 100.0% (15.8%–100.0%) | 50.0% (1.3%–98.7%) |" in text
    assert "| turned 45 to 90° | 2 | 100.0%" in text
    assert "In 2 scenes 3.5 proposals each, 0 false faces, 50 ms" in text
    assert "| turned by 180° | 4 | 4 | 3 (75%) | 1 | 0.75 |" in text
    assert "| without faces | 9 | 0 |  | 2 |  |" in text
    assert "| store | 5 | 4 (80.00%) | 2.00 | 1.00 |" in text
    assert "- UTKFace has no age 0" in text
    other = MADE.model_copy(update={"data": ("own",)})
    assert "UTKFace" not in card(entry, other, Measured(seen, [3, 4], 0, [40.0, 60.0]), hard, again)


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"labels\.csv is not there or is no picture; give with --photos"):
        read_rgb(tmp_path / "labels.csv")
