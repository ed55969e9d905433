"""The calibration at the end of a graph against its formula, and put in the place of an older one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from service.inference.onnx_session import ort
from tests.training.export.bell_model import bell_model, grey_faces
from training.export.calibration_nodes import set_correction, set_mix, tail_nodes
from training.export.graph import ExportRefused, keep_contract, run
from training.export.quantize import to_float16
from training.measures.calibration import KNOTS, Correction

FACES = grey_faces(np.linspace(5, 95, 19))
MODELS = Path(__file__).parents[3] / "models"


def test_the_correction_in_the_graph_is_the_formula() -> None:
    model = bell_model()
    plain = run(model, FACES)
    ends = ((-1.0, 0.5), (-0.3, 0.3), (0.5, -0.5))
    correction = Correction(*(tuple(np.linspace(*pair, len(KNOTS))) for pair in ends))
    set_correction(model, correction)
    found, expected = run(model, FACES), correction.applied(plain)
    assert found == pytest.approx(expected, abs=1e-6)
    told = expected > 1e-12
    assert np.log(found[told]) == pytest.approx(np.log(expected[told]), abs=1e-3)


def test_the_correction_in_the_graph_is_the_formula_for_two_humps_and_for_certainty() -> None:
    given = np.zeros((5, 101), np.float32)
    given[0, [10, 60]], given[1, 0], given[2, 100], given[3], given[4, [0, 1]] = 0.5, 1, 1, 1 / 101, (0.9, 0.1)
    bare = bell_model()
    graph = bare.graph
    del graph.node[: -len(tail_nodes(bare))]
    graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("raw_pmf", onnx.TensorProto.FLOAT, ["batch", 101]))
    for curves in (((0.7,), (0.2,), (-0.3,)), ((-1.2,), (-0.2,), (0.3,))):
        correction = Correction(*(curve * len(KNOTS) for curve in curves))
        set_correction(bare, correction)
        session = ort.InferenceSession(bare.SerializeToString(), providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"raw_pmf": given})
        assert found == pytest.approx(correction.applied(given), abs=1e-6)


def test_a_new_correction_takes_the_place_of_the_old_one_and_of_the_mix_but_not_of_the_smoothing() -> None:
    model, plain = bell_model(), run(bell_model(), FACES)
    set_correction(model, Correction((0.5,) * len(KNOTS)))
    set_mix(model, np.ones(101), np.arange(1.0, 102))
    set_correction(model, Correction())
    assert run(model, FACES) == pytest.approx(plain, abs=1e-6)
    smooth = bell_model(smooth_years=3.0)
    wide = run(smooth, FACES)
    set_correction(smooth, Correction())
    assert run(smooth, FACES) == pytest.approx(wide, abs=1e-6)
    assert wide.max() < 0.9 * plain.max()


def test_a_correction_keeps_the_smoothing_of_a_float16_file() -> None:
    plain = bell_model(smooth_years=3.0)
    small = to_float16(bell_model(smooth_years=3.0))
    for model in (plain, small):
        set_correction(model, Correction((0.2,) * len(KNOTS)))
    assert run(small, FACES) == pytest.approx(run(plain, FACES), abs=1e-3)


def test_shapes_that_were_told_of_the_old_calibration_are_forgotten() -> None:
    model = bell_model()
    shape = onnx.helper.make_tensor_value_info("calibration_curves", onnx.TensorProto.FLOAT, ["batch", 2])
    model.graph.value_info.append(shape)
    set_correction(model, Correction())
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.onnx")), ids=lambda path: path.stem)
def test_every_shipped_model_takes_a_new_correction(path: Path) -> None:
    model = onnx.load(path)
    if not tail_nodes(model):
        assert path.stem == "face-proposals"
        return
    set_correction(model, Correction((-0.5,) * len(KNOTS)))
    onnx.checker.check_model(model, full_check=True)
    size = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    found = run(model, np.zeros((2, size, size, 3), np.uint8))
    assert found.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_a_graph_without_calibration_cannot_be_corrected() -> None:
    model = bell_model()
    del model.graph.node[-len(tail_nodes(model)) :]
    with pytest.raises(ExportRefused, match="does not end with its calibration"):
        set_correction(model, Correction())


def test_no_correction_leaves_the_distribution_as_it_was() -> None:
    model, bare = bell_model(), bell_model()
    del bare.graph.node[-len(tail_nodes(bare)) :]
    bare.graph.output[0].name = "raw_pmf"
    bare.graph.node[-1].output[0] = "raw_pmf"
    keep_contract(bare)
    assert run(model, FACES) == pytest.approx(run(bare, FACES), abs=1e-6)
