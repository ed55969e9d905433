"""Load the weights of an exported ONNX file into Keras, to continue training from them.

`models/coral-mobilenet.onnx` is one network, `models/ensemble-int8.onnx:1` the second one of an ensemble. Export folds
batch norms into the convolutions before them; the loaded network is folded too. Of weights in eight bits, what they
stand for is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from service.errors import InvalidParameter
from service.inference.manifest import Manifest
from training.model.age_model import AgeModel
from training.model.backbones import PREPROCESSING
from training.model.ordered_biases import OrderedBiases
from training.onnx_manifest import manifest_of, model_in
from training.weights.folded import add_only, pairs
from training.weights.shortcuts import SHORTCUT
from training.weights.store import HEAD_PREFIX

Array = NDArray[Any]

_DEPTHWISE: Final = (2, 3, 0, 1)
"""Axes of an ONNX kernel [C, 1, h, w] as Keras's depthwise one has them, [h, w, C, 1]."""
_FULL: Final = (2, 3, 1, 0)
"""Axes of an ONNX kernel [out, in, h, w] as Keras has them, [h, w, in, out]."""


_PART: Final = re.compile(r"(?P<path>.+\.onnx)(:(?P<part>\d+))?")
_MEMBER: Final = re.compile(r"^(member\d+_)+")
"""What an ensemble puts before the names of a member's tensors, see `training.export.ensemble`."""
GATE_FEATURES: Final = "gate_features"
"""What an ensemble calls the node that joins the features of its networks, in their order."""


def file_named(name: str | None) -> Path | None:
    """Return the file that initial weights are read from, FILE.onnx or FILE.onnx:PART; None where they are no file."""
    found = _PART.fullmatch(name or "")
    return Path(found["path"]) if found else None


@dataclass(frozen=True)
class ExportedFile:
    """One network of a file that `agelens-train export`, `quantize` or `ensemble` wrote, and the file's manifest.

    `nodes` are its part of the graph, `arrays` its weights by their names, float where they are stored in fewer bits;
    `part` is its number in an ensemble.
    """

    path: Path
    nodes: Sequence[NodeProto]
    arrays: Mapping[str, Array]
    manifest: Manifest
    part: int | None = None

    @classmethod
    def open(cls, name: str) -> ExportedFile:
        """Read FILE.onnx, or network PART (from 0) of an ensemble FILE.onnx:PART, as `model_in` does.

        Raises InvalidParameter where there is no such network, or the file has several and none is named.
        """
        found = _PART.fullmatch(name)
        if found is None:
            raise InvalidParameter(f"{name} is neither FILE.onnx nor FILE.onnx:PART")
        path = Path(found["path"])
        model = model_in(path)
        nodes: Sequence[NodeProto] = model.graph.node
        parts = next((list(node.input) for node in nodes if node.name == GATE_FEATURES), [])
        part = int(found["part"]) if found["part"] else None
        if parts:
            if part is None or part >= len(parts):
                raise InvalidParameter(
                    f"{path.name} has {len(parts)} networks, and training goes on from one: "
                    f"name {' or '.join(f'{path}:{number}' for number in range(len(parts)))}"
                )
            nodes = _of_part(model, parts[part])
        elif part is not None:
            raise InvalidParameter(f"{path.name} is one network: name it without :{found['part']}")
        manifest = manifest_of(model, path.name)
        if manifest.family == "ensemble" and not parts:
            raise InvalidParameter(
                f"{path.name} is the mean of several networks, and training goes on from one: name its file"
            )
        read = {name for node in nodes for name in node.input}
        arrays = {name: value for name, value in _floats(model).items() if name in read}
        return cls(path, nodes, arrays, manifest, part)

    @property
    def preprocessing(self) -> str:
        """What the network expects of its input, by what the file adds to it; raise InvalidParameter where unknown."""
        for name, (scale, mean) in PREPROCESSING.items():
            offset = np.array([-channel / scale for channel in mean], np.float32)
            # One for each colour, or planes of one number each where faces are shrunk first.
            if any(value.size == 3 and np.allclose(value.ravel(), offset, rtol=1e-4) for value in self.arrays.values()):
                return name
        raise InvalidParameter(f"{self.path.name} prepares its input in no way that is known here")

    def load_backbone(self, network: keras.Model) -> None:
        """Put the file's convolutions into a network of the same layers; raise InvalidParameter naming a misfit.

        Its batch norms are left as folded ones, to be un-folded before they are trained.
        """
        adds_up = any(layer.name.startswith(SHORTCUT) for layer in network.layers)
        if self.has_shortcuts and not adds_up:
            raise InvalidParameter(
                f"{self.path.name} does not fit {network.name}: its blocks add up what they are given; "
                "name the backbone that it was exported from"
            )
        paired = list(pairs(network))
        found = self._convolutions({each.name: pair[0].name for pair in paired for each in pair})
        missing = [layer.name for layer, _ in paired if layer.name not in found]
        if missing:
            raise InvalidParameter(
                f"{self.path.name} does not fit {network.name}: it lacks {missing[0]} ({len(missing)} missing); "
                "name the backbone that it was exported from"
            )
        for layer, norm in paired:
            kernel, bias = found[layer.name]
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            kernel = kernel.transpose(_DEPTHWISE if depthwise else _FULL)
            if tuple(layer.kernel.shape) != kernel.shape:
                raise InvalidParameter(
                    f"{self.path.name} does not fit {network.name}: {layer.name} has shape {kernel.shape}, "
                    f"it needs {tuple(layer.kernel.shape)}"
                )
            layer.kernel.assign(kernel)
            add_only(norm, bias)

    @property
    def shrunk_to(self) -> int | None:
        """Pixels a side that its network shrinks faces to first; None where it does not.

        What an ensemble resizes for a member that takes smaller faces is not its network's: it resizes to a size, a
        network by a scale.
        """
        resizes = [node for node in self.nodes if node.op_type == "Resize" and node.input[2]]
        return round(self.manifest.crop.size * float(self.arrays[resizes[0].input[2]][-1])) if resizes else None

    @property
    def has_shortcuts(self) -> bool:
        """Whether its network adds up what its blocks are given."""
        adds = (node for node in self.nodes if node.op_type == "Add")
        return any(name.startswith(SHORTCUT) for node in adds for name in _names_of(node))

    def load_head(self, model: AgeModel) -> list[str]:
        """Put into a model's head what the file has of it; return the names of layers that it lacks a variable of."""
        lacking = []
        for layer in (each for each in model.layers if each.name.startswith(HEAD_PREFIX)):
            arrays = [value for name, value in self.arrays.items() if layer.name in _layer_names(name)]
            if isinstance(layer, OrderedBiases):
                found = [value for value in arrays if value.shape == (len(layer.initial),)]
                for biases in found:
                    layer.take(biases)
                lacking += [] if found else [layer.name]
                continue
            for variable in layer.weights:
                fitting = [value for value in arrays if value.shape == tuple(variable.shape)]
                for value in fitting:
                    variable.assign(value)
                lacking += [] if fitting else [layer.name]
        return list(dict.fromkeys(lacking))

    def _convolutions(self, layers: Mapping[str, str]) -> dict[str, tuple[Array, Array]]:
        """Kernel and bias of each convolution, by what `layers` maps its name or its batch norm's to.

        Once folded into one, the tensors are called after either.
        """
        arrays, found = self.arrays, {}
        for node in self.nodes:
            if node.op_type != "Conv" or len(node.input) < 3:
                continue
            name = next((layers[name] for name in _names_of(node) if name in layers), None)
            if name is not None:
                found[name] = (arrays[node.input[1]], arrays[node.input[2]])
        return found


def _names_of(node: NodeProto) -> list[str]:
    return [name for text in (node.name, *node.input[1:], *node.output) for name in _layer_names(text)]


def _layer_names(text: str) -> list[str]:
    """Layers that a tensor may be called after: tf2onnx writes `model_1/layer_1/operation:0`, a number a call."""
    parts = [part for part in _MEMBER.sub("", text).replace(":", "/").split("/") if part]
    return [name for part in parts for name in (part, part.rpartition("_")[0]) if name]


def needed_for(names: Iterable[str], nodes: Sequence[NodeProto]) -> set[str]:
    """Return these tensors and all that they are computed from; the nodes are in a graph's order."""
    needed = set(names)
    for node in reversed(nodes):  # readers come before what they read
        if needed.intersection(node.output):
            needed.update(node.input)
    return needed


def _of_part(model: ModelProto, features: str) -> list[NodeProto]:
    """Return the nodes that compute a network's features, and those of its head, in the graph's order."""
    nodes, stored = model.graph.node, {tensor.name for tensor in model.graph.initializer}
    wanted = needed_for([features], nodes)
    head = {node.output[0] for node in nodes if node.op_type == "GlobalAveragePool" and node.output[0] in wanted}
    for node in nodes:  # a head reads features and weights; what reads other networks' features too is the gate
        read = [name for name in node.input if name and name not in stored]
        if read and head.issuperset(read):
            head.update(node.output)
    return [node for node in nodes if (wanted | head).intersection(node.output)]


def _floats(model: ModelProto) -> dict[str, Array]:
    """Return a graph's weights by the names that they are read under; those in eight bits or float16 as floats."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.input and node.input[0] in arrays and node.op_type == "DequantizeLinear":
            stored, scale, zero = (arrays[name] for name in node.input)
            axis = next((helper.get_attribute_value(each) for each in node.attribute if each.name == "axis"), 1)
            shape = [-1 if place == axis else 1 for place in range(stored.ndim)] if scale.ndim else []
            scale, zero = scale.reshape(shape), zero.astype(np.float32).reshape(shape)
            arrays[node.output[0]] = ((stored.astype(np.float32) - zero) * scale).astype(np.float32)
        elif node.input and node.input[0] in arrays and node.op_type == "Cast":
            arrays[node.output[0]] = arrays[node.input[0]].astype(np.float32)
    return arrays
