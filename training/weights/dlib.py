"""Read the parameters of dlib's face recognition network out of its own serialisation.

The file nests every layer in the next. A layer begins with its tag as a counted string. The parameters of convolution
(`con_4`), affine (`affine_`) and dense (`fc_2`, after its outputs and inputs) follow the tag: version 2, four sizes,
and float32, little-endian; then a convolution has its filters, rows and columns. An integer is a byte that says its
length (highest bit: negative), then its bytes, lowest first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

TENSOR_VERSION: Final = 2
_TAG: Final = re.compile(rb"\x01\x05con_4|\x01\x07affine_|\x01\x04fc_2")

BLOCKS: Final = (
    "conv32_down",
    *(
        f"{block}/conv{part}"
        for block in (
            *("conv32_1", "conv32_2", "conv32_3"),
            *("conv64_down", "conv64_1", "conv64_2", "conv64_3"),
            *("conv128_down", "conv128_1", "conv128_2"),
            *("conv256_down", "conv256_1", "conv256_2"),
            "conv256_down_out",
        )
        for part in (1, 2)
    ),
)
"""Names of the 29 convolutions, in the order of the file, which is that of the network."""


def read_dlib(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read the 29 convolutions, their affines and `fc`, float32, under the keys of `weights.store.translate_dlib`.

    Kernels come as HWIO. Raises ValueError where the file is not that network.
    """
    layers = list(_layers(path.read_bytes()))
    tags = [tag for tag, _, _ in layers]
    if tags != ["con_4", "affine_"] * len(BLOCKS) + ["fc_2"]:
        raise ValueError(f"{path.name} is not dlib's face recognition network: it has {len(tags)} layers with weights")
    _, dense, (outputs, _) = layers[-1]
    arrays: dict[str, NDArray[np.float32]] = {"fc": dense.reshape(-1, outputs)}
    for name, (_, kernel, sizes), (_, affine, _) in zip(BLOCKS, layers[0:-1:2], layers[1:-1:2], strict=True):
        filters, rows, columns = sizes
        arrays[f"{name}/k"] = kernel[:-filters].reshape(filters, -1, rows, columns).transpose(2, 3, 1, 0)
        arrays[f"{name}/b"] = kernel[-filters:]
        arrays[f"{name}/weights"], arrays[f"{name}/biases"] = np.split(affine, 2)
    return arrays


def _layers(data: bytes) -> Iterator[tuple[str, NDArray[np.float32], list[int]]]:
    """Tag, parameters and sizes of each layer that has any; never looks for a tag among parameters."""
    at = 0
    while found := _TAG.search(data, at):
        tag = found.group()[2:].decode()
        sizes, at = _integers(data, found.end(), 2 if tag == "fc_2" else 0)
        version, at = _integer(data, at)
        if version != TENSOR_VERSION:
            raise ValueError(f"a tensor of version {version} after {tag}; {TENSOR_VERSION} can be read")
        shape, at = _integers(data, at, 4)
        count = math.prod(shape)
        if at + 4 * count > len(data):
            raise ValueError(f"the file ends within the parameters of a {tag} layer")
        parameters = np.frombuffer(data, "<f4", count, at).astype(np.float32)
        at += 4 * count
        if tag == "con_4":
            sizes, at = _integers(data, at, 3)
        yield tag, parameters, sizes


def _integers(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    values = []
    for _ in range(count):
        value, at = _integer(data, at)
        values.append(value)
    return values, at


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer at an offset, and the offset behind it."""
    if at >= len(data) or not 1 <= (length := data[at] & 0x0F) <= 8:
        raise ValueError(f"byte {at} does not begin an integer; the file is damaged")
    value = int.from_bytes(data[at + 1 : at + 1 + length], "little")
    return (-value if data[at] & 0x80 else value), at + 1 + length
