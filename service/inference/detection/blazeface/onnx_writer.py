"""Write a small ONNX model without the `onnx` package: the few protobuf messages that a graph of layers needs.

Numbers of messages' fields are those of onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

_IR_VERSION, _OPSET = 8, 17
_ELEMENTS: Final = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int64): 7}
_INT, _STRING, _INTS = 2, 3, 7  # kinds of an attribute

Value = int | str | Sequence[int]
TypedShape = tuple[str, tuple[int | str, ...]]
"""NumPy's name of the elements, and the shape with names for sides that are free."""


@dataclass
class GraphWriter:
    """Collects nodes and constants; `model` gives the bytes of a file."""

    _nodes: list[bytes] = field(default_factory=list)
    _constants: list[bytes] = field(default_factory=list)

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Value) -> str:
        """Add a node with one output; return the output's name."""
        body = b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(4, operator)
        self._nodes.append(body + b"".join(_bytes(5, _attribute(*pair)) for pair in attributes.items()))
        return output

    def constant(self, name: str, values: NDArray[np.float32] | NDArray[np.int64]) -> str:
        """Add a constant; return its name."""
        body = b"".join(_number(1, side) for side in values.shape) + _number(2, _ELEMENTS[values.dtype])
        self._constants.append(body + _text(8, name) + _bytes(9, np.ascontiguousarray(values).tobytes()))
        return name

    def model(self, name: str, inputs: dict[str, TypedShape], outputs: dict[str, TypedShape]) -> bytes:
        """Return the file's bytes."""
        graph = b"".join(_bytes(1, node) for node in self._nodes) + _text(2, name)
        graph += b"".join(_bytes(5, constant) for constant in self._constants)
        graph += b"".join(_bytes(11, _value(*pair)) for pair in inputs.items())
        graph += b"".join(_bytes(12, _value(*pair)) for pair in outputs.items())
        return _number(1, _IR_VERSION) + _bytes(7, graph) + _bytes(8, _number(2, _OPSET))


def _attribute(name: str, value: Value) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _INT)
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _number(20, _STRING)
    return _text(1, name) + b"".join(_number(8, each) for each in value) + _number(20, _INTS)


def _value(name: str, kind: TypedShape) -> bytes:
    element, shape = kind
    sides = (_number(1, side) if isinstance(side, int) else _text(2, side) for side in shape)
    tensor = _number(1, _ELEMENTS[np.dtype(element)]) + _bytes(2, b"".join(_bytes(1, side) for side in sides))
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode())


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
