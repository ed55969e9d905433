"""Read weights of a TensorFlow.js graph model: a JSON list of names and shapes beside binary shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

FOLDED_VARIANCE = 0.999
"""With Keras's epsilon of 1e-3 it makes a batch norm divide by 1."""


def read_tfjs(path: Path) -> Arrays:
    """Read every weight of a `model.json`, in its stored precision; raise ValueError where shards do not fit it."""
    arrays: Arrays = {}
    for group in json.loads(path.read_text())["weightsManifest"]:
        data = b"".join((path.parent / shard).read_bytes() for shard in group["paths"])
        at = 0
        for weight in group["weights"]:
            dtype = np.dtype(_stored_dtype(weight)).newbyteorder("<")
            count = int(np.prod(weight["shape"]))
            if at + count * dtype.itemsize > len(data):
                raise ValueError(f"the shards of {path.name} end before {weight['name']}")
            arrays[weight["name"]] = np.frombuffer(data, dtype, count, at).reshape(weight["shape"])
            at += count * dtype.itemsize
        if at != len(data):
            raise ValueError(f"the shards of {path.name} hold {len(data)} bytes, its weights {at}")
    return arrays


def mobilenet_arrays(weights: Arrays) -> Arrays:
    """Rename a frozen Keras MobileNet's weights to `<layer>/<variable>`; its batch norms are folded.

    Freezing merged the slope of a norm into the convolution before it, save for depthwise ones, and its shift is left.
    """
    arrays: Arrays = {}
    for name, array in weights.items():
        layer, _, operation = name.partition("/")
        if operation in ("convolution/merged_input", "depthwise_kernel"):
            arrays[f"{layer}/kernel"] = array
        elif operation == "batchnorm_1/sub":
            ones = np.ones_like(array)
            arrays[f"{layer}/gamma"] = weights.get(f"{layer}/batchnorm_1/mul", ones)
            arrays[f"{layer}/beta"] = array
            arrays[f"{layer}/moving_mean"] = np.zeros_like(array)
            arrays[f"{layer}/moving_variance"] = ones * ones.dtype.type(FOLDED_VARIANCE)
    return arrays


def _stored_dtype(weight: dict[str, Any]) -> str:
    """`float16` where the weight was stored so; other quantisations scale, and none of our sources uses them."""
    dtype = str(weight.get("quantization", weight)["dtype"])
    if dtype not in ("float16", "float32", "int32"):
        raise ValueError(f"{weight['name']} is stored as {dtype}; float16, float32 and int32 can be read")
    return dtype
