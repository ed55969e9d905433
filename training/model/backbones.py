"""Backbones: RGB faces in 0..255, float [b, size, size, 3], to features, float [b, C].

The first layer, `preprocessing`, scales the input as the initial weights expect it, so it is saved with them.
Weights trained on BGR are loaded with the first kernel's channels swapped, which is the same function of RGB.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import keras

from service.errors import InvalidParameter
from training.model.fast_layers import with_fast_layers
from training.model.resnets import resnet29, resnet34, separable_resnet
from training.weights.store import load_source, source_for

Tensor = Any

PREPROCESSING: Final[dict[str, tuple[float, tuple[float, float, float]]]] = {
    "symmetric": (127.5, (127.5, 127.5, 127.5)),
    "imagenet-mean": (1.0, (123.68, 116.779, 103.939)),
    "dlib": (256.0, (122.782, 117.001, 104.298)),
}
"""Names to (scale, RGB mean): the network sees (x − mean) / scale."""

SMALLEST_SIZE: Final = 32


def build_backbone(
    name: str,
    size: int,
    weights: str | Path | None = None,
    *,
    preprocessing: str | None = None,
    momentum: float = 0.97,
    shrunk_to: int | None = None,
) -> keras.Model:
    """Build a network from RGB faces in 0..255, float [b, size, size, 3], to features [b, C].

    `weights` is None (random), a name (`imagenet`, `vggface2`, `dlib`) or an .npz file of `<layer>/<variable>` arrays.
    `preprocessing` is given by the weights; name it to build the network without them, or for a file of one's own.
    `momentum` is that of every batch normalisation: 0.97 follows new faces within a hundred steps. `shrunk_to` has the
    network shrink its faces to that many pixels a side first (bilinear): half the side is a quarter of the work.
    Raises InvalidParameter naming what is unknown, and FileMissing where named weights are not fetched yet.
    """
    if name not in BACKBONES:
        raise InvalidParameter(f"no backbone is called {name!r}; there are {', '.join(sorted(BACKBONES))}")
    side = size if shrunk_to is None else shrunk_to
    if not SMALLEST_SIZE <= side <= size:
        raise InvalidParameter(
            f"a backbone needs faces of at least {SMALLEST_SIZE} pixels a side, and can shrink them: got {size}"
            + ("" if shrunk_to is None else f", shrunk to {shrunk_to}")
        )
    source = source_for(name, weights) if weights is not None else None
    kind = preprocessing or (source.preprocessing if source else None) or "symmetric"
    faces = keras.Input((size, size, 3), name="faces")
    # Not a layer `Resizing`: called without `training`, it puts the layers behind it into training mode.
    seen = faces if side == size else keras.ops.image.resize(faces, (side, side))
    last_map = BACKBONES[name](_preprocessed(seen, kind))
    features = keras.layers.GlobalAveragePooling2D(name="features")(last_map)
    model = with_fast_layers(keras.Model(faces, features, name=name), momentum)
    if source:
        load_source(model, source)
    return model


def _preprocessed(faces: Tensor, kind: str) -> Tensor:
    if kind not in PREPROCESSING:
        raise InvalidParameter(f"no preprocessing is called {kind!r}; there are {', '.join(sorted(PREPROCESSING))}")
    scale, mean = PREPROCESSING[kind]
    offset = [-channel / scale for channel in mean]
    return keras.layers.Rescaling(1 / scale, offset, dtype="float32", name="preprocessing")(faces)


def _application(build: Callable[..., keras.Model]) -> Callable[[Tensor], Tensor]:
    def last_map(faces: Tensor) -> Tensor:
        return build(include_top=False, weights=None, input_tensor=faces, input_shape=faces.shape[1:]).output

    return last_map


BACKBONES: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "mobilenet": _application(keras.applications.MobileNet),
    "separable_resnet": separable_resnet,
    "resnet29": resnet29,
    "resnet34": resnet34,
    "resnet50": _application(keras.applications.ResNet50),
    "inception_v3": _application(keras.applications.InceptionV3),
}
"""Names to what maps preprocessed faces to the last feature map."""
