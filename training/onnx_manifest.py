"""Read the manifest in an ONNX file's metadata."""

from __future__ import annotations

from onnx import ModelProto

from service.inference.manifest import Manifest


def manifest_of(model: ModelProto, where: str) -> Manifest:
    """Read the manifest back; raise InvalidModelFile naming `where`."""
    return Manifest.from_metadata({entry.key: entry.value for entry in model.metadata_props}, where)
