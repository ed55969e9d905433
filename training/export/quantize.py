"""Quantise models: int8 (static QDQ, calibrated on training faces) and float16 storage."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from service.inference.manifest import INPUT_NAME
from service.inference.onnx_session import ort
from training.export.calibration_nodes import SHIFT, set_correction, tail_nodes
from training.export.graph import ExportRefused
from training.export.release import Split, calibrated_error, finish, publish
from training.measures.calibration import Correction
from training.onnx_manifest import manifest_of, model_in

Faces = NDArray[np.uint8]
Precision = Literal["int8", "float16"]
CALIBRATION_FACES: Final = 512

LARGEST_LOSS: Final = 0.05
"""Years of `val` MAE that a smaller file may cost."""

FIRST_IN_FLOAT: Final = 1 / 12
"""Share of the convolutions, those nearest to the pixels, that stay float32. In MobileNet these two are a fortieth of
the products, and eight bits in them cost 0.12 of the 0.14 years of `val` MAE that eight bits everywhere cost."""

QUANTISED: Final = ("Conv", "Add", "MaxPool", "Concat", "Relu", "Clip")
"""Operators worth eight bits, up to the pooling of features.

AveragePool and Pad are not: four of each in the shortcuts of `separable_resnet` took a third of its time in eight bits,
and moved ages by 1.8 years on average instead of 0.5.
"""


class FaceReader:
    """Feeds faces uint8 [n, size, size, 3] to the calibration, a few at a time."""

    def __init__(self, faces: Faces, batch: int = 16) -> None:
        """Take the faces of the training split."""
        self._batches: Iterator[Faces] = iter(faces[start : start + batch] for start in range(0, len(faces), batch))

    def get_next(self) -> dict[str, Faces] | None:
        """Return the next batch, or None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT_NAME: batch}


def to_int8(model: onnx.ModelProto, faces: Faces) -> onnx.ModelProto:
    """Quantise weights (per channel) and activations to eight bits, calibrated on faces uint8 [n, size, size, 3].

    It is done twice: the second time with biases that make up for what the first did to the weights.
    Pixels are scaled as planes of colours, see `scaled_as_planes`.
    Weights keep seven bits: without VNNI a sum of two products saturates at sixteen bits, and nobody knows on which
    processor a file will run.
    """
    model = scaled_as_planes(model)
    return _quantised(with_corrected_biases(model, _quantised(model, faces), faces), faces)


def scaled_as_planes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same graph where colours' means are added after the picture [b, h, w, 3] was turned to planes.

    ONNX Runtime adds one number to a whole plane twenty times as fast as three numbers to each pixel in turn, which
    took a tenth of the time of a network in eight bits.
    """
    turned = onnx.ModelProto()
    turned.CopyFrom(model)
    graph = turned.graph
    constants, order = {tensor.name: tensor for tensor in graph.initializer}, list(graph.node)
    outside = {value.name for value in (*graph.input, *graph.output)}
    for add in [node for node in order if node.op_type == "Add"]:
        means = constants.get(add.input[1])
        readers = [node for node in order if add.output[0] in node.input]
        if means is None or list(means.dims) != [3] or [node.op_type for node in readers] != ["Transpose"]:
            continue
        (transpose,) = readers
        turns = [list(attribute.ints) for attribute in transpose.attribute if attribute.name == "perm"]
        if turns != [[0, 3, 1, 2]] or not outside.isdisjoint((means.name, add.output[0])):
            continue
        sums, given = transpose.output[0], add.input[0]
        planes = numpy_helper.to_array(means).reshape(1, 3, 1, 1)
        graph.initializer.append(numpy_helper.from_array(planes, f"{sums}_means"))
        transpose.input[0], transpose.output[0] = given, f"{sums}_unscaled"
        add.input[:], add.output[0] = [f"{sums}_unscaled", f"{sums}_means"], sums
        here, there = (next(n for n, node in enumerate(order) if node is each) for each in (add, transpose))
        order[here], order[there] = transpose, add
        if not any(means.name in node.input for node in order):
            graph.initializer.remove(means)
    graph.ClearField("node")
    graph.node.extend(order)
    onnx.checker.check_model(turned)
    return turned


def _quantised(model: onnx.ModelProto, faces: Faces) -> onnx.ModelProto:
    # It imports ONNX Runtime itself, so it comes after `onnx_session`, which takes the telemetry out.
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    ort.set_default_logger_severity(3)  # it warns of each weight that it takes out of the graph
    options = {"WeightSymmetric": True, "ActivationSymmetric": False, "CalibMovingAverage": False}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            FaceReader(faces),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[*first_nodes(model), *head_nodes(model)],
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=options,
        )
        return onnx.load(target)


def first_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of what comes before the first convolution, and of the convolutions that see the picture first.

    Before it colours' means are taken off pixels: in eight bits that rounds them, and ONNX Runtime adds so slowly in
    eight bits that it was a quarter of the whole time.
    """
    operators = [node.op_type for node in model.graph.node]
    before = operators.index("Conv") if "Conv" in operators else 0
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    scaling = [node.name for node in model.graph.node[:before]]
    return [*scaling, *convolutions[: int(FIRST_IN_FLOAT * len(convolutions))]]


def head_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of all nodes from the pooling of features on: they cost nothing in float and decide the age.

    A head ends by adding its biases: in eight bits a logit would move in steps of a tenth.
    """
    names, head = set(tail_nodes(model)), set[str]()
    for node in model.graph.node:
        if node.op_type == "GlobalAveragePool" or not head.isdisjoint(node.input):
            names.add(node.name)
            head.update(node.output)
    return sorted(names)


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store large weights as float16 and widen them when the graph is loaded: half the file, float32 arithmetic.

    A processor has no fast float16, so computing in it would only lose accuracy and time.
    """
    small = onnx.ModelProto()
    small.CopyFrom(model)
    casts = []
    for tensor in small.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 64 or tensor.name == SHIFT:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise ExportRefused(f"a weight of {tensor.name} is too large for float16; keep the float32 file")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], name=f"{name}_widen", to=TensorProto.FLOAT))
    nodes = [*casts, *small.graph.node]
    del small.graph.node[:]
    small.graph.node.extend(nodes)
    onnx.checker.check_model(small)
    return small


def refuse_costly(before: float, after: float, precision: str) -> None:
    """Raise ExportRefused where the smaller file's `val` MAE in years exceeds the other's by more than 0.05."""
    if after - before > LARGEST_LOSS:
        raise ExportRefused(
            f"{precision} costs {after - before:.3f} years on val ({before:.3f} → {after:.3f}); at most {LARGEST_LOSS} "
            "is allowed: ship the float32 file, or calibrate on more faces"
        )


def quantize(
    path: Path,
    precision: Precision,
    stores: Sequence[Path],
    out_dir: Path | None = None,
    *,
    name: str | None = None,
    default: bool | None = None,
) -> Path:
    """Write `NAME-int8.onnx` (or `-float16`) beside a float32 file, with its own calibration; return its path.

    It is calibrated anew however few `calib` faces there are, since what was fitted to the float32 file is not of its
    answers. Raises ExportRefused where it costs more than 0.05 years on `val`.
    """
    model = model_in(path)
    manifest = manifest_of(model, path.name)
    if manifest.precision != "float32":
        raise ExportRefused(f"{path.name} is {manifest.precision} already; start from the float32 file")
    before = calibrated_error(model, manifest, stores)
    set_correction(model, Correction())
    if precision == "int8":
        faces = Split.load(stores, "train", manifest.crop, limit=CALIBRATION_FACES).faces
        small = to_int8(model, faces)
    else:
        small = to_float16(model)
    cost = {"float32_val_mae": round(before, 4)}
    cost |= {name: value for name, value in manifest.metrics.items() if name == "balance"}
    facts: dict[str, Any] = {"name": name or f"{manifest.name}-{precision}", "precision": precision, "metrics": cost}
    # Calibration moves medians, so both are calibrated to the same faces.
    finished = finish(small, manifest.model_copy(update=facts), stores)
    refuse_costly(before, finished.metrics["val_mae"], precision)
    return publish(small, out_dir or path.parent, default)


BATCH = 16
Tensors = dict[str, NDArray[Any]]


def with_corrected_biases(
    model: onnx.ModelProto, quantised: onnx.ModelProto, faces: NDArray[np.uint8]
) -> onnx.ModelProto:
    """Return the float graph with (W − W_q)·E[x] added to each convolution's bias; quantise it anew.

    W_q are the weights in `quantised`, the same graph in eight bits; E[x] are the float graph's mean inputs over
    faces uint8 [n, size, size, 3].
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    floats, rounded = _arrays(model), _arrays(quantised)
    convolutions = [node for node in result.graph.node if node.op_type == "Conv"]
    means = _mean_inputs(model, {node.input[0] for node in convolutions}, faces)
    for node in convolutions:
        name = node.input[1]
        if f"{name}_quantized" not in rounded:
            continue
        scale, zero = (rounded[f"{name}_{part}"].reshape(-1, 1, 1, 1) for part in ("scale", "zero_point"))
        lost = floats[name] - (rounded[f"{name}_quantized"].astype(np.float32) - zero) * scale
        before = floats[node.input[2]] if len(node.input) > 2 else 0
        bias = before + _shift(lost.sum(axis=(2, 3)), means[node.input[0]], _groups(node))
        result.graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), f"{name}_corrected_bias"))
        node.input[:] = [*node.input[:2], f"{name}_corrected_bias"]
    return result


def _shift(lost: NDArray[np.floating], mean: NDArray[np.floating], groups: int) -> NDArray[np.floating]:
    """Mean of each output channel [out] that lost weights [out, in / groups] stand for, of mean inputs [in]."""
    inputs = np.repeat(mean.reshape(groups, -1), len(lost) // groups, axis=0)
    return np.asarray((lost * inputs).sum(axis=1))


def _groups(node: NodeProto) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "group"), 1)


def _arrays(model: onnx.ModelProto) -> Tensors:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _mean_inputs(model: onnx.ModelProto, names: set[str], faces: NDArray[np.uint8]) -> Tensors:
    """Mean over faces and places of each channel [c] of the named tensors [b, c, h, w]."""
    watched, wanted = onnx.ModelProto(), sorted(names)
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    session = ort.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    sums = [np.float64(0)] * len(wanted)
    for start in range(0, len(faces), BATCH):
        maps = session.run(wanted, {INPUT_NAME: faces[start : start + BATCH]})
        sums = [total + each.mean(axis=(2, 3)).sum(axis=0) for total, each in zip(sums, maps, strict=True)]
    return {name: np.asarray(total) / len(faces) for name, total in zip(wanted, sums, strict=True)}
