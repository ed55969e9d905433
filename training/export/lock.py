"""Write a finished model file and its entry in `models.lock.json`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx

from service.atomic_write import atomic_write
from service.errors import FileMissing, InvalidParameter, UnknownModel
from service.inference.lockfile import LockEntry, ModelLock, sha256_of
from service.inference.manifest import METADATA_KEY, Manifest
from training.onnx_manifest import manifest_of, model_in


def own_model(path: Path) -> tuple[onnx.ModelProto, Manifest]:
    """Open a file that is to be written anew under its name; return it and its manifest.

    Raises InvalidParameter where that is the name of another file, besides what `model_in` and `manifest_of` raise.
    """
    model = model_in(path)
    manifest = manifest_of(model, path.name)
    own = f"{manifest.name}.onnx"
    if path.name != own:
        raise InvalidParameter(
            f"{path} calls itself {manifest.name}, so {path.with_name(own)} would be written, not this file: name it "
            f"{own}, in a folder of its own; another name is given with --name of `export`, `quantize` or `ensemble`"
        )
    return model, manifest


def write_model(model: onnx.ModelProto, folder: Path) -> Path:
    """Write `NAME.onnx`, named in the manifest, whole or not at all; return its path."""
    manifest = manifest_of(model, "the graph")
    path = folder / f"{manifest.name}.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        partial.write_bytes(model.SerializeToString(deterministic=True))
    return path


def lock_model(path: Path, default: bool | None = None) -> LockEntry:
    """Add the file to its folder's lock, which is created if there is none.

    `default` None keeps what the entry said before (False for a new one).
    """
    folder = path.parent
    try:
        files = ModelLock.read(folder).files
    except FileMissing:
        files = ()
    before = next((entry for entry in files if entry.file == path.name), None)
    if default is None:
        default = before is not None and before.default
    manifest = manifest_of(model_in(path), path.name)
    entry = LockEntry(
        file=path.name,
        kind="model",
        size=path.stat().st_size,
        sha256=sha256_of(path),
        source=f"agelens-train, recipe {manifest.provenance.recipe}",
        default=default,
        answers=before is not None and before.answers and default,
    )
    ModelLock(files=(*(other for other in files if other.file != path.name), entry)).write(folder)
    return entry


def set_default(folder: Path, name: str) -> None:
    """Let the model `name` answer requests that name none; load it by default. Raise UnknownModel where it is not."""
    files = ModelLock.read(folder).files
    models = [entry.file.removesuffix(".onnx") for entry in files if entry.kind == "model"]
    if name not in models:
        raise UnknownModel(f"{folder} has no model named {name}; it has {', '.join(models)}")
    chosen = [
        entry.model_copy(
            update={
                "answers": entry.file == f"{name}.onnx",
                "default": entry.default or entry.file == f"{name}.onnx",
            }
        )
        for entry in files
    ]
    ModelLock(files=tuple(chosen)).write(folder)


def fingerprint(model: onnx.ModelProto) -> str:
    """Return the sha256 of the graph and its manifest, but for the metrics: writing measurements in does not change it.

    Fields that the file's manifest does not have are left out, so that a new version's fields do not change it either.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    manifest = manifest_of(model, "the graph").model_copy(update={"metrics": {}})
    onnx.helper.set_model_props(bare, {METADATA_KEY: manifest.model_dump_json(exclude_unset=True)})
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()
