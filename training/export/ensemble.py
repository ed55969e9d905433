"""Join model files into one graph that returns the mean of their distributions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper

from service.inference.distribution import AGES
from service.inference.manifest import INPUT_NAME, OUTPUT_NAME, Manifest, Provenance
from training.export.graph import OPSET, ExportRefused, append_calibration, rename
from training.export.release import finish, publish
from training.onnx_manifest import manifest_of
from training.revision import revision

MEMBER: Final = "member{}_"
RESIZE: Final = "resize{}_"
"""Apart from `MEMBER`: a member may itself call a tensor `planes` or `size`."""


def mean_of(members: Sequence[ModelProto], size: int) -> ModelProto:
    """Join graphs into one from faces uint8 [b, size, size, 3] to the mean of their pmfs, not calibrated yet.

    Faces are resized (bilinear) for members that take another size. Raises ValueError for fewer than two members.
    """
    if len(members) < 2:
        raise ValueError("an ensemble needs at least two models")
    nodes: list[NodeProto] = []
    weights: list[TensorProto] = [numpy_helper.from_array(np.array(len(members), np.float32), "members")]
    for number, member in enumerate(members):
        prefix = MEMBER.format(number)
        part = compose.add_prefix(member, prefix)
        own = part.graph.input[0].type.tensor_type.shape.dim[1].dim_value
        source = INPUT_NAME
        if own != size:
            resizing, constants, source = _resize(RESIZE.format(number), own)
            nodes += resizing
            weights += constants
        rename(part, f"{prefix}{INPUT_NAME}", source)
        nodes += part.graph.node
        weights += part.graph.initializer
    outputs = [MEMBER.format(number) + OUTPUT_NAME for number in range(len(members))]
    nodes.append(helper.make_node("Sum", outputs, ["summed_pmf"], name="summed_pmf"))
    nodes.append(helper.make_node("Div", ["summed_pmf", "members"], [OUTPUT_NAME], name="mean_pmf"))
    faces = helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, ["batch", size, size, 3])
    pmf = helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["batch", AGES])
    graph = helper.make_graph(nodes, "ensemble", [faces], [pmf], weights)
    opsets = {entry.domain: entry.version for member in members for entry in member.opset_import}
    imports = [helper.make_opsetid(domain, version) for domain, version in {**opsets, "": OPSET}.items()]
    joined = helper.make_model(graph, opset_imports=imports, ir_version=members[0].ir_version)
    onnx.checker.check_model(joined)
    append_calibration(joined)
    return joined


def _resize(prefix: str, size: int) -> tuple[list[NodeProto], list[TensorProto], str]:
    """Return nodes and constants that turn `faces` into uint8 faces of another size, and the result's name."""
    target = numpy_helper.from_array(np.array([size, size], np.int64), f"{prefix}size")
    batch = numpy_helper.from_array(np.array([0], np.int64), f"{prefix}first")
    two = numpy_helper.from_array(np.array([2], np.int64), f"{prefix}second")
    names = [f"{prefix}{step}" for step in ("float", "planes", "shape", "head", "sizes", "resized", "round", "pixels")]
    real, planes, shape, head, sizes, resized, rounded, pixels = names
    nodes = [
        helper.make_node("Cast", [INPUT_NAME], [real], to=TensorProto.FLOAT),
        helper.make_node("Transpose", [real], [planes], perm=[0, 3, 1, 2]),
        helper.make_node("Shape", [planes], [shape]),
        helper.make_node("Slice", [shape, batch.name, two.name], [head]),
        helper.make_node("Concat", [head, target.name], [sizes], axis=0),
        helper.make_node("Resize", [planes, "", "", sizes], [resized], mode="linear"),
        helper.make_node("Round", [resized], [rounded]),
        helper.make_node("Transpose", [rounded], [f"{prefix}rows"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", [f"{prefix}rows"], [pixels], to=TensorProto.UINT8),
    ]
    return nodes, [target, batch, two], pixels


def ensemble(
    paths: Sequence[Path],
    out_dir: Path,
    name: str,
    version: str,
    stores: Sequence[Path],
    *,
    default: bool | None = None,
) -> Path:
    """Write the ensemble of finished model files as `out_dir/NAME.onnx`, calibrated and locked; return its path.

    The largest input size is the ensemble's. Raises ExportRefused where the members were cut differently.
    """
    members = [onnx.load(path) for path in paths]
    manifests = [manifest_of(member, path.name) for member, path in zip(members, paths, strict=True)]
    seen = [manifest.crop.model_dump(exclude={"size"}) for manifest in manifests]
    if any(each != seen[0] for each in seen):
        raise ExportRefused("the members see faces cut or exposed differently; an ensemble cuts each face once")
    crop = max((manifest.crop for manifest in manifests), key=lambda each: each.size)
    precisions = {manifest.precision for manifest in manifests}
    if len(precisions) > 1:
        raise ExportRefused(f"the members differ in precision ({', '.join(sorted(precisions))}); join equal ones")
    made = [manifest.provenance for manifest in manifests]
    joined = " + ".join(f"{manifest.name} {manifest.version}" for manifest in manifests)
    manifest = Manifest(
        name=name,
        version=version,
        family="ensemble",
        precision=manifests[0].precision,
        flip=all(manifest.flip for manifest in manifests),
        crop=crop,
        provenance=Provenance(
            recipe=f"mean of {joined}",
            data=tuple(dict.fromkeys(source for each in made for source in each.data)),
            initial_weights=", ".join(dict.fromkeys(each.initial_weights for each in made)),
            commit=revision(),
            created=datetime.now(UTC).date().isoformat(),
        ),
        licence="; ".join(dict.fromkeys(manifest.licence for manifest in manifests)),
    )
    model = mean_of(members, crop.size)
    finish(model, manifest, stores)
    return publish(model, out_dir, default)
