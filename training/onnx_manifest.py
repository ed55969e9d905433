"""Open a model file, and read the manifest in its metadata."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from onnx import ModelProto

from service.errors import FileMissing, InvalidModelFile
from service.inference.manifest import Manifest


def model_in(path: Path) -> ModelProto:
    """Open a model file; raise FileMissing, or InvalidModelFile where it is no ONNX model."""
    if not path.is_file():
        raise FileMissing(f"there is no file {path}; name an .onnx file that `agelens-train export` wrote")
    try:
        return onnx.load(path)
    except DecodeError as error:
        raise InvalidModelFile(
            f"{path.name} is no ONNX model; name a file that `agelens-train export` wrote"
        ) from error


def manifest_of(model: ModelProto, where: str) -> Manifest:
    """Read the manifest back; raise InvalidModelFile naming `where`."""
    return Manifest.from_metadata({entry.key: entry.value for entry in model.metadata_props}, where)
