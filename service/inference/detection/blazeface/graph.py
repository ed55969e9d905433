"""BlazeFace's short-range network as an ONNX model: the layers of mediapipe's TensorFlow Lite file, channels first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from service.errors import InvalidModelFile
from service.inference.detection.blazeface.onnx_writer import GraphWriter, TypedShape
from service.inference.detection.blazeface.tflite import Array, Layer, Network

INPUT: Final = "faces"
OUTPUTS: Final = ("boxes", "scores")
SIDE: Final = 128
"""Pixels a side of the input, uint8 [batch, 128, 128, 3]."""

ANCHORS: Final = 896
_BLOCK: Final = 16  # ONNX Runtime works on channels in blocks of as many: whole blocks save a fifth of the time

VALUES: Final = 16
"""What each anchor's box answers: centre, width, height and six landmarks, in pixels of the input."""


def blazeface_graph(network: Network) -> bytes:
    """Return the ONNX model of `network`, for any number of views at once; raise InvalidModelFile for others."""
    shapes = [network.tensors[number].shape for number in (*network.inputs, *network.outputs)]
    if shapes != [(1, SIDE, SIDE, 3), (1, ANCHORS, VALUES), (1, ANCHORS, 1)]:
        raise InvalidModelFile(f"a network of tensors {shapes} is not BlazeFace's for short range; run `make setup`")
    return _Translation(network).model()


class _Translation:
    """Writes layer after layer; tensors keep their numbers as names."""

    def __init__(self, network: Network) -> None:
        self._network, self._graph = network, GraphWriter()
        self._constants = {number: tensor.values for number, tensor in enumerate(network.tensors)}
        self._writers: dict[str, Callable[[Layer], None]] = {
            "add": self._add,
            "concatenate": self._concatenate,
            "convolve": self._convolve,
            "convolve each": self._convolve,
            "dequantize": self._dequantize,
            "largest": self._largest,
            "pad": self._pad,
            "relu": self._relu,
            "reshape": self._reshape,
        }

    def model(self) -> bytes:
        graph = self._graph
        half, one = (
            graph.constant(name, np.array([value], np.float32)) for name, value in (("half", 127.5), ("one", 1))
        )
        floats = graph.node("Cast", [INPUT], "floats", to=1)
        centred = graph.node("Sub", [graph.node("Div", [floats, half], "scaled"), one], "centred")
        graph.node("Transpose", [centred], str(self._network.inputs[0]), perm=(0, 3, 1, 2))
        for layer in self._network.layers:
            self._writers[layer.kind](layer)
        for number, name in zip(self._network.outputs, OUTPUTS, strict=True):
            graph.node("Identity", [str(number)], name)
        sides = zip(OUTPUTS, (VALUES, 1), strict=True)
        outputs: dict[str, TypedShape] = {name: ("float32", ("batch", ANCHORS, side)) for name, side in sides}
        return graph.model("blazeface", {INPUT: ("uint8", ("batch", SIDE, SIDE, 3))}, outputs)

    def _values(self, number: int) -> Array:
        values = self._constants[number]
        if values is None:
            raise InvalidModelFile("a network whose weights are computed is not BlazeFace; run `make setup`")
        return values

    def _dequantize(self, layer: Layer) -> None:
        self._constants[layer.output] = self._values(layer.inputs[0]).astype(np.float32)

    def _convolve(self, layer: Layer) -> None:
        source, weights, bias = layer.inputs
        answers = any(other.kind == "reshape" and layer.output in other.inputs for other in self._network.layers)
        # Both kinds store [units, height, width, channels]; where each channel has its own filter the units are last.
        each = layer.kind == "convolve each"
        kernel = self._values(weights).transpose((3, 0, 1, 2) if each else (0, 3, 1, 2))
        units = kernel.shape[0] if answers else _whole(kernel.shape[0])
        channels = kernel.shape[1] if each or source in self._network.inputs else _whole(kernel.shape[1])
        more = (0, units - kernel.shape[0])
        filled = np.pad(kernel, (more, (0, channels - kernel.shape[1]), (0, 0), (0, 0)))
        names = [
            str(source),
            self._graph.constant(f"w{layer.output}", filled),
            self._graph.constant(f"b{layer.output}", np.pad(self._values(bias), more)),
        ]
        groups = units if each else 1
        self._graph.node("Conv", names, str(layer.output), group=groups, **_placed(layer))

    def _largest(self, layer: Layer) -> None:
        window = layer.options["height"], layer.options["width"]
        self._graph.node("MaxPool", [str(layer.inputs[0])], str(layer.output), kernel_shape=window, **_placed(layer))

    def _pad(self, layer: Layer) -> None:
        source, pads = layer.inputs[0], self._values(layer.inputs[1])
        channels = (_whole(self._network.tensors[number].shape[-1]) for number in (source, layer.output))
        if pads[:3].any() or pads[3, 0]:
            raise InvalidModelFile("a network that pads more than channels is not BlazeFace; run `make setup`")
        narrow, wide = channels
        sides = self._graph.constant(f"p{layer.output}", np.array([0, 0, 0, 0, 0, wide - narrow, 0, 0], np.int64))
        self._graph.node("Pad", [str(source), sides], str(layer.output))

    def _add(self, layer: Layer) -> None:
        self._graph.node("Add", [str(number) for number in layer.inputs], str(layer.output))

    def _relu(self, layer: Layer) -> None:
        self._graph.node("Relu", [str(layer.inputs[0])], str(layer.output))

    def _reshape(self, layer: Layer) -> None:
        last = self._graph.node("Transpose", [str(layer.inputs[0])], f"t{layer.output}", perm=(0, 2, 3, 1))
        shape = np.array([0, *self._network.tensors[layer.output].shape[1:]], np.int64)  # 0 keeps the batch
        self._graph.node("Reshape", [last, self._graph.constant(f"s{layer.output}", shape)], str(layer.output))

    def _concatenate(self, layer: Layer) -> None:
        names = [str(number) for number in layer.inputs]
        self._graph.node("Concat", names, str(layer.output), axis=layer.options["axis"])


def _whole(channels: int) -> int:
    """Round up to whole blocks; the channels that are added hold zeros."""
    return -(-channels // _BLOCK) * _BLOCK


def _placed(layer: Layer) -> dict[str, str | tuple[int, int]]:
    options = layer.options
    padding = "VALID" if options["padding"] else "SAME_UPPER"
    return {"auto_pad": padding, "strides": (options["stride_y"], options["stride_x"])}
