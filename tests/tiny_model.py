"""A real model of a kilobyte: the age is the crop's mean brightness, 20, 40 and 80 for grey 51, 102 and 204."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from service.inference.lockfile import LockEntry, ModelLock, sha256_of
from service.inference.manifest import INPUT_NAME, METADATA_KEY, OUTPUT_NAME, CropSpec, Manifest, Provenance

SIZE = 32


def brightness_manifest(name: str = "brightness", version: str = "1.0.0", size: int = SIZE) -> Manifest:
    made = Provenance(recipe="none", data=(), initial_weights="none", commit="none", created="2026-01-01")
    crop = CropSpec(size=size, margin=0.1, detector_threshold=0.5)
    return Manifest(
        name=name,
        version=version,
        family="brightness",
        crop=crop,
        age_mix=(1 / 101,) * 101,
        provenance=made,
        licence="Apache-2.0",
    )


def write_brightness_model(path: Path, manifest: Manifest | None = None) -> Manifest:
    """Write an ONNX file whose mass lies on the two whole ages around mean brightness · 100 / 255."""
    manifest = manifest or brightness_manifest()
    size = manifest.crop.size
    constants = {
        "per_grey": np.float32(100 / 255),
        "ages": np.arange(101, dtype=np.float32)[None, :],
        "one": np.float32(1),
    }
    nodes = [
        helper.make_node("Cast", [INPUT_NAME], ["grey"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["grey"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Flatten", ["mean"], ["brightness"], axis=1),
        helper.make_node("Mul", ["brightness", "per_grey"], ["age"]),
        helper.make_node("Sub", ["age", "ages"], ["offset"]),
        helper.make_node("Abs", ["offset"], ["distance"]),
        helper.make_node("Sub", ["one", "distance"], ["nearness"]),
        helper.make_node("Relu", ["nearness"], [OUTPUT_NAME]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, ["batch", size, size, 3])],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["batch", 101])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: manifest.model_dump_json()})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return manifest


def lock_entry(path: Path, default: bool = True) -> LockEntry:
    return LockEntry(
        file=path.name,
        kind="model",
        size=path.stat().st_size,
        sha256=sha256_of(path),
        source="tests",
        default=default,
    )


def write_models_folder(folder: Path, *names: str) -> Path:
    """Write a brightness model for each name, and the lock that trusts them; the first is loaded by default."""
    entries: list[LockEntry] = []
    for name in names or ("brightness",):
        path = folder / f"{name}-1.0.0.onnx"
        write_brightness_model(path, brightness_manifest(name))
        entries.append(lock_entry(path, default=not entries))
    ModelLock(files=tuple(entries)).write(folder)
    return folder
