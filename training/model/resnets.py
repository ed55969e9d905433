"""Residual networks that keras.applications lacks: ResNet-34, dlib's 29 convolutions, and one grown from MobileNet."""

from __future__ import annotations

from typing import Any, Final

import keras
from keras import layers, ops

from training.weights.store import GROWN_PREFIX

Tensor = Any

GROWN_AFTER: Final = (8, 11, 13)
"""Blocks of MobileNet that are followed by a residual one: two of 512 channels and the last, of 1024."""


def resnet29(faces: Tensor) -> Tensor:
    """Last feature map of dlib's face recognition network (King 2017): ResNet-34's plan at half width, 29 convolutions.

    Valid padding where it halves, and zeros appended where the two sides of a block differ. Faces of less than about
    100 pixels leave it a map of less than 3×3 before the end, which is padded instead.
    """
    x = _unit(faces, 32, 7, 2, "conv32_down", padding="valid")
    x = layers.MaxPooling2D(3, 2, name="pool")(layers.ReLU(name="conv32_down_relu")(x))
    for width, blocks in ((32, 3), (64, 3), (128, 2), (256, 2)):
        if width > 32:
            x = _dlib_block(x, width, 2, f"conv{width}_down")
        for block in range(1, blocks + 1):
            x = _dlib_block(x, width, 1, f"conv{width}_{block}")
    return _dlib_block(x, 256, 2, "conv256_down_out")


def _dlib_block(x: Tensor, width: int, stride: int, name: str) -> Tensor:
    padding = "valid" if stride > 1 and min(x.shape[1:3]) >= 3 else "same"
    y = _unit(x, width, 3, stride, f"{name}_conv1", padding=padding)
    y = _unit(layers.ReLU(name=f"{name}_conv1_relu")(y), width, 3, 1, f"{name}_conv2")
    if stride > 1:
        x = layers.AveragePooling2D(2, 2, padding, name=f"{name}_pool")(x)
    shape = [max(sides) for sides in zip(x.shape[1:], y.shape[1:], strict=True)]
    total = layers.Add(name=f"{name}_add")([_grown(x, shape), _grown(y, shape)])
    return layers.ReLU(name=f"{name}_relu")(total)


def _grown(x: Tensor, shape: list[int]) -> Tensor:
    """Append zeros below, to the right and as channels, until x has `shape`."""
    missing = [want - have for want, have in zip(shape, x.shape[1:], strict=True)]
    return ops.pad(x, [[0, 0], *([0, more] for more in missing)]) if any(missing) else x


def mobile_resnet(faces: Tensor) -> Tensor:
    """Last feature map of MobileNet with residual bottlenecks that change nothing until they have learnt to.

    What an add is given by its branch is scaled by a batch norm whose gamma starts at 0 (Goyal et al. 2017, section
    5.1), so the network starts as the MobileNet whose weights it is given (Chen, Goodfellow and Shlens 2016, section
    2.4, grow networks so): the one way to a residual network that knows as many faces as VGGFace2's MobileNet.
    """
    chain = keras.applications.MobileNet(include_top=False, weights=None, input_shape=faces.shape[1:])
    grown = {f"conv_pw_{block}_relu": block for block in GROWN_AFTER}
    x = faces
    for layer in chain.layers[1:]:
        x = layer(x)
        if layer.name in grown:
            x = _bottleneck(x, f"{GROWN_PREFIX}{grown[layer.name]}")
    return x


def _bottleneck(x: Tensor, name: str) -> Tensor:
    """Narrow to a quarter, 3×3, widen again (He, Zhang, Ren and Sun 2016, section 4.1); x as it is at the start."""
    width = x.shape[-1]
    y = layers.ReLU(name=f"{name}_1_relu")(_unit(x, width // 4, 1, 1, f"{name}_1"))
    y = layers.ReLU(name=f"{name}_2_relu")(_unit(y, width // 4, 3, 1, f"{name}_2"))
    y = _unit(y, width, 1, 1, f"{name}_3", gamma="zeros")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


def resnet34(faces: Tensor) -> Tensor:
    """Last feature map of ResNet-34 (He, Zhang, Ren and Sun 2016, table 1), projection where the width changes."""
    x = layers.ZeroPadding2D(3, name="conv1_pad")(faces)
    x = layers.ReLU(name="conv1_relu")(_unit(x, 64, 7, 2, "conv1", padding="valid"))
    x = layers.MaxPooling2D(3, 2, name="pool1")(layers.ZeroPadding2D(1, name="pool1_pad")(x))
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=2):
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 and stage > 2 else 1
            x = _basic_block(x, width, stride, f"conv{stage}_block{block}")
    return x


def _basic_block(x: Tensor, width: int, stride: int, name: str) -> Tensor:
    y = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    y = layers.ReLU(name=f"{name}_1_relu")(_unit(y, width, 3, stride, f"{name}_1", padding="valid"))
    y = _unit(y, width, 3, 1, f"{name}_2")
    if stride > 1:
        x = _unit(x, width, 1, stride, f"{name}_0")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


def _unit(
    x: Tensor, width: int, kernel: int, stride: int, name: str, padding: str = "same", gamma: str = "ones"
) -> Tensor:
    """Convolution and batch normalisation, which makes a bias of the convolution's own superfluous."""
    x = layers.Conv2D(width, kernel, stride, padding, use_bias=False, kernel_initializer="he_normal", name=name)(x)
    return layers.BatchNormalization(gamma_initializer=gamma, name=f"{name}_bn")(x)
