"""Join model files into one graph that returns the mean of their distributions, or a mixture by a learnt gate.

A mean trusts its members alike on every picture. A gate reads their features and decides for each face: one member may
be better on photographs like those of the training sets, another on worn ones (a mixture of experts; Jacobs et al.
1991). A member that mixes two heads itself, or networks by a gate of its own, is taken apart, and the gate mixes all
heads of all members. It is fitted as that between two heads of one network, see `training.export.gate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper

from service.inference.distribution import AGES
from service.inference.lockfile import sha256_of
from service.inference.manifest import INPUT_NAME, OUTPUT_NAME, CropSpec, Manifest, Provenance
from training.export.calibration_nodes import PREFIX as CALIBRATION
from training.export.calibration_nodes import SMOOTHING, append_calibration, set_mix
from training.export.gate import Answers, Gate, answers_beside, answers_on_val, fit_gate
from training.export.graph import OPSET, ExportRefused, merge_repeats, outputs_of, rename, take_parts_directly
from training.export.release import NOT_FITTED, finish, publish
from training.model.from_onnx import GATE_FEATURES, needed_for
from training.onnx_manifest import manifest_of, model_in
from training.revision import revision

UNIFORM: Final = np.full(AGES, 1 / AGES)
MEMBER: Final = "member{}_"
RESIZE: Final = "resize{}_"
FEATURES: Final = "features{}"
"""Apart from `MEMBER`: a member may itself call a tensor `planes`, `size` or `features`."""
MEAN: Final = "mean_pmf"
MIXTURE: Final = "gated mixture of "
EXPERT: Final = "gate_expert{}"
"""What puts a head's distribution before the gate; a member that has such is taken apart."""


Heads = frozenset[tuple[int, int]]
"""Some heads: the number of the member and the place of the head in it, both from 0."""


@dataclass(frozen=True)
class Joined:
    """Nodes and weights of several graphs on the same faces, and the names of what they answer.

    `pmfs` are their distributions [b, 101], `experts` those of their heads, `features` what the heads read [b, C].
    """

    nodes: list[NodeProto]
    weights: list[TensorProto]
    pmfs: list[str]
    experts: list[str]
    features: list[str]

    def model(self, members: Sequence[ModelProto], size: int, outputs: Mapping[str, int | None]) -> ModelProto:
        """Return the graph from faces uint8 [b, size, size, 3] to some of its tensors, named with their widths."""
        faces = helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, ["batch", size, size, 3])
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n]) for name, n in outputs.items()]
        graph = helper.make_graph(self.nodes, "ensemble", [faces], values, self.weights)
        opsets = {entry.domain: entry.version for member in members for entry in member.opset_import}
        imports = [helper.make_opsetid(domain, version) for domain, version in {**opsets, "": OPSET}.items()]
        model = helper.make_model(graph, opset_imports=imports, ir_version=members[0].ir_version)
        onnx.checker.check_model(model)
        return model


def mean_of(
    members: Sequence[ModelProto],
    size: int,
    *,
    gate: Gate | None = None,
    without: Heads = frozenset(),
    smooth_years: float = 0.0,
) -> ModelProto:
    """Join graphs into one from faces uint8 [b, size, size, 3] to the mean of their pmfs, not calibrated yet.

    With `gate` their heads' pmfs are mixed by its shares, but for the heads in `without`. Faces are resized (bilinear)
    for members that take another size, the result is smoothed by a Gaussian of `smooth_years`. Raises ValueError for
    fewer than two members.
    """
    joined = _joined(members, size, without)
    if gate:
        joined.nodes.extend(_mixture(joined, gate))
    else:
        joined.weights.append(numpy_helper.from_array(np.array(len(members), np.float32), "members"))
        joined.nodes.append(helper.make_node("Sum", joined.pmfs, ["summed_pmf"], name="summed_pmf"))
        joined.nodes.append(helper.make_node("Div", ["summed_pmf", "members"], [OUTPUT_NAME], name=MEAN))
    model = joined.model(members, size, {OUTPUT_NAME: AGES})
    take_parts_directly(model)
    merge_repeats(model)
    append_calibration(model, smooth_years)
    return model


def _joined(members: Sequence[ModelProto], size: int, without: Heads = frozenset()) -> Joined:
    if len(members) < 2:
        raise ValueError("an ensemble needs at least two models")
    joined = Joined([], [], [], [], [])
    for number, member in enumerate(members):
        prefix = MEMBER.format(number)
        part = compose.add_prefix(member, prefix)
        own = part.graph.input[0].type.tensor_type.shape.dim[1].dim_value
        source = INPUT_NAME
        if own != size:
            resizing, constants, source = _resize(RESIZE.format(number), own)
            joined.nodes.extend(resizing)
            joined.weights.extend(constants)
        rename(part, f"{prefix}{INPUT_NAME}", source)
        joined.nodes.extend(part.graph.node)
        joined.weights.extend(part.graph.initializer)
        joined.pmfs.append(prefix + OUTPUT_NAME)
        gated = _gated(part, prefix)
        heads = gated or _heads(part, prefix) or joined.pmfs[-1:]
        kept = [head for place, head in enumerate(heads) if (number, place) not in without]
        joined.experts.extend(kept)
        pooled = [node.output[0] for node in part.graph.node if node.op_type == "GlobalAveragePool"]
        averages = any(node.name == f"{prefix}{MEAN}" for node in part.graph.node)
        # A name without a node tells `gate_between` of a member that is not one network.
        read = _read_by_gate(part, prefix, kept) if gated else pooled if len(pooled) == 1 and not averages else [""]
        for maps in read:
            name = FEATURES.format(len(joined.features))
            joined.features.append(name)
            if maps:
                joined.nodes.append(helper.make_node("Flatten", [maps], [name], name=name))
    return joined


def _gated(part: onnx.ModelProto, prefix: str) -> list[str]:
    """Return the distributions that a member's own gate mixes; none where it has no gate between networks."""
    turned = (node for node in part.graph.node if node.op_type == "Unsqueeze")
    return [node.input[0] for node in turned if node.name.startswith(prefix + EXPERT.format(""))]


def _read_by_gate(part: onnx.ModelProto, prefix: str, heads: Sequence[str]) -> list[str]:
    """Return the pooled maps that a member's own gate reads, but for those that none of these heads reads."""
    (joined,) = (node for node in part.graph.node if node.name == prefix + GATE_FEATURES)
    pooled = {node.output[0]: node.input[0] for node in part.graph.node if node.op_type == "Flatten"}
    needed = needed_for(heads, part.graph.node)
    return [pooled[name] for name in joined.input if pooled[name] in needed]


def _heads(part: onnx.ModelProto, prefix: str) -> list[str]:
    """Return the distributions of a member's heads where it mixes several; none where it has one."""
    own = [node for node in part.graph.node if not node.name.startswith(f"{prefix}{CALIBRATION}")]
    heads = [node.output[0] for node in own if node.op_type == "Softmax"]
    return heads if len(heads) > 1 else []


def _left_out(names: Sequence[str], members: Sequence[ModelProto], manifests: Sequence[Manifest]) -> Heads:
    """Read heads named as FILE:PLACE; raise ExportRefused for one that is not there, or where a member has no other."""
    heads = [
        (manifest.name, [(number, place) for place in range(len(_gated(member, "") or _heads(member, "")) or 1)])
        for number, (member, manifest) in enumerate(zip(members, manifests, strict=True))
    ]
    if names and len(dict(heads)) < len(heads):
        raise ExportRefused("--without tells members by name, and two have the same; export one under another")
    there = {f"{name}:{place}": (number, place) for name, places in heads for number, place in places}
    unknown = [name for name in names if name not in there]
    if unknown:
        raise ExportRefused(f"--without {unknown[0]}: there is no such head; there are {', '.join(there)}")
    found = frozenset(there[name] for name in names)
    for name, places in heads:
        if found.issuperset(places):
            raise ExportRefused(f"--without leaves {name} no head; leave the file out instead")
    return found


def _smooths_apart(member: ModelProto) -> bool:
    """Tell whether a member that a gate takes apart smooths what it mixes."""
    smooths = any(tensor.name.startswith(SMOOTHING) for tensor in member.graph.initializer)
    return smooths and bool(_gated(member, "") or _heads(member, ""))


def _refuse_twice(paths: Sequence[Path]) -> None:
    """Raise ExportRefused where a file is given twice: it would be run twice and know no more."""
    found: dict[str, Path] = {}
    for path in paths:
        sha256 = sha256_of(path)
        if sha256 in found:
            raise ExportRefused(f"{path} is the same file as {found[sha256]}; name each member once")
        found[sha256] = path


def _told(member: ModelProto, manifest: Manifest, gated: bool) -> str:
    """Name a member; one that a gate takes apart by its own members."""
    apart = gated and _gated(member, "")
    named = f"{manifest.name} {manifest.version}"
    return f"{manifest.provenance.recipe.removeprefix(MIXTURE)} (of {named})" if apart else named


def _mixture(joined: Joined, gate: Gate) -> list[NodeProto]:
    """Return the nodes of Σ_k s_k·expert_k, s = softmax(x·W + c) of all members' features x; add W and c."""
    constants = {"gate_weights": gate.weights, "gate_biases": gate.biases}
    joined.weights.extend(numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items())
    joined.weights.append(numpy_helper.from_array(np.array([1], np.int64), "gate_axis"))
    return [
        helper.make_node("Concat", joined.features, [GATE_FEATURES], axis=1, name=GATE_FEATURES),
        helper.make_node("MatMul", [GATE_FEATURES, "gate_weights"], ["gate_product"], name="gate_product"),
        helper.make_node("Add", ["gate_product", "gate_biases"], ["gate_logits"], name="gate_logits"),
        helper.make_node("Softmax", ["gate_logits"], ["gate_shares"], axis=1, name="gate_shares"),
        helper.make_node("Unsqueeze", ["gate_shares", "gate_axis"], ["gate_row"], name="gate_row"),
        *(
            helper.make_node("Unsqueeze", [expert, "gate_axis"], [EXPERT.format(k)], name=EXPERT.format(k))
            for k, expert in enumerate(joined.experts)
        ),
        helper.make_node(
            "Concat",
            [EXPERT.format(k) for k in range(len(joined.experts))],
            ["gate_experts"],
            axis=1,
            name="gate_experts",
        ),
        helper.make_node("MatMul", ["gate_row", "gate_experts"], ["gate_mixture"], name="gate_mixture"),
        helper.make_node("Squeeze", ["gate_mixture", "gate_axis"], [OUTPUT_NAME], name="gated_pmf"),
    ]


def gate_between(
    members: Sequence[ModelProto],
    stores: Sequence[Path],
    crop: CropSpec,
    unlabelled: Path | None = None,
    without: Heads = frozenset(),
) -> Gate:
    """Fit the gate between graphs on `val`, clean and worn; raise ExportRefused for one that is the mean of several.

    Heads in `without` are not mixed. On the faces of the store `unlabelled` their mixture is to be near the IMDB-WIKI
    network's answer too.
    """
    joined = _joined(members, crop.size, without)
    made = {name for node in joined.nodes for name in node.output}
    if not made.issuperset(joined.features):
        raise ExportRefused(
            "a gate reads the pooled features of one network, and a member has none or several; join networks or "
            "gated ensembles, not means of several"
        )
    look = joined.model(members, crop.size, dict.fromkeys([*joined.features, *joined.experts]))

    def answer(faces: NDArray[np.uint8]) -> tuple[NDArray[np.floating], ...]:
        found = dict(zip((value.name for value in look.graph.output), outputs_of(look, faces), strict=True))
        features = [found[name] for name in joined.features]
        return np.concatenate(features, axis=1), *(found[name] for name in joined.experts)

    answers = answers_on_val(answer, stores, crop)
    if unlabelled:
        from training.model.imdb_wiki import WEIGHTS
        from training.teaching.teacher import teacher_named

        teacher = teacher_named(WEIGHTS, crop.size)
        answers = Answers.joined([answers, answers_beside(answer, teacher, unlabelled, crop)])
    return fit_gate(answers)


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
    gated: bool = False,
    unlabelled: Path | None = None,
    without: Sequence[str] = (),
    balance: float | None = None,
    smooth_years: float = 0.0,
) -> Path:
    """Write the ensemble of finished model files as `out_dir/NAME.onnx`, calibrated and locked; return its path.

    The largest input size is the ensemble's. `gated` mixes their heads by a gate instead of their mean, but for those
    in `without`, each FILE:PLACE with places from 0; `unlabelled` is `gate_between`'s, `balance` is `calibrate`'s,
    `smooth_years` as in `mean_of`. Raises ExportRefused where the members were cut differently.
    """
    members = [model_in(path) for path in paths]
    _refuse_twice(paths)
    for (
        member
    ) in members:  # the ensemble is calibrated itself: each member is to speak of the faces that it was fitted to
        set_mix(member, UNIFORM, UNIFORM)
    manifests = [manifest_of(member, path.name) for member, path in zip(members, paths, strict=True)]
    seen = [manifest.crop.model_dump(exclude={"size"}) for manifest in manifests]
    if any(each != seen[0] for each in seen):
        raise ExportRefused("the members see faces cut or exposed differently; an ensemble cuts each face once")
    crop = max((manifest.crop for manifest in manifests), key=lambda each: each.size)
    precisions = {manifest.precision for manifest in manifests}
    if len(precisions) > 1:
        raise ExportRefused(f"the members differ in precision ({', '.join(sorted(precisions))}); join equal ones")
    made = [manifest.provenance for manifest in manifests]
    joined = " + ".join(_told(member, manifest, gated) for member, manifest in zip(members, manifests, strict=True))
    apart = [manifest.name for member, manifest in zip(members, manifests, strict=True) if _smooths_apart(member)]
    if gated and apart and not smooth_years:
        raise ExportRefused(
            f"a gate takes {', '.join(apart)} apart and leaves out what smooths its distributions; add "
            "--smooth 2, or as many years as it was exported with"
        )
    if (unlabelled or without) and not gated:
        raise ExportRefused("--unlabelled fits a gate, --without leaves heads out of what it mixes: add --gate")
    left_out = _left_out(without, members, manifests)
    if gated and any(manifest.flip for manifest in manifests):
        raise ExportRefused("a gate reads each face once; export the members without --flip")
    gate = gate_between(members, stores, crop, unlabelled, left_out) if gated else None
    lacking = f" without {', '.join(without)}" if without else ""
    manifest = Manifest(
        name=name,
        version=version,
        family="ensemble",
        precision=manifests[0].precision,
        flip=all(manifest.flip for manifest in manifests),
        crop=crop,
        age_mix=NOT_FITTED,
        provenance=Provenance(
            recipe=f"{MIXTURE if gate else 'mean of '}{joined}{lacking}",
            data=tuple(dict.fromkeys(source for each in made for source in each.data)),
            initial_weights=", ".join(dict.fromkeys(each.initial_weights for each in made)),
            commit=revision(),
            created=datetime.now(UTC).date().isoformat(),
        ),
        licence="; ".join(dict.fromkeys(manifest.licence for manifest in manifests)),
        metrics={"gate_crps": gate.loss} if gate else {},
    )
    model = mean_of(members, crop.size, gate=gate, without=left_out, smooth_years=smooth_years)
    finish(model, manifest, stores, balance or 0.0)
    return publish(model, out_dir, default)
