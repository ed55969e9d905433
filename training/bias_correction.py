"""Biases that undo what rounding the weights does to the mean of each channel.

Inputs after a rectifier are never negative, so the errors of a channel's weights do not cancel: its mean shifts, and
the shifts add up from layer to layer (Nagel et al. 2019, section 4.2). They made a MobileNet's ages 0.7 years lower.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

from service.manifest import INPUT_NAME
from service.onnx_runtime import ort

BATCH = 16

Arrays = dict[str, NDArray[Any]]


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


def _arrays(model: onnx.ModelProto) -> Arrays:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _mean_inputs(model: onnx.ModelProto, names: set[str], faces: NDArray[np.uint8]) -> Arrays:
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
