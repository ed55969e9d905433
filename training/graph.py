"""Surgery on ONNX graphs: tensor names, the temperature, the manifest, and what a graph may not hold."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from service.errors import AgelensError
from service.manifest import INPUT_NAME, METADATA_KEY, OUTPUT_NAME, Manifest
from service.types import AGES

OPSET: Final = 17
TEMPERATURE: Final = "temperature"
"""The scalar initializer that calibration sets."""

RAW_OUTPUT: Final = "raw_pmf"
SMALLEST: Final = 1e-30
"""Floor under a probability before its logarithm; float32 holds it without going subnormal."""

CHUNK: Final = 8


class ExportRefused(AgelensError):
    """A file is not fit to ship; the text says what was measured and what is required."""


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


def keep_contract(model: ModelProto) -> None:
    """Name the one input and one output as the contract does, with a dynamic batch; raise ExportRefused."""
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


def append_temperature(model: ModelProto) -> None:
    """End the graph with softmax(log(p) / temperature), temperature 1 at first.

    It sharpens or widens any distribution over ages, so one definition serves every family and the ensemble,
    which has no logits; for a softmax it is temperature scaling itself (Guo et al. 2017, section 4.2).
    """
    rename(model, OUTPUT_NAME, RAW_OUTPUT)
    model.graph.output[0].name = OUTPUT_NAME
    floats = {"smallest": SMALLEST, TEMPERATURE: 1.0}
    for name, value in floats.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    model.graph.node.extend(
        [
            helper.make_node("Max", [RAW_OUTPUT, "smallest"], ["floored_pmf"], name="floored_pmf"),
            helper.make_node("Log", ["floored_pmf"], ["log_pmf"], name="log_pmf"),
            helper.make_node("Div", ["log_pmf", TEMPERATURE], ["tempered_pmf"], name="tempered_pmf"),
            helper.make_node("Softmax", ["tempered_pmf"], [OUTPUT_NAME], name=OUTPUT_NAME, axis=-1),
        ]
    )


TAIL: Final = ("floored_pmf", "log_pmf", "tempered_pmf", OUTPUT_NAME)
"""The nodes that `append_temperature` adds; quantisation leaves them alone."""


def temperature_of(model: ModelProto) -> float:
    """Return the temperature in the graph; raise KeyError where it has none."""
    return float(numpy_helper.to_array(_temperature(model)))


def set_temperature(model: ModelProto, value: float) -> None:
    """Put `value` (> 0) into the graph; raise ValueError or KeyError."""
    if not value > 0:
        raise ValueError(f"a temperature is above 0, got {value}")
    _temperature(model).CopyFrom(numpy_helper.from_array(np.array(value, np.float32), TEMPERATURE))


def _temperature(model: ModelProto) -> TensorProto:
    for tensor in model.graph.initializer:
        if tensor.name == TEMPERATURE:
            return tensor
    raise KeyError(f"the graph has no initializer `{TEMPERATURE}`; export it again")


def embed(model: ModelProto, manifest: Manifest) -> None:
    """Write the manifest into the file's metadata, in place of any before."""
    helper.set_model_props(model, {METADATA_KEY: manifest.model_dump_json()})


def manifest_of(model: ModelProto, where: str) -> Manifest:
    """Read the manifest back; raise ContractBroken naming `where`."""
    return Manifest.from_metadata({entry.key: entry.value for entry in model.metadata_props}, where)


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

    Fold before `append_temperature`: dividing by a temperature of 1 would be folded away too.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        result = onnx.load(path)
    standard = [entry for entry in result.opset_import if entry.domain == ""]
    del result.opset_import[:]
    result.opset_import.extend(standard)
    onnx.checker.check_model(result)
    return result


def run(model: ModelProto, faces: NDArray[np.uint8], threads: int = 2) -> NDArray[np.float32]:
    """Run a graph on faces uint8 [n, size, size, 3] in chunks of 8; float32 [n, 101]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    chunks = [faces[start : start + CHUNK] for start in range(0, len(faces), CHUNK)]
    return np.concatenate([session.run([OUTPUT_NAME], {INPUT_NAME: chunk})[0] for chunk in chunks])
