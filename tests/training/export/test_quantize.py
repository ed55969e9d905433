"""Smaller files of a real network with a convolution, on grey faces whose age their brightness tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from service.inference.estimator import Estimator
from service.inference.lockfile import ModelLock, sha256_of
from tests.training.export.bell_model import bell_model, grey_faces, write_bell_model, write_grey_store
from training.export.calibration_nodes import tail_nodes
from training.export.graph import ExportRefused, run
from training.export.quantize import first_nodes, quantize, refuse_costly, scaled_as_planes, to_float16, to_int8
from training.export.release import recalibrate
from training.measures.calibration import decoded
from training.onnx_manifest import manifest_of

FACES = grey_faces(np.linspace(5, 95, 32))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grey_store(tmp_path_factory.mktemp("stores") / "grey", noise=4)


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_int8_stays_within_half_a_year_of_float() -> None:
    model = bell_model()
    ages = decoded(run(model, FACES), "median")
    assert ages.std() > 20
    assert decoded(run(to_int8(model, FACES), FACES), "median") == pytest.approx(ages, abs=0.5)


def test_int8_weights_keep_seven_bits_so_that_no_processor_saturates() -> None:
    weights = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in to_int8(bell_model(), FACES).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4
    ]
    assert [np.abs(each.astype(int)).max() <= 64 for each in weights] == [True]


def test_what_rounding_takes_from_the_weights_is_given_back_on_average() -> None:
    model = bell_model()
    kernel = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    uneven = np.array([1, 0.3 / 64, 0.3 / 64], np.float32).reshape(1, 3, 1, 1)  # seven bits round the small ones to 0
    values = onnx.numpy_helper.to_array(kernel) * uneven * 3 / uneven.sum()
    kernel.CopyFrom(onnx.numpy_helper.from_array(values, kernel.name))
    ages, small_ages = (decoded(run(each, FACES), "mean") for each in (model, to_int8(model, FACES)))
    assert small_ages.mean() == pytest.approx(ages.mean(), abs=0.1)


def test_the_first_of_many_convolutions_stay_in_float() -> None:
    names = [f"conv{number}" for number in range(27)]
    nodes = [onnx.helper.make_node("Conv", ["x", "w"], ["y"], name=name) for name in names]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "many", [], []))
    assert first_nodes(model) == ["conv0", "conv1"]
    assert not {node.name for node in bell_model().graph.node if node.op_type == "Conv"} & set(
        first_nodes(bell_model())
    )


def with_scaled_pixels() -> onnx.ModelProto:
    """Build the network with colours' means taken off before it, as an export's are, and added to its ages again."""
    model = bell_model(shift=100 * 10 / 255)
    cast, transpose = model.graph.node[:2]
    mean = onnx.numpy_helper.from_array(np.array([-20, -10, 0], np.float32), "mean")
    model.graph.initializer.append(mean)
    model.graph.node.insert(1, onnx.helper.make_node("Add", [cast.output[0], "mean"], ["scaled"], name="scale_pixels"))
    transpose.input[0] = "scaled"
    onnx.checker.check_model(model)
    return model


def test_pixels_are_scaled_in_float() -> None:
    small = to_int8(with_scaled_pixels(), FACES)
    (scale,) = (node for node in small.graph.node if node.name == "scale_pixels")
    assert not any("quantize" in name.lower() for name in (*scale.input, *scale.output))


def test_pixels_are_scaled_as_planes_to_the_same_answer() -> None:
    model = with_scaled_pixels()
    turned = scaled_as_planes(model)
    assert operators(model)[:3] == ["Cast", "Add", "Transpose"]
    assert operators(turned)[:3] == ["Cast", "Transpose", "Add"]
    read = {name for node in turned.graph.node for name in node.input}
    assert {tensor.name for tensor in turned.graph.initializer} <= read  # ONNX Runtime warns of others
    coloured = np.random.default_rng(0).integers(0, 256, FACES.shape, dtype=np.uint8)
    np.testing.assert_array_equal(run(turned, coloured), run(model, coloured))
    assert scaled_as_planes(bell_model()) == bell_model()


def test_pixels_that_are_scaled_in_another_way_are_left_alone() -> None:
    """Their planes are turned otherwise, or what is scaled is an output as well."""
    turned, given_out = with_scaled_pixels(), with_scaled_pixels()
    turned.graph.node[2].ClearField("attribute")
    scaled = onnx.helper.make_tensor_value_info("scaled", onnx.TensorProto.FLOAT, ["batch", None, None, 3])
    given_out.graph.output.append(scaled)
    for model in (turned, given_out):
        assert operators(scaled_as_planes(model))[:3] == ["Cast", "Add", "Transpose"]


def test_pixels_of_two_networks_with_the_same_means_are_scaled() -> None:
    model = with_scaled_pixels()
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    for node in nodes:
        node.name += "_second"
        node.output[:] = [f"{name}_second" for name in node.output]
        made = {each for other in model.graph.node for each in other.output}
        node.input[:] = [f"{name}_second" if name in made else name for name in node.input]
    model.graph.node.extend(nodes)
    assert operators(scaled_as_planes(model)).count("Add") == operators(model).count("Add")
    firsts = [node.op_type for node in scaled_as_planes(model).graph.node if "scale" in node.name]
    assert firsts == ["Add", "Add"]


def test_means_of_neighbours_are_taken_in_float() -> None:
    model = bell_model()
    (conv,) = (node for node in model.graph.node if node.op_type == "Conv")
    maps = conv.output[0]
    conv.output[0] = "unpooled"
    pool = onnx.helper.make_node("AveragePool", ["unpooled"], [maps], name="pool_2x2", kernel_shape=[2, 2])
    model.graph.node.insert(list(model.graph.node).index(conv) + 1, pool)
    readers = [node.op_type for node in to_int8(model, FACES).graph.node if maps in node.input]
    assert readers == ["GlobalAveragePool"]


def test_int8_leaves_head_and_calibration_in_float() -> None:
    small = to_int8(bell_model(), FACES)
    nodes = {node.name: list(node.input) for node in small.graph.node}
    kept = ("head", "offset", "softmax", *tail_nodes(small))
    assert all(not any("quantize" in name.lower() for name in nodes[each]) for each in kept)
    assert "QuantizeLinear" in operators(to_int8(bell_model(), FACES))


def test_float16_is_smaller_and_answers_the_same() -> None:
    model = bell_model()
    small = to_float16(model)
    assert len(small.SerializeToString()) < len(model.SerializeToString())
    assert run(small, FACES) == pytest.approx(run(model, FACES), abs=2e-3)


def test_a_weight_beyond_float16_is_refused() -> None:
    model = bell_model()
    kernel = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    kernel.CopyFrom(onnx.numpy_helper.from_array(np.full(kernel.dims, 1e6, np.float32), kernel.name))
    with pytest.raises(ExportRefused, match="too large for float16"):
        to_float16(model)


def test_a_loss_above_a_twentieth_of_a_year_is_refused_with_its_figures() -> None:
    refuse_costly(4.0, 4.05, "int8")
    with pytest.raises(ExportRefused, match=r"int8 costs 0\.060 years on val \(4\.000 → 4\.060\)"):
        refuse_costly(4.0, 4.06, "int8")


@pytest.mark.parametrize("precision", ["int8", "float16"])
def test_a_smaller_file_has_its_own_name_calibration_and_lock_entry(
    precision: str, store: Path, tmp_path: Path
) -> None:
    source = write_bell_model(tmp_path, sigma=2)
    path = quantize(source, precision, [store])  # type: ignore[arg-type]  # a parameter of pytest is a plain str
    estimator = Estimator(path, sha256_of(path))
    assert (path.name, estimator.manifest.precision) == (f"bell-{precision}.onnx", precision)
    assert estimator.manifest.metrics["calib_loss"] < 0.95 * estimator.manifest.metrics["calib_loss_before"]
    assert estimator.manifest.intervals
    assert {entry.file for entry in ModelLock.read(tmp_path).files} == {source.name, path.name}


def test_only_a_float32_file_is_quantised(store: Path, tmp_path: Path) -> None:
    path = quantize(write_bell_model(tmp_path), "float16", [store])
    with pytest.raises(ExportRefused, match="float16 already"):
        quantize(path, "int8", [store])


def test_a_smaller_file_is_calibrated_to_the_same_balance_of_ages(store: Path, tmp_path: Path) -> None:
    source = recalibrate(write_bell_model(tmp_path), [store], balance=1.0)
    small = manifest_of(onnx.load(quantize(source, "float16", [store])), "small")
    assert small.metrics["balance"] == 1.0
    assert small.age_mix == manifest_of(onnx.load(source), "bell").age_mix
    assert min(small.age_mix[18:27]) == pytest.approx(small.age_mix[27], rel=1e-4)


def test_the_manifest_says_what_float32_scored(store: Path, tmp_path: Path) -> None:
    path = quantize(write_bell_model(tmp_path), "int8", [store])
    metrics = manifest_of(onnx.load(path), path.name).metrics
    assert metrics["val_mae"] == pytest.approx(metrics["float32_val_mae"], abs=0.05)
