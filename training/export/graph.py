"""Edit ONNX graphs: names of tensors, what is computed twice, manifest; check what a graph may not contain."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from service.errors import AgelensError
from service.inference.distribution import AGES
from service.inference.manifest import INPUT_NAME, METADATA_KEY, OUTPUT_NAME, Manifest
from service.inference.onnx_session import ort

OPSET: Final = 17
CHUNK: Final = 8

ONNX_END: Final = 2**31 - 1
"""What tf2onnx writes for the end of an axis, or more."""

UNDETERMINED: Final = ("Bernoulli", "Dropout", "Multinomial", "Random")
"""How operators begin whose answer is not determined by what they read."""


class ExportRefused(AgelensError):
    """A model file must not be published; the message says what was measured and what is required."""


def rename(model: ModelProto, old: str, new: str) -> None:
    """Give the tensor `old` the name `new` wherever it appears."""
    if old == new:
        return
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        if value.name == old:
            value.name = new


def with_layer_names(model: ModelProto) -> None:
    """Name nodes and tensors after the network's layers, without the names of Keras's unnamed functional models.

    A convolution that was fused out of several nodes is named after the layer of its kernel.
    """
    for node in model.graph.node:
        if node.op_type == "Conv" and "/" not in node.name and "/" in node.input[1]:
            node.name = f"{node.input[1].rpartition('/')[0]}/Conv"
    tensors = {name for node in model.graph.node for name in (*node.input, *node.output) if name}
    tensors |= {tensor.name for tensor in model.graph.initializer}
    names = _shortened(tensors)
    nodes = _shortened({node.name for node in model.graph.node})
    for node in model.graph.node:
        node.name = nodes[node.name]
        for side in (node.input, node.output):
            side[:] = [names.get(name, name) for name in side]
    for value in (*model.graph.initializer, *model.graph.value_info, *model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)


def _shortened(names: set[str]) -> dict[str, str]:
    """Drop the parts `functional_1` and `dldl_functional_1` of paths; a name that would occur twice keeps them."""
    found: dict[str, str] = {}
    for name in sorted(names):
        short = "/".join(part for part in name.split("/") if not re.fullmatch(r"([a-z_]+_)?functional(_\d+)*", part))
        found[name] = short if short and short not in found.values() and (short == name or short not in names) else name
    return found


def drop_unused(model: ModelProto) -> None:
    """Remove the nodes and weights that no output needs."""
    graph = model.graph
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):  # in topological order, so readers come before what they read
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    for field, values in ((graph.node, kept[::-1]), (graph.initializer, weights)):
        del field[:]
        field.extend(values)


def merge_repeats(model: ModelProto) -> None:
    """Have what several nodes compute alike be computed once: same operator, attributes, and equal inputs.

    Networks that share their first layers become one up to there. Weights are compared by value; a node that makes an
    output of the graph stays, and so does what draws by chance. A graph with graphs inside is left as it is.
    """
    graph = model.graph
    weights = {tensor.name: _value_of(tensor) for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    if any(attribute.type == AttributeProto.GRAPH for node in graph.node for attribute in node.attribute):
        return
    first: dict[tuple[object, ...], NodeProto] = {}
    alike: dict[str, str] = {}
    for node in graph.node:  # in topological order, so what a node reads has been merged before it
        node.input[:] = [alike.get(name, name) for name in node.input]
        if node.op_type.startswith(UNDETERMINED) or "" in node.output:
            continue
        attributes = sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)
        read = tuple(weights.get(name, name) for name in node.input)
        kept = first.setdefault((node.op_type, node.domain, len(node.output), read, *attributes), node)
        if outputs.isdisjoint(node.output):
            alike.update(zip(node.output, kept.output, strict=True))
    drop_unused(model)


def take_parts_directly(model: ModelProto) -> None:
    """Read a part of joined columns from where it comes, so that what only the other parts need can be dropped.

    Keras joins the logits of a network's heads, [b, n] each, and each head takes its own from them again.
    """
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(model).graph
    widths = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in inferred.value_info
        if len(value.type.tensor_type.shape.dim) == 2
    }
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.dims}
    joined = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "Concat" and widths.get(node.output[0]) and node.attribute[0].i in (1, -1)
    }
    direct: dict[str, str] = {}
    for node in graph.node:
        node.input[:] = [direct.get(name, name) for name in node.input]
        if node.op_type != "Slice" or node.input[0] not in joined or len(node.input) != 4:
            continue
        starts, ends, axes = (constants.get(name, np.zeros(0, np.int64)).tolist() for name in node.input[1:])
        if axes != [0, 1] or starts[0] != 0 or ends[0] < ONNX_END:
            continue
        start = 0
        for part in joined[node.input[0]].input:
            width = widths.get(part, 0)
            if width and (start, start + width) == (starts[1], min(ends[1], widths[node.input[0]])):
                direct[node.output[0]] = part
            start += width


def _value_of(tensor: TensorProto) -> tuple[object, ...]:
    return tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes()


def keep_contract(model: ModelProto) -> None:
    """Rename the one input and output to the service's names, with a dynamic batch; raise ExportRefused for more."""
    if len(model.graph.input) != 1 or len(model.graph.output) != 1:
        names = [", ".join(value.name for value in values) for values in (model.graph.input, model.graph.output)]
        raise ExportRefused(
            f"a model file has exactly one input and one output, not ({names[0]}) and ({names[1]}); export the "
            "servable graph, with constants as NumPy arrays (a tensor made outside it becomes an input)"
        )
    rename(model, model.graph.input[0].name, INPUT_NAME)
    rename(model, model.graph.output[0].name, OUTPUT_NAME)
    _check_type(model.graph.input[0], TensorProto.UINT8, "uint8 [batch, height, width, 3]", 4)
    _check_type(model.graph.output[0], TensorProto.FLOAT, f"float32 [batch, {AGES}]", 2)
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = AGES


def _check_type(value: onnx.ValueInfoProto, element: int, wanted: str, rank: int) -> None:
    tensor = value.type.tensor_type
    if tensor.elem_type != element or len(tensor.shape.dim) != rank:
        raise ExportRefused(f"`{value.name}` must be {wanted}")


def embed(model: ModelProto, manifest: Manifest) -> None:
    """Write the manifest into the file's metadata, in place of any before."""
    helper.set_model_props(model, {METADATA_KEY: manifest.model_dump_json()})


def refuse_stray_transposes(model: ModelProto, allowed: int) -> None:
    """Raise ExportRefused where more than `allowed` transposes (one per network, at the input) remain."""
    found = [node.name for node in model.graph.node if node.op_type == "Transpose"]
    if len(found) > allowed:
        raise ExportRefused(
            f"{len(found)} transposes remain where {allowed} are needed to turn the picture to channels first: "
            f"{', '.join(found[:5])}; build the network from layers that tf2onnx moves as a whole"
        )


def folded(model: ModelProto) -> ModelProto:
    """Fold constants and batch norms into the same function, by ONNX Runtime's portable optimisations.

    Fold before `append_calibration`: what changes nothing yet would be folded away too.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        result = onnx.load(path)
    standard = [entry for entry in result.opset_import if entry.domain == ""]
    del result.opset_import[:]
    result.opset_import.extend(standard)
    onnx.checker.check_model(result)
    return result


def run(model: ModelProto, faces: NDArray[np.uint8], threads: int = 2) -> NDArray[np.float32]:
    """Run a graph on faces uint8 [n, size, size, 3]; its distributions float32 [n, 101]."""
    (pmf,) = outputs_of(model, faces, threads)
    return pmf


def outputs_of(model: ModelProto, faces: NDArray[np.uint8], threads: int = 2) -> list[NDArray[np.float32]]:
    """Run a graph on faces uint8 [n, size, size, 3] in chunks of 8; each of its outputs, float32 [n, …]."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    chunks = [faces[start : start + CHUNK] for start in range(0, len(faces), CHUNK)]
    answers = [session.run(None, {INPUT_NAME: chunk}) for chunk in chunks]
    return [np.concatenate(parts) for parts in zip(*answers, strict=True)]
