"""A real network of a few kilobytes: a convolution reads the brightness, a bell around 100 · grey / 255 answers."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.inference.manifest import INPUT_NAME, OUTPUT_NAME, Manifest
from tests.tiny_model import SIZE, brightness_manifest
from training.export.calibration_nodes import append_calibration
from training.export.graph import embed, folded
from training.export.lock import lock_model, write_model

CHANNELS = 32


def bell_model(
    sigma: float = 4.0,
    size: int = SIZE,
    shift: float = 0.0,
    transposes: int = 1,
    other_shift: float | None = None,
    kernel: float = 100 / 255 / 3,
    smooth_years: float = 0.0,
) -> onnx.ModelProto:
    """Return faces → softmax(-(age - 100·brightness - shift)² / 2σ²), not calibrated, without a manifest.

    `kernel` is the weight of each colour, by default 100 years for white. With `other_shift` it is the mean of two
    heads, each a bell with its own shift.
    """
    constants = {
        "kernel": np.full((CHANNELS, 3, 1, 1), kernel, np.float32),
        "mixing": np.full((CHANNELS, 1), 1 / CHANNELS, np.float32),
        "ages": np.float32(shift) - np.arange(101, dtype=np.float32)[None, :],
        "sharpness": np.array(-0.5 / sigma**2, np.float32),
    }
    turns = [f"turned{i}" for i in range(transposes - 1)]
    nodes = [
        helper.make_node("Cast", [INPUT_NAME], ["float_faces"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float_faces"], ["planes"], perm=[0, 3, 1, 2], name="to_planes"),
        *(
            helper.make_node("Transpose", [before], [after], perm=[0, 1, 3, 2], name=after)
            for before, after in zip(["planes", *turns], turns, strict=False)
        ),
        helper.make_node("Conv", [["planes", *turns][-1], "kernel"], ["maps"], name="conv"),
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["features"], axis=1, name="flatten"),
        helper.make_node("MatMul", ["features", "mixing"], ["age"], name="head"),
        helper.make_node("Add", ["age", "ages"], ["offset"], name="offset"),
        helper.make_node("Mul", ["offset", "offset"], ["squared"], name="squared"),
        helper.make_node("Mul", ["squared", "sharpness"], ["logits"], name="logits"),
        helper.make_node("Softmax", ["logits"], ["bell"], axis=-1, name="softmax"),
    ]
    if other_shift is None:
        nodes[-1].output[0] = OUTPUT_NAME
    else:
        constants["moved"] = np.array(other_shift - shift, np.float32)
        nodes += [
            helper.make_node("Add", ["offset", "moved"], ["other_offset"], name="other_offset"),
            helper.make_node("Mul", ["other_offset", "other_offset"], ["other_squared"], name="other_squared"),
            helper.make_node("Mul", ["other_squared", "sharpness"], ["other_logits"], name="other_logits"),
            helper.make_node("Softmax", ["other_logits"], ["other_bell"], axis=-1, name="other_softmax"),
            helper.make_node("Mean", ["bell", "other_bell"], [OUTPUT_NAME], name="mean"),
        ]
    graph = helper.make_graph(
        nodes,
        "bell",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, ["batch", size, size, 3])],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["batch", 101])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = folded(model) if transposes == 1 else model
    append_calibration(model, smooth_years)
    return model


def bell_manifest(name: str = "bell", size: int = SIZE) -> Manifest:
    manifest = brightness_manifest(name, size=size)
    crop = manifest.crop.model_copy(update={"detector_threshold": 0.7})
    return manifest.model_copy(update={"crop": crop, "metrics": {"balance": 0.0}})


def write_bell_model(
    folder: Path,
    name: str = "bell",
    sigma: float = 4.0,
    shift: float = 0.0,
    size: int = SIZE,
    kernel: float = 100 / 255 / 3,
) -> Path:
    """Write and lock a bell model as `folder/NAME.onnx`, not calibrated."""
    model = bell_model(sigma, size, shift, kernel=kernel)
    embed(model, bell_manifest(name, size))
    path = write_model(model, folder)
    lock_model(path, default=True)
    return path


def grey_faces(ages: Sequence[float] | NDArray[np.float64], size: int = SIZE) -> NDArray[np.uint8]:
    """Return plain faces whose brightness the bell model reads as these ages."""
    grey = np.round(np.asarray(ages) * 255 / 100).clip(0, 255).astype(np.uint8)
    return np.broadcast_to(grey[:, None, None, None], (len(grey), size, size, 3)).copy()


def write_grey_store(folder: Path, count: int = 1200, noise: float = 6.0, seed: int = 0, bleed: int = 4) -> Path:
    """Write a store of grey faces whose true age is what their brightness says plus normal noise in years."""
    rng = np.random.default_rng(seed)
    read = rng.uniform(15, 75, count)
    ages = np.clip(np.round(read + rng.normal(0, noise, count)), 0, 100).astype(int)
    folder.mkdir(parents=True)
    np.save(folder / "faces.npy", grey_faces(read, SIZE + 2 * bleed))
    splits = np.array(["train", "val", "calib", "test"])[np.arange(count) % 4]
    with (folder / "index.csv").open("w", newline="") as stream:
        rows = csv.DictWriter(stream, ("row", "source", "file", "low", "high", "sex", "race", "split"))
        rows.writeheader()
        for row, (age, split) in enumerate(zip(ages, splits, strict=True)):
            label = {"low": age, "high": age, "sex": "", "race": "", "split": split}
            rows.writerow({"row": row, "source": folder.name, "file": f"{row}.png", **label})
    about = {"crop": bell_manifest().crop.model_dump(), "bleed": bleed, "source": folder.name}
    (folder / "store.json").write_text(json.dumps(about))
    return folder
