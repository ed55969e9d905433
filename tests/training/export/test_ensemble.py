"""Several model files as one graph: the mean of their answers, or a mixture by a gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from service.inference.age_mix import mix_of
from service.inference.estimator import Estimator
from service.inference.lockfile import sha256_of
from service.inference.manifest import INPUT_NAME
from tests.tiny_model import SIZE
from tests.training.export.bell_model import (
    CHANNELS,
    bell_manifest,
    bell_model,
    grey_faces,
    write_bell_model,
    write_grey_store,
)
from training.export.calibration_nodes import set_mix
from training.export.ensemble import ensemble, gate_between, mean_of
from training.export.gate import Gate
from training.export.graph import ExportRefused, drop_unused, embed, merge_repeats, run, take_parts_directly
from training.measures.calibration import decoded
from training.model.from_onnx import ExportedFile
from training.onnx_manifest import manifest_of

FACES = grey_faces(np.linspace(5, 95, 19))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grey_store(tmp_path_factory.mktemp("stores") / "grey", count=2000)


def test_an_ensemble_answers_with_the_mean_of_its_members() -> None:
    first, second = bell_model(3), bell_model(6, shift=10)
    expected = (run(first, FACES) + run(second, FACES)) / 2
    assert np.abs(run(first, FACES) - run(second, FACES)).max() > 0.05
    assert run(mean_of([first, second], SIZE), FACES) == pytest.approx(expected, abs=1e-6)


def test_an_ensemble_resizes_faces_for_a_member_of_another_size() -> None:
    first, second = bell_model(3), bell_model(6, size=2 * SIZE)
    expected = (run(first, FACES) + run(second, FACES.repeat(2, axis=1).repeat(2, axis=2))) / 2
    assert run(mean_of([first, second], SIZE), FACES) == pytest.approx(expected, abs=1e-6)


def test_an_ensemble_is_a_model_file_with_a_calibration_of_its_own(store: Path, tmp_path: Path) -> None:
    members = [write_bell_model(tmp_path, "young", shift=-3), write_bell_model(tmp_path, "old", shift=3)]
    path = ensemble(members, tmp_path, "ensemble", "1.0.0", [store])
    manifest = Estimator(path, sha256_of(path)).manifest
    assert (manifest.family, manifest.provenance.recipe) == ("ensemble", "mean of young 1.0.0 + old 1.0.0")
    assert manifest.intervals


def test_a_member_speaks_of_the_mix_of_ages_that_it_was_fitted_to(store: Path, tmp_path: Path) -> None:
    paths = write_bell_model(tmp_path, "one", sigma=2), write_bell_model(tmp_path, "two", sigma=3)
    plain = run(onnx.load(ensemble(paths, tmp_path, "plain", "1.0.0", [store])), FACES)
    young = mix_of(np.where(np.arange(101) < 30, 9.0, 1.0))
    for path in paths:
        member = onnx.load(path)
        set_mix(member, np.full(101, 1 / 101), young)
        onnx.save(member, path)
    restated = run(onnx.load(ensemble(paths, tmp_path, "restated", "1.0.0", [store])), FACES)
    assert restated == pytest.approx(plain, abs=1e-6)


def test_members_that_see_faces_exposed_differently_are_refused(store: Path, tmp_path: Path) -> None:
    plain, other = (write_bell_model(tmp_path, name) for name in ("plain", "other"))
    model = onnx.load(other)
    manifest = manifest_of(model, "other")
    crop = manifest.crop.model_copy(update={"exposure": "stretched"})
    embed(model, manifest.model_copy(update={"crop": crop}))
    onnx.save(model, other)
    with pytest.raises(ExportRefused, match="cut or exposed differently"):
        ensemble([plain, other], tmp_path, "ensemble", "1.0.0", [store])


def test_a_gate_mixes_two_members_by_their_features() -> None:
    first, second = bell_model(3), bell_model(6, shift=10)
    # Each of a member's 32 features is the age that the brightness means.
    weights = np.zeros((2 * CHANNELS, 2))
    weights[:CHANNELS, 1] = 0.2 / CHANNELS
    gate = Gate(weights, np.array([10.0, 0.0]), 0.0, 0.1)
    share = gate.shares(np.linspace(5, 95, 19)[:, None].repeat(2 * CHANNELS, axis=1))[:, 1:]
    assert share[0] < 0.01 < 0.99 < share[-1]
    expected = (1 - share) * run(first, FACES) + share * run(second, FACES)
    assert run(mean_of([first, second], SIZE, gate=gate), FACES) == pytest.approx(expected, abs=5e-3)


def test_a_gated_ensemble_believes_the_member_that_is_right(store: Path, tmp_path: Path) -> None:
    members = [write_bell_model(tmp_path, "wrong", shift=25), write_bell_model(tmp_path, "right")]
    path = ensemble(members, tmp_path, "ensemble", "1.0.0", [store], gated=True)
    manifest = manifest_of(onnx.load(path), path.name)
    assert manifest.provenance.recipe == "gated mixture of wrong 1.0.0 + right 1.0.0"
    wrong, right = (onnx.load(member) for member in members)
    gate = gate_between([wrong, right], [store], manifest.crop)
    faces = FACES[5:15]  # of ages that the store holds many of
    ages = decoded(run(mean_of([wrong, right], SIZE, gate=gate), faces), "median")
    assert ages == pytest.approx(decoded(run(right, faces), "median"), abs=2)
    assert manifest.metrics["gate_crps"] == pytest.approx(gate.loss)


def test_a_gate_mixes_the_heads_of_a_member_that_mixes_two_itself(store: Path) -> None:
    two_heads, third = bell_model(3, shift=-20, other_shift=10), bell_model(5)
    weights = np.zeros((2 * CHANNELS, 3))
    for head, expected in enumerate((bell_model(3, shift=-20), bell_model(3, shift=10), third)):
        gate = Gate(weights, 20.0 * (np.arange(3) == head), 0.0, 0.1)
        mixed = mean_of([two_heads, third], SIZE, gate=gate)
        assert run(mixed, FACES) == pytest.approx(run(expected, FACES), abs=1e-5)
    made = {name for node in mixed.graph.node for name in node.output}
    read = {name for node in mixed.graph.node for name in node.input}
    assert made - read == {"age_pmf"}, "what mixed the heads inside the member is gone"
    fitted = gate_between([two_heads, third], [store], bell_manifest().crop)
    assert fitted.weights.shape == (2 * CHANNELS, 3)


def test_a_gated_ensemble_is_taken_apart_to_take_in_another_network(store: Path, tmp_path: Path) -> None:
    first, second, third = bell_model(3), bell_model(6, shift=10), bell_model(4, shift=-20)
    gate = Gate(np.zeros((2 * CHANNELS, 2)), np.array([0.0, 1.0]), 0.0, 0.1)
    pair = mean_of([first, second], SIZE, gate=gate)
    weights = np.zeros((3 * CHANNELS, 3))
    for head, expected in enumerate((first, second, third)):
        chosen = Gate(weights, 20.0 * (np.arange(3) == head), 0.0, 0.1)
        joined = mean_of([pair, third], SIZE, gate=chosen)
        assert run(joined, FACES) == pytest.approx(run(expected, FACES), abs=1e-5)
    assert sum(node.op_type == "Conv" for node in joined.graph.node) == 1, "all three have the same first layers"
    assert gate_between([pair, third], [store], bell_manifest().crop).weights.shape == (3 * CHANNELS, 3)
    paths = [write_bell_model(tmp_path, name, shift=shift) for name, shift in (("a", 5), ("b", -5), ("c", 0))]
    two = ensemble(paths[:2], tmp_path, "two", "1.0.0", [store], gated=True)
    three = ensemble([two, paths[2]], tmp_path, "three", "1.0.0", [store], gated=True)
    recipe = manifest_of(onnx.load(three), "three").provenance.recipe
    assert recipe == "gated mixture of a 1.0.0 + b 1.0.0 (of two 1.0.0) + c 1.0.0"
    mean = ensemble([two, paths[2]], tmp_path, "mean", "1.0.0", [store])
    assert manifest_of(onnx.load(mean), "mean").provenance.recipe == "mean of two 1.0.0 + c 1.0.0"


def test_one_network_of_a_gated_ensemble_is_replaced_by_another(store: Path, tmp_path: Path) -> None:
    kernels = {"a": 80 / 255 / 3, "b": 90 / 255 / 3, "c": 100 / 255 / 3}
    files = {name: write_bell_model(tmp_path, name, kernel=kernel) for name, kernel in kernels.items()}
    two = ensemble([files["a"], files["b"]], tmp_path, "two", "1.0.0", [store], gated=True)
    path = ensemble([files["c"], two], tmp_path, "new", "1.0.0", [store], gated=True, without=["two:0"])
    joined = onnx.load(path)
    found = [numpy_helper.to_array(each)[0, 0, 0, 0] for each in joined.graph.initializer if each.dims[1:] == [3, 1, 1]]
    assert sorted(found) == pytest.approx([kernels["b"], kernels["c"]])
    (weights,) = (each for each in joined.graph.initializer if each.name == "gate_weights")
    assert list(weights.dims) == [2 * CHANNELS, 2]
    # Each is still found by its number, to go on from.
    for part, name in enumerate("cb"):
        (kernel,) = (
            values for values in ExportedFile.open(f"{path}:{part}").arrays.values() if values.shape[1:] == (3, 1, 1)
        )
        assert kernel == pytest.approx(np.full((CHANNELS, 3, 1, 1), kernels[name]))


def test_what_is_resized_for_a_member_is_not_shrunk_by_its_network(tmp_path: Path) -> None:
    gate = Gate(np.zeros((2 * CHANNELS, 2)), np.zeros(2), 0.0, 0.1)
    joined = mean_of([bell_model(3), bell_model(3, size=SIZE // 2, kernel=0.1)], SIZE, gate=gate)
    embed(joined, bell_manifest().model_copy(update={"family": "ensemble"}))
    onnx.save(joined, tmp_path / "both.onnx")
    assert any(node.op_type == "Resize" for node in joined.graph.node)
    assert [ExportedFile.open(f"{tmp_path / 'both.onnx'}:{part}").shrunk_to for part in (0, 1)] == [None, None]


def test_a_file_is_no_member_twice(store: Path, tmp_path: Path) -> None:
    path = write_bell_model(tmp_path, "one")
    with pytest.raises(ExportRefused, match=r"one\.onnx is the same file as .*one\.onnx; name each member once"):
        ensemble([path, path], tmp_path, "ensemble", "1.0.0", [store])


def test_smoothing_is_not_lost_where_a_gate_takes_a_member_apart(store: Path, tmp_path: Path) -> None:
    paths = [write_bell_model(tmp_path, name, shift=shift) for name, shift in (("a", 5), ("b", -5), ("c", 0))]
    two = ensemble(paths[:2], tmp_path, "two", "1.0.0", [store], gated=True, smooth_years=2)
    with pytest.raises(ExportRefused, match="takes two apart and leaves out what smooths"):
        ensemble([two, paths[2]], tmp_path, "three", "1.0.0", [store], gated=True)
    three = ensemble([two, paths[2]], tmp_path, "three", "1.0.0", [store], gated=True, smooth_years=2)
    assert manifest_of(onnx.load(three), "three").name == "three"


def test_the_mean_of_several_is_no_member_of_a_gated_one(store: Path) -> None:
    pair = mean_of([bell_model(3), bell_model(6)], SIZE)
    with pytest.raises(ExportRefused, match="one network, and a member has none or several"):
        gate_between([pair, bell_model()], [store], bell_manifest().crop)


def test_a_gate_stands_between_networks_that_see_a_face_once(store: Path, tmp_path: Path) -> None:
    members = [write_bell_model(tmp_path, name) for name in ("a", "b")]
    model = onnx.load(members[0])
    embed(model, manifest_of(model, "a").model_copy(update={"flip": True}))
    onnx.save(model, members[0])
    with pytest.raises(ExportRefused, match="without --flip"):
        ensemble(members, tmp_path, "ensemble", "1.0.0", [store], gated=True)


def test_networks_with_equal_first_layers_are_one_up_to_there() -> None:
    first, second, other = bell_model(3), bell_model(6, shift=10), bell_model(4, kernel=90 / 255 / 3)
    joined = mean_of([first, second, other], SIZE)
    kernels = [tensor for tensor in joined.graph.initializer if list(tensor.dims) == [CHANNELS, 3, 1, 1]]
    convolutions = [node for node in joined.graph.node if node.op_type == "Conv"]
    assert (len(convolutions), len(kernels)) == (2, 2)
    assert sum(node.op_type == "Transpose" for node in joined.graph.node) == 1
    expected = np.mean([run(each, FACES) for each in (first, second, other)], axis=0)
    assert run(joined, FACES) == pytest.approx(expected, abs=1e-6)


def test_heads_of_files_of_one_name_cannot_be_told_apart(store: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = [write_bell_model(tmp_path, "one"), write_bell_model(tmp_path / "other", "one", shift=3)]
    with pytest.raises(ExportRefused, match="two have the same"):
        ensemble(paths, tmp_path, "ensemble", "1.0.0", [store], gated=True, without=["one:0"])


def test_only_what_computes_the_same_is_merged() -> None:
    faces = [helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, [2, 2, 2])]
    perms = {"one": [0, 2, 1], "same": [0, 2, 1], "other": [2, 1, 0], "output": [0, 2, 1]}
    nodes = [helper.make_node("Transpose", [INPUT_NAME], [name], perm=perm) for name, perm in perms.items()]
    nodes.append(helper.make_node("Concat", ["one", "same", "other"], ["all"], axis=0))
    outputs = [helper.make_tensor_value_info(name, TensorProto.UINT8, None) for name in ("all", "output")]
    model = helper.make_model(helper.make_graph(nodes, "turns", faces, outputs))
    merge_repeats(model)
    assert [(node.op_type, list(node.input), list(node.output)) for node in model.graph.node] == [
        ("Transpose", [INPUT_NAME], ["one"]),
        ("Transpose", [INPUT_NAME], ["other"]),
        ("Transpose", [INPUT_NAME], ["output"]),
        ("Concat", ["one", "one", "other"], ["all"]),
    ]


def two_heads_joined(axis: int = 1) -> onnx.ModelProto:
    """Return x [b, 4] → Softmax of the first 3 of two heads' 3 + 3 joined logits, as Keras's graphs have it."""
    rng = np.random.default_rng(0)
    constants = {name: rng.normal(size=(4, 3)).astype(np.float32) for name in ("first", "second")}
    ranges = {"starts": [0, 0], "ends": [2**31 - 1, 3], "axes": [0, 1]}
    weights = constants | {name: np.array(value, np.int64) for name, value in ranges.items()}
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["one"]),
        helper.make_node("MatMul", ["x", "second"], ["two"]),
        helper.make_node("Concat", ["one", "two"], ["logits"], axis=axis),
        helper.make_node("Slice", ["logits", "starts", "ends", "axes"], ["part"]),
        helper.make_node("Softmax", ["part"], ["pmf"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", n]) for name, n in (("x", 4), ("pmf", 3))]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    return helper.make_model(helper.make_graph(nodes, "heads", ends[:1], ends[1:], tensors))


@pytest.mark.parametrize(("axis", "kept"), [(1, {"first"}), (0, {"first", "second", "starts", "ends", "axes"})])
def test_a_head_that_is_not_asked_is_dropped(axis: int, kept: set[str]) -> None:
    model, before = two_heads_joined(axis), ReferenceEvaluator(two_heads_joined(axis))
    take_parts_directly(model)
    drop_unused(model)
    assert {tensor.name for tensor in model.graph.initializer} == kept
    x = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
    now, then = (np.asarray(each.run(None, {"x": x})) for each in (ReferenceEvaluator(model), before))
    np.testing.assert_array_equal(now, then)


def test_a_head_may_be_left_out_of_a_gated_ensemble(store: Path, tmp_path: Path) -> None:
    two_heads, third = bell_model(3, shift=-20, other_shift=10), bell_model(5)
    gate = Gate(np.zeros((2 * CHANNELS, 2)), np.array([20.0, 0.0]), 0.0, 0.1)
    mixed = mean_of([two_heads, third], SIZE, gate=gate, without=frozenset({(0, 0)}))
    assert run(mixed, FACES) == pytest.approx(run(bell_model(3, shift=10), FACES), abs=1e-5)
    softmaxes = [node for node in mixed.graph.node if node.op_type == "Softmax"]
    assert len(softmaxes) == 5, "the gate's, the head's, the other file's with its calibration's, the new calibration's"
    paths = [tmp_path / "two.onnx", write_bell_model(tmp_path, "one")]
    embed(two_heads, bell_manifest("two"))
    onnx.save(two_heads, paths[0])
    path = ensemble(paths, tmp_path, "ensemble", "1.0.0", [store], gated=True, without=["two:0"])
    joined = onnx.load(path)
    assert manifest_of(joined, path.name).provenance.recipe == "gated mixture of two 1.0.0 + one 1.0.0 without two:0"
    (weights,) = (tensor for tensor in joined.graph.initializer if tensor.name == "gate_weights")
    assert list(weights.dims) == [2 * CHANNELS, 2]
    for without, message in (
        (["two:2"], "--without two:2: there is no such head; there are two:0, two:1, one:0"),
        (["one"], "--without one: there is no such head"),
        (["one:0"], "--without leaves one no head; leave the file out"),
    ):
        with pytest.raises(ExportRefused, match=message):
            ensemble(paths, tmp_path, "other", "1.0.0", [store], gated=True, without=without)


def test_one_model_is_no_ensemble() -> None:
    with pytest.raises(ValueError, match="at least two"):
        mean_of([bell_model()], SIZE)
