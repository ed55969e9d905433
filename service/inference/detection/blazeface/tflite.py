"""Read a TensorFlow Lite file: its tensors and layers, for the kinds of layer that BlazeFace is made of."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidModelFile

_KINDS: Final = {
    0: ("add", ("activation",)),
    2: ("concatenate", ("axis", "activation")),
    3: ("convolve", ("padding", "stride_x", "stride_y", "activation", "dilation_x", "dilation_y")),
    4: ("convolve each", ("padding", "stride_x", "stride_y", "multiplier", "activation", "dilation_x", "dilation_y")),
    6: ("dequantize", ()),
    17: ("largest", ("padding", "stride_x", "stride_y", "width", "height", "activation")),
    19: ("relu", ()),
    22: ("reshape", ()),
    34: ("pad", ()),
}
"""Operator code → what it is called here, and its options in the order of the schema's tables."""

_BYTES: Final = ("padding", "activation")  # options of one byte; others are whole numbers of four
_DEFAULTS: Final = {"dilation_x": 1, "dilation_y": 1}
_TYPES: Final = {0: np.float32, 1: np.float16, 2: np.int32}

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's shape, channels last, and its values where the file holds them."""

    shape: tuple[int, ...]
    values: Array | None


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: its kind, the numbers of the tensors that go in and of the one that comes out, and its options."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    options: dict[str, int]


@dataclass(frozen=True, slots=True)
class Network:
    """What a file holds: tensors, layers in the order they run, and the numbers of what goes in and comes out."""

    tensors: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_tflite(data: bytes) -> Network:
    """Read the first graph of a file; raise InvalidModelFile where it is none, or has layers of another kind.

    The tables and the numbers of their fields are those of TensorFlow Lite's schema, version 3.
    """
    if data[4:8] != b"TFL3":
        raise InvalidModelFile("not a TensorFlow Lite file; run `make setup`")
    try:
        return _network(_Table(data, *struct.unpack_from("<I", data)))
    except (struct.error, ValueError, IndexError) as error:
        raise InvalidModelFile(f"a TensorFlow Lite file that cannot be read ({error}); run `make setup`") from error


class _Table:
    """A table of a FlatBuffer: fields by number, each a value in place or an offset to one."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._start = data, start

    def number(self, field: int, form: str = "i", default: int = 0) -> int:
        at = self._at(field)
        return int(struct.unpack_from(f"<{form}", self._data, at)[0]) if at else default

    def array(self, field: int, kind: type[np.generic] = np.int32) -> Array:
        start, count = self._vector(field)
        return np.frombuffer(self._data, kind, count, start) if count else np.empty(0, kind)

    def tables(self, field: int) -> list[_Table]:
        start, count = self._vector(field)
        return [_Table(self._data, self._target(start + 4 * i)) for i in range(count)]

    def table(self, field: int) -> _Table | None:
        at = self._at(field)
        return _Table(self._data, self._target(at)) if at else None

    def _at(self, field: int) -> int:
        names = self._start - int(struct.unpack_from("<i", self._data, self._start)[0])
        size = int(struct.unpack_from("<H", self._data, names)[0])
        offset = struct.unpack_from("<H", self._data, names + 4 + 2 * field)[0] if 4 + 2 * field < size else 0
        return self._start + int(offset) if offset else 0

    def _target(self, at: int) -> int:
        return at + int(struct.unpack_from("<I", self._data, at)[0])

    def _vector(self, field: int) -> tuple[int, int]:
        at = self._at(field)
        if not at:
            return 0, 0
        start = self._target(at)
        return start + 4, int(struct.unpack_from("<I", self._data, start)[0])


def _network(model: _Table) -> Network:
    codes = [max(code.number(0, "b"), code.number(3)) for code in model.tables(1)]
    buffers = [buffer.array(0, np.uint8) for buffer in model.tables(4)]
    graph = model.tables(2)[0]
    tensors = tuple(_tensor(tensor, buffers) for tensor in graph.tables(0))
    layers = tuple(_layer(layer, codes) for layer in graph.tables(3))
    return Network(tensors, layers, _numbers(graph.array(1)), _numbers(graph.array(2)))


def _tensor(table: _Table, buffers: list[Array]) -> Tensor:
    shape, stored = _numbers(table.array(0)), buffers[table.number(2, "I")]
    if not stored.size:
        return Tensor(shape, None)
    kind = _TYPES.get(table.number(1, "b"))
    if kind is None:
        raise InvalidModelFile(f"a TensorFlow Lite file with tensors of type {table.number(1, 'b')}, which is not read")
    return Tensor(shape, stored.view(kind).reshape(shape))


def _layer(table: _Table, codes: list[int]) -> Layer:
    code = codes[table.number(0, "I")]
    if code not in _KINDS:
        raise InvalidModelFile(f"a TensorFlow Lite file with operators of code {code}, which is not read")
    kind, names = _KINDS[code]
    stored, options = table.table(4), dict[str, int]()
    for field, name in enumerate(names):
        default = _DEFAULTS.get(name, 0)
        options[name] = stored.number(field, "b" if name in _BYTES else "i", default) if stored else default
    if options.get("activation"):
        raise InvalidModelFile("a TensorFlow Lite file with layers that hold an activation, which is not read")
    return Layer(kind, _numbers(table.array(1)), _numbers(table.array(2))[0], options)


def _numbers(values: Array) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
