"""Load the weights of an exported ONNX file into Keras, to continue training from them.

Export folds batch norms into the convolutions before them; the loaded network is folded too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

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

SUFFIX: Final = ".onnx"
_DEPTHWISE: Final = (2, 3, 0, 1)
"""Axes of an ONNX kernel [C, 1, h, w] as Keras's depthwise one has them, [h, w, C, 1]."""
_FULL: Final = (2, 3, 1, 0)
"""Axes of an ONNX kernel [out, in, h, w] as Keras has them, [h, w, in, out]."""


@dataclass(frozen=True)
class ExportedFile:
    """A float32 file that `agelens-train export` wrote: its graph and its manifest."""

    path: Path
    model: onnx.ModelProto
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> ExportedFile:
        """Read a file as `model_in` does; raise InvalidParameter where it is not float32 or of two networks."""
        model = model_in(path)
        manifest = manifest_of(model, path.name)
        if manifest.precision != "float32" or manifest.family == "ensemble":
            raise InvalidParameter(
                f"{path.name} is an {manifest.precision} {manifest.family}; training goes on from the float32 file of "
                "one network"
            )
        return cls(path, model, manifest)

    @property
    def preprocessing(self) -> str:
        """What the network expects of its input, by what the file adds to it; raise InvalidParameter where unknown."""
        for name, (scale, mean) in PREPROCESSING.items():
            offset = np.array([-channel / scale for channel in mean], np.float32)
            # One for each colour, or planes of one number each where faces are shrunk first.
            if any(
                value.size == 3 and np.allclose(value.ravel(), offset, rtol=1e-4) for value in self._arrays.values()
            ):
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
        """Pixels a side that its network shrinks faces to first; None where it does not."""
        resizes = [node for node in self.model.graph.node if node.op_type == "Resize"]
        return round(self.manifest.crop.size * float(self._arrays[resizes[0].input[2]][-1])) if resizes else None

    @property
    def has_shortcuts(self) -> bool:
        """Whether its network adds up what its blocks are given."""
        adds = (node for node in self.model.graph.node if node.op_type == "Add")
        return any(name.startswith(SHORTCUT) for node in adds for name in _names_of(node))

    def load_head(self, model: AgeModel) -> list[str]:
        """Put into a model's head what the file has of it; return the names of layers that it lacks a variable of."""
        lacking = []
        for layer in (each for each in model.layers if each.name.startswith(HEAD_PREFIX)):
            arrays = [value for name, value in self._arrays.items() if layer.name in _layer_names(name)]
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

    @property
    def _arrays(self) -> dict[str, Array]:
        return {tensor.name: numpy_helper.to_array(tensor) for tensor in self.model.graph.initializer}

    def _convolutions(self, layers: Mapping[str, str]) -> dict[str, tuple[Array, Array]]:
        """Kernel and bias of each convolution, by what `layers` maps its name or its batch norm's to.

        Once folded into one, the tensors are called after either.
        """
        arrays, found = self._arrays, {}
        for node in self.model.graph.node:
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
    parts = [part for part in text.replace(":", "/").split("/") if part]
    return [name for part in parts for name in (part, part.rpartition("_")[0]) if name]
