"""Edit ONNX graphs: names of tensors, calibration, manifest; check what a graph may not contain."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from scipy.ndimage import gaussian_filter1d

from service.errors import AgelensError
from service.inference.distribution import AGES
from service.inference.manifest import INPUT_NAME, METADATA_KEY, OUTPUT_NAME, Manifest
from service.inference.onnx_session import ort
from training.export.calibration import KNOTS, SMALLEST, Correction

OPSET: Final = 17
PREFIX: Final = "calibration_"

FIRST, RISE = "calibration_first", "calibration_rise"
"""What calibration sets: the curves at the first of J knots [1, 3], and their rises to the next [J - 1, 3]."""

SMOOTHING, SMOOTH = "calibration_smoothing", "calibration_smooth"
"""The matrix that smooths a distribution [101, 101], and the node that does."""

SHIFT: Final = "calibration_shift"
"""What is added to a distribution's logarithms to convert it to another mix of ages [1, 101]."""

RAW_OUTPUT: Final = "raw_pmf"
CHUNK: Final = 8

ONNX_END: Final = 2**31 - 1
"""What tf2onnx writes for the end of an axis, or more."""

UNDETERMINED: Final = ("Bernoulli", "Dropout", "Multinomial", "Random")
"""How operators begin whose answer is not determined by what they read."""


class ExportRefused(AgelensError):
    """A model file must not be published; the message says what was measured and what is required."""


def rename(model: ModelProto, old: str, new: str) -> None:
    """Give the tensor `old` the name `new` wherever it appears."""
    if old == new:
        return
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        if value.name == old:
            value.name = new


def with_layer_names(model: ModelProto) -> None:
    """Name nodes and tensors after the network's layers, without the names of Keras's unnamed functional models.

    A convolution that was fused out of several nodes is named after the layer of its kernel.
    """
    for node in model.graph.node:
        if node.op_type == "Conv" and "/" not in node.name and "/" in node.input[1]:
            node.name = f"{node.input[1].rpartition('/')[0]}/Conv"
    tensors = {name for node in model.graph.node for name in (*node.input, *node.output) if name}
    tensors |= {tensor.name for tensor in model.graph.initializer}
    names = _shortened(tensors)
    nodes = _shortened({node.name for node in model.graph.node})
    for node in model.graph.node:
        node.name = nodes[node.name]
        for side in (node.input, node.output):
            side[:] = [names.get(name, name) for name in side]
    for value in (*model.graph.initializer, *model.graph.value_info, *model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)


def _shortened(names: set[str]) -> dict[str, str]:
    """Drop the parts `functional_1` and `dldl_functional_1` of paths; a name that would occur twice keeps them."""
    found: dict[str, str] = {}
    for name in sorted(names):
        short = "/".join(part for part in name.split("/") if not re.fullmatch(r"([a-z_]+_)?functional(_\d+)*", part))
        found[name] = short if short and short not in found.values() and (short == name or short not in names) else name
    return found


def drop_unused(model: ModelProto) -> None:
    """Remove the nodes and weights that no output needs."""
    graph = model.graph
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):  # in topological order, so readers come before what they read
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    for field, values in ((graph.node, kept[::-1]), (graph.initializer, weights)):
        del field[:]
        field.extend(values)


def merge_repeats(model: ModelProto) -> None:
    """Have what several nodes compute alike be computed once: same operator, attributes, and equal inputs.

    Networks that share their first layers become one up to there. Weights are compared by value; a node that makes an
    output of the graph stays, and so does what draws by chance. A graph with graphs inside is left as it is.
    """
    graph = model.graph
    weights = {tensor.name: _value_of(tensor) for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    if any(attribute.type == AttributeProto.GRAPH for node in graph.node for attribute in node.attribute):
        return
    first: dict[tuple[object, ...], NodeProto] = {}
    alike: dict[str, str] = {}
    for node in graph.node:  # in topological order, so what a node reads has been merged before it
        node.input[:] = [alike.get(name, name) for name in node.input]
        if node.op_type.startswith(UNDETERMINED) or "" in node.output:
            continue
        attributes = sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)
        read = tuple(weights.get(name, name) for name in node.input)
        kept = first.setdefault((node.op_type, node.domain, len(node.output), read, *attributes), node)
        if outputs.isdisjoint(node.output):
            alike.update(zip(node.output, kept.output, strict=True))
    drop_unused(model)


def take_parts_directly(model: ModelProto) -> None:
    """Read a part of joined columns from where it comes, so that what only the other parts need can be dropped.

    Keras joins the logits of a network's heads, [b, n] each, and each head takes its own from them again.
    """
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(model).graph
    widths = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in inferred.value_info
        if len(value.type.tensor_type.shape.dim) == 2
    }
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.dims}
    joined = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "Concat" and widths.get(node.output[0]) and node.attribute[0].i in (1, -1)
    }
    direct: dict[str, str] = {}
    for node in graph.node:
        node.input[:] = [direct.get(name, name) for name in node.input]
        if node.op_type != "Slice" or node.input[0] not in joined or len(node.input) != 4:
            continue
        starts, ends, axes = (constants.get(name, np.zeros(0, np.int64)).tolist() for name in node.input[1:])
        if axes != [0, 1] or starts[0] != 0 or ends[0] < ONNX_END:
            continue
        start = 0
        for part in joined[node.input[0]].input:
            width = widths.get(part, 0)
            if width and (start, start + width) == (starts[1], min(ends[1], widths[node.input[0]])):
                direct[node.output[0]] = part
            start += width


def _value_of(tensor: TensorProto) -> tuple[object, ...]:
    return tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes()


def keep_contract(model: ModelProto) -> None:
    """Rename the one input and output to the service's names, with a dynamic batch; raise ExportRefused for more."""
    if len(model.graph.input) != 1 or len(model.graph.output) != 1:
        names = [", ".join(value.name for value in values) for values in (model.graph.input, model.graph.output)]
        raise ExportRefused(
            f"a model file has exactly one input and one output, not ({names[0]}) and ({names[1]}); export the "
            "servable graph, with constants as NumPy arrays (a tensor made outside it becomes an input)"
        )
    rename(model, model.graph.input[0].name, INPUT_NAME)
    rename(model, model.graph.output[0].name, OUTPUT_NAME)
    _check_type(model.graph.input[0], TensorProto.UINT8, "uint8 [batch, height, width, 3]", 4)
    _check_type(model.graph.output[0], TensorProto.FLOAT, f"float32 [batch, {AGES}]", 2)
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = AGES


def _check_type(value: onnx.ValueInfoProto, element: int, wanted: str, rank: int) -> None:
    tensor = value.type.tensor_type
    if tensor.elem_type != element or len(tensor.shape.dim) != rank:
        raise ExportRefused(f"`{value.name}` must be {wanted}")


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
    smooths = any(node.name == SMOOTH for node in model.graph.node)
    given = SMOOTH.removeprefix(PREFIX) if smooths else RAW_OUTPUT
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
        # log(σ(z) - σ(z′)) = log σ(z) + log σ(-z′) + log(1 - exp(z′ - z)), which keeps small probabilities exact.
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
    own = {name for outputs, *_ in steps for name in outputs.split(", ")} | set(constants) | {"smooth"}
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

    Whatever correction and mix it had are removed, those of earlier releases as well; a smoothing stays. Raises
    ExportRefused where it has none.
    """
    graph = model.graph
    if not tail_nodes(model):
        raise ExportRefused("the graph does not end with its calibration; export it again")
    nodes = [node for node in graph.node if node.name == SMOOTH or not node.name.startswith(PREFIX)]
    weights = [each for each in graph.initializer if each.name == SMOOTHING or not each.name.startswith(PREFIX)]
    for field, values in ((graph.node, nodes), (graph.initializer, weights)):
        del field[:]
        field.extend(values)
    _append_correction(model, correction)


def set_mix(model: ModelProto, own: NDArray[np.float64], other: NDArray[np.float64]) -> None:
    """Have the graph convert its corrected distributions from the mix of ages `own` [101] to `other` (Bayes' rule).

    The step comes in front of the last softmax, where there is something to convert or was before. Raises ExportRefused
    where the graph needs it and has no correction.
    """
    shift = numpy_helper.from_array(np.log(other / own).astype(np.float32)[None], SHIFT)
    if any(tensor.name == SHIFT for tensor in model.graph.initializer):
        _initializer(model, SHIFT).CopyFrom(shift)
        return
    if np.array_equal(own, other):
        return
    *_, softmax = model.graph.node
    if softmax.name != PREFIX + OUTPUT_NAME:
        raise ExportRefused("the graph does not end with its calibration; export it again")
    model.graph.initializer.append(shift)
    restated = PREFIX + "restated"
    model.graph.node.insert(-1, helper.make_node("Add", [softmax.input[0], SHIFT], [restated], name=restated))
    softmax.input[0] = restated


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


def embed(model: ModelProto, manifest: Manifest) -> None:
    """Write the manifest into the file's metadata, in place of any before."""
    helper.set_model_props(model, {METADATA_KEY: manifest.model_dump_json()})


def refuse_stray_transposes(model: ModelProto, allowed: int) -> None:
    """Raise ExportRefused where more than `allowed` transposes (one per network, at the input) remain."""
    found = [node.name for node in model.graph.node if node.op_type == "Transpose"]
    if len(found) > allowed:
        raise ExportRefused(
            f"{len(found)} transposes remain where {allowed} are needed to turn the picture to channels first: "
            f"{', '.join(found[:5])}; build the network from layers that tf2onnx moves as a whole"
        )


def folded(model: ModelProto) -> ModelProto:
    """Fold constants and batch norms into the same function, by ONNX Runtime's portable optimisations.

    Fold before `append_calibration`: what changes nothing yet would be folded away too.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        result = onnx.load(path)
    standard = [entry for entry in result.opset_import if entry.domain == ""]
    del result.opset_import[:]
    result.opset_import.extend(standard)
    onnx.checker.check_model(result)
    return result


def run(model: ModelProto, faces: NDArray[np.uint8], threads: int = 2) -> NDArray[np.float32]:
    """Run a graph on faces uint8 [n, size, size, 3]; its distributions float32 [n, 101]."""
    (pmf,) = outputs_of(model, faces, threads)
    return pmf


def outputs_of(model: ModelProto, faces: NDArray[np.uint8], threads: int = 2) -> list[NDArray[np.float32]]:
    """Run a graph on faces uint8 [n, size, size, 3] in chunks of 8; each of its outputs, float32 [n, …]."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    chunks = [faces[start : start + CHUNK] for start in range(0, len(faces), CHUNK)]
    answers = [session.run(None, {INPUT_NAME: chunk}) for chunk in chunks]
    return [np.concatenate(parts) for parts in zip(*answers, strict=True)]
