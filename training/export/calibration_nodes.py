"""The last nodes of a model file: smooth its distribution, correct it, restate it for another mix of ages."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from scipy.ndimage import gaussian_filter1d

from service.inference.distribution import AGES
from service.inference.manifest import OUTPUT_NAME
from training.export.graph import ExportRefused, rename
from training.measures.calibration import KNOTS, SMALLEST, Correction

PREFIX: Final = "calibration_"

FIRST, RISE = "calibration_first", "calibration_rise"
"""What calibration sets: the curves at the first of J knots [1, 3], and their rises to the next [J - 1, 3]."""

SMOOTHING, SMOOTH = "calibration_smoothing", "calibration_smooth"
"""The matrix that smooths a distribution [101, 101], and the node that does."""

SHIFT: Final = "calibration_shift"
"""What is added to a distribution's logarithms to convert it to another mix of ages [1, 101]."""

RAW_OUTPUT: Final = "raw_pmf"

WIDER: Final = 1.8
"""Chosen on `val`: with 1 a third of the distributions had several humps (docs/adr/0023)."""


def smoothing(years: float) -> NDArray[np.float32]:
    """Return the matrix [101, 101] that smooths a distribution by a Gaussian; rows sum to 1.

    It is `years` wide up to the age of 5 and grows to `WIDER` times that at 20. Labels are rounded, so a softmax has
    spikes at the ages that people round to, those of grown-ups to five and ten years.
    """
    widths = years * np.interp(np.arange(AGES), (5, 20), (1.0, WIDER))
    rows = [gaussian_filter1d(row, width, mode="reflect") for row, width in zip(np.eye(AGES), widths, strict=True)]
    return np.stack(rows).astype(np.float32)


def append_calibration(model: ModelProto, smooth_years: float = 0.0) -> None:
    """Append a `Correction` of the distribution to the graph, initially the identity, behind a smoothing if asked for.

    It applies to any distribution over ages, so it also serves the ensemble, which has no logits.
    """
    rename(model, OUTPUT_NAME, RAW_OUTPUT)
    model.graph.output[0].name = OUTPUT_NAME
    if smooth_years:
        model.graph.initializer.append(numpy_helper.from_array(smoothing(smooth_years), SMOOTHING))
        model.graph.node.append(helper.make_node("MatMul", [RAW_OUTPUT, SMOOTHING], [SMOOTH], name=SMOOTH))
    _append_correction(model, Correction())


def _append_correction(model: ModelProto, correction: Correction) -> None:
    """Append `Correction.applied` to what ends with a distribution, `RAW_OUTPUT` or that smoothed."""
    knots = np.array(KNOTS, np.float32)
    constants = {
        "smallest": np.float32(SMALLEST),
        "none": np.float32(0),
        "whole": np.float32(1),
        "ages": np.arange(AGES, dtype=np.float32).reshape(AGES, 1),
        "knots": knots[None, :-1],
        "widths": np.diff(knots)[None, :],
        "axis": np.int64(1),
        "quarters": np.full(4, AGES, np.int64),
        "columns": np.array([1, 1, 1], np.int64),
    }
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), PREFIX + name))
    model.graph.initializer.extend(_tensors(correction))
    given = SMOOTH if any(node.name == SMOOTH for node in model.graph.node) else RAW_OUTPUT
    steps: tuple[tuple[str, str, tuple[str, ...], dict[str, Any]], ...] = (
        ("mean", "MatMul", (given, "ages"), {}),
        # How far the mean age is along each stretch between two knots, 0..1: a curve is a sum of such ramps.
        ("beyond", "Sub", ("mean", "knots"), {}),
        ("share", "Div", ("beyond", "widths"), {}),
        ("positive", "Max", ("share", "none"), {}),
        ("ramps", "Min", ("positive", "whole"), {}),
        ("rises", "MatMul", ("ramps", RISE), {}),
        ("curves", "Add", ("rises", FIRST), {}),
        ("log_sharpness, skew, shift_to_younger", "Split", ("curves", "columns"), {"axis": 1}),
        ("log_younger", "Add", ("log_sharpness", "skew"), {}),
        ("log_older", "Sub", ("log_sharpness", "skew"), {}),
        ("by_younger", "Exp", ("log_younger",), {}),
        ("by_older", "Exp", ("log_older",), {}),
        # P(age ≤ k), P(age > k), and both for k - 1, where age k begins.
        ("up_to", "CumSum", (given, "axis"), {}),
        ("above", "CumSum", (given, "axis"), {"exclusive": 1, "reverse": 1}),
        ("up_to_before", "CumSum", (given, "axis"), {"exclusive": 1}),
        ("above_before", "CumSum", (given, "axis"), {"reverse": 1}),
        ("sums", "Concat", ("up_to", "above", "up_to_before", "above_before"), {"axis": 1}),
        ("floored", "Max", ("sums", "smallest"), {}),
        ("logs", "Log", ("floored",), {}),
        ("younger, older, younger_before, older_before", "Split", ("logs", "quarters"), {"axis": 1}),
        *_map_of(""),
        *_map_of("_before"),
        # log(σ(z) - σ(z′)) = log σ(z) + log σ(-z′) + log(1 - exp(z′ - z)), which keeps the digits of thin tails.
        ("opposite", "Neg", ("logit",), {}),
        ("not_older", "Softplus", ("opposite",), {}),
        ("not_younger", "Softplus", ("logit_before",), {}),
        ("step", "Sub", ("logit_before", "logit"), {}),
        ("kept", "Exp", ("step",), {}),
        ("gained", "Sub", ("whole", "kept"), {}),
        ("gained_floored", "Max", ("gained", "smallest"), {}),
        ("gained_log", "Log", ("gained_floored",), {}),
        ("without_older", "Sub", ("gained_log", "not_older"), {}),
        ("corrected", "Sub", ("without_older", "not_younger"), {}),
        (OUTPUT_NAME, "Softmax", ("corrected",), {"axis": -1}),
    )
    own = {name for outputs, *_ in steps for name in outputs.split(", ")} | set(constants)
    for outputs, operator, inputs, attributes in steps:
        before, after = (
            [name if name == OUTPUT_NAME or name not in own else PREFIX + name for name in side]
            for side in (inputs, outputs.split(", "))
        )
        first, *others = outputs.split(", ")
        name = "_and_".join([PREFIX + first, *others])
        model.graph.node.append(helper.make_node(operator, before, after, name=name, **attributes))


def _map_of(which: str) -> tuple[tuple[str, str, tuple[str, ...], dict[str, Any]], ...]:
    """Return the steps from the logs of both sides to the corrected logit of P(age ≤ k), or of k - 1 (`_before`)."""
    return (
        (f"from_younger{which}", "Mul", (f"younger{which}", "by_younger"), {}),
        (f"from_older{which}", "Mul", (f"older{which}", "by_older"), {}),
        (f"unshifted{which}", "Sub", (f"from_younger{which}", f"from_older{which}"), {}),
        (f"logit{which}", "Add", (f"unshifted{which}", "shift_to_younger"), {}),
    )


def set_correction(model: ModelProto, correction: Correction) -> None:
    """Correct the graph's distribution so from now on, in the photographs' own mix of ages.

    Whatever correction and mix it had are removed; a smoothing stays. Raises ExportRefused where it has none.
    """
    graph = model.graph
    if not tail_nodes(model):
        raise ExportRefused("the graph does not end with its calibration; export it again")
    for field in (graph.node, graph.initializer, graph.value_info):
        # Of a float16 file the smoothing is three nodes and weights, all named after the one.
        kept = [each for each in field if each.name.startswith(SMOOTH) or not each.name.startswith(PREFIX)]
        del field[:]
        field.extend(kept)
    _append_correction(model, correction)


def set_mix(model: ModelProto, own: NDArray[np.float64], other: NDArray[np.float64]) -> None:
    """Have the graph convert its corrected distributions from the mix of ages `own` [101] to `other` (Bayes' rule).

    The step comes in front of the last softmax, where there is something to convert or was before. Raises ExportRefused
    where the graph needs it and has no correction.
    """
    added = numpy_helper.from_array(np.log(other / own).astype(np.float32)[None], SHIFT)
    if any(tensor.name == SHIFT for tensor in model.graph.initializer):
        _initializer(model, SHIFT).CopyFrom(added)
        return
    if np.array_equal(own, other):
        return
    *_, softmax = model.graph.node
    if softmax.name != PREFIX + OUTPUT_NAME:
        raise ExportRefused("the graph does not end with its calibration; export it again")
    model.graph.initializer.append(added)
    restated = PREFIX + "restated"
    model.graph.node.insert(-1, helper.make_node("Add", [softmax.input[0], SHIFT], [restated], name=restated))
    softmax.input[0] = restated


def mix_behind(model: ModelProto, stated: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mix of ages [101], but for a factor, that the graph converts to the mix `stated` [101]."""
    shifts = (numpy_helper.to_array(tensor)[0] for tensor in model.graph.initializer if tensor.name == SHIFT)
    return stated / np.exp(next(shifts, np.zeros(AGES)))


def _tensors(correction: Correction) -> list[TensorProto]:
    curves = np.array([correction.log_sharpness, correction.skew, correction.shift], np.float32).T
    values = {FIRST: curves[:1], RISE: np.diff(curves, axis=0)}
    return [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in values.items()]


def _initializer(model: ModelProto, name: str) -> TensorProto:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return tensor
    raise ExportRefused(f"the graph has no initializer `{name}`; export it again")


def tail_nodes(model: ModelProto) -> list[str]:
    """Return the names of the nodes that `append_calibration` added; quantisation leaves them alone."""
    return [node.name for node in model.graph.node if node.name.startswith(PREFIX)]
