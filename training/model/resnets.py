"""Residual networks that keras.applications lacks: ResNet-34, dlib's 29 convolutions, and a separable one."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from training.weights.shortcuts import SHORTCUT

Tensor = Any


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


def separable_resnet(faces: Tensor) -> Tensor:
    """Last feature map of a residual network of 27 convolutions that are separable, as MobileNet's are.

    Each block is ReLU(x + F(x)) (He, Zhang, Ren and Sun 2016, equation 1), F a depthwise 3×3 convolution and a
    pointwise one: the grouped convolutions of ResNeXt (Xie et al. 2017, section 3) with a group for each channel. Where
    a block halves or widens, its shortcut is the mean of 2×2 and zeros for the new channels (He et al., section 3.3,
    option A). Layers are called as MobileNet's, so that its weights can be a start (`training.weights.shortcuts`).
    """
    chain = keras.applications.MobileNet(include_top=False, weights=None, input_shape=faces.shape[1:])
    x = block_input = faces
    for layer in chain.layers[1:]:
        number = layer.name.removeprefix("conv_pad_").removeprefix("conv_dw_")
        if number.isdigit() and block_input is None:
            block_input = x
        if layer.name.startswith("conv_pw_") and layer.name.endswith("_relu"):
            name = layer.name.removesuffix("_relu").replace("conv_pw_", SHORTCUT)
            x = layers.Add(name=name)([_shaped(block_input, x, name), x])
            x, block_input = layers.ReLU(name=layer.name)(x), None
        else:
            x = layer(x)
            block_input = None if layer.name == "conv1_relu" else block_input
    return x


def _shaped(x: Tensor, y: Tensor, name: str) -> Tensor:
    """Return what a block is given in the shape of what its branch gives."""
    if x.shape[1] != y.shape[1]:
        x = layers.AveragePooling2D(2, 2, name=f"{name}_pool")(x)
    return _grown(x, list(y.shape[1:]))


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


def _unit(x: Tensor, width: int, kernel: int, stride: int, name: str, padding: str = "same") -> Tensor:
    """Convolution and batch normalisation, which makes a bias of the convolution's own superfluous."""
    x = layers.Conv2D(width, kernel, stride, padding, use_bias=False, kernel_initializer="he_normal", name=name)(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)
