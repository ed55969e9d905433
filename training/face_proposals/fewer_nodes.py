"""Write what Keras's layers become in fewer ONNX nodes that give the same numbers, bit for bit."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from service.inference.detection.face_proposals import INPUT
from training.export.graph import ExportRefused, drop_unused

_REPEATED: Final = "/Repeat/ExpandDims:0"  # tf2onnx's name of the first step of a layer that repeats rows and columns


def in_fewer_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph of face proposals with one node that reads the input and one for each map that is enlarged.

    Raises ExportRefused where the input is not read as expected.
    """
    quicker = onnx.ModelProto()
    quicker.CopyFrom(model)
    _dequantize_input(quicker)
    _resize_maps(quicker)
    drop_unused(quicker)
    onnx.checker.check_model(quicker)
    return quicker


def _dequantize_input(model: onnx.ModelProto) -> None:
    """Make floats of transposed bytes by one node, instead of casting, multiplying, adding and transposing floats."""
    chain = _readers(model, INPUT, 4)
    kinds = [node.op_type for node in chain]
    if kinds != ["Cast", "Mul", "Add", "Transpose"]:
        raise ExportRefused(f"the input is read by {', '.join(kinds)}; a Rescaling of whole colours is expected")
    _, product, total, last = chain
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    step, offset = (np.float32(constants[node.input[1]].item()) for node in (product, total))
    zero, every = np.clip(np.round(-offset / step), 0, 255), np.arange(256, dtype=np.float32)
    if not np.array_equal(every * step + offset, (every - zero) * step):
        raise ExportRefused(
            f"the input is rescaled by {step} and {offset}; a power of two and an offset of whole steps are expected"
        )
    _constant(model, "input_step", np.array(step, np.float32))
    _constant(model, "input_zero", np.array(zero, np.uint8))
    bytes_first = helper.make_node("Transpose", [INPUT], ["input_channels"], perm=[0, 3, 1, 2])
    last.CopyFrom(helper.make_node("DequantizeLinear", ["input_channels", "input_step", "input_zero"], last.output))
    model.graph.node.insert(0, bytes_first)


def _resize_maps(model: onnx.ModelProto) -> None:
    """Enlarge maps by `Resize`: for `UpSampling2D(2)` tf2onnx writes some forty nodes that repeat rows and columns."""
    _constant(model, "twice", np.array([1, 1, 2, 2], np.float32))
    for first in [node for node in model.graph.node if node.output[0].endswith(_REPEATED)]:
        repeated_columns = first.output[0].removesuffix(_REPEATED) + "/Repeat_1/"
        last = next(
            node
            for node in model.graph.node
            if node.op_type == "Transpose" and node.input[0].startswith(repeated_columns)
        )
        nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        last.CopyFrom(helper.make_node("Resize", [first.input[0], "", "twice"], last.output, **nearest))


def _readers(model: onnx.ModelProto, tensor: str, count: int) -> list[onnx.NodeProto]:
    """Return the first nodes, at most `count`, of the chain that reads a tensor."""
    chain: list[onnx.NodeProto] = []
    while len(chain) < count:
        reading = next((node for node in model.graph.node if tensor in node.input), None)
        if reading is None:
            break
        chain.append(reading)
        tensor = reading.output[0]
    return chain


def _constant(model: onnx.ModelProto, name: str, values: NDArray[Any]) -> None:
    model.graph.initializer.append(numpy_helper.from_array(values, name))
