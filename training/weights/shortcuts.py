"""Give a network of blocks without shortcuts those of a residual one, and keep what it knows.

x + F'(x) is to be what F(x) was. A shortcut brings x, so the last convolution of F', a product of its input h with one
matrix, has to take it off again. That works as far as x can be told from h, and h is x seen through one convolution:
the matrix and bias of the least squared error are found block by block from the first, each with what the blocks before
it now give, as He, Zhang and Sun (2017, "Channel pruning for accelerating very deep neural networks", section 3.2) mend
a network whose channels they took out. No step of training is needed.
"""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from service.inference.distribution import Floats
from training.weights.folded import add_only

SHORTCUT: Final = "shortcut_"
"""What adds up a block is named so, with the block's number after it."""

BLOCKS: Final = 13
"""Of MobileNet, and so of `separable_resnet`."""

ROWS: Final = 20_000
"""Places of the maps of one batch that are looked at, at most: early maps have many, and need few."""

RESTRAINT: Final = 1e-5
"""Ridge, as a share of the inputs' mean square."""


def fit_shortcuts(plain: keras.Model, residual: keras.Model, faces: NDArray[np.uint8], batch: int = 32) -> None:
    """Set pointwise convolutions and norms of a `separable_resnet` that holds `plain`'s, a MobileNet's, weights.

    Faces are uint8 [n, size, size, 3], some hundred of the training set.
    """
    if not len(faces):
        raise ValueError("shortcuts are fitted with faces; got none")
    for block in track(range(1, BLOCKS + 1), "fitting shortcuts", console=Console(stderr=True), transient=True):
        _fit_block(plain, residual, block, faces, batch)


def _fit_block(plain: keras.Model, residual: keras.Model, block: int, faces: NDArray[np.uint8], batch: int) -> None:
    name = f"conv_pw_{block}"
    shortcut, _ = residual.get_layer(f"{SHORTCUT}{block}").input
    given = keras.Model(residual.input, [shortcut, residual.get_layer(f"conv_dw_{block}_relu").output])
    wanted = keras.Model(plain.input, plain.get_layer(f"{name}_bn").output)
    size, width = given.output[1].shape[-1] + 1, wanted.output.shape[-1]
    squares, products = np.zeros((size, size)), np.zeros((size, width))
    rng = np.random.default_rng(0)
    for start in range(0, len(faces), batch):
        some = faces[start : start + batch].astype(np.float32)
        x, hidden = (_rows(each) for each in given.predict_on_batch(some))
        target = _rows(wanted.predict_on_batch(some))
        chosen = rng.permutation(len(x))[:ROWS]
        inputs = np.concatenate([hidden[chosen], np.ones((len(chosen), 1))], axis=1)
        squares, products = squares + inputs.T @ inputs, products + inputs.T @ (target[chosen] - x[chosen])
    found = np.linalg.solve(squares + np.eye(size) * RESTRAINT * np.trace(squares) / size, products)
    residual.get_layer(name).kernel.assign(found[None, None, :-1].astype(np.float32))
    add_only(residual.get_layer(f"{name}_bn"), found[-1])


def _rows(maps: Any) -> Floats:
    """Return maps [b, h, w, C] as rows, float64 [b·h·w, C]."""
    values = np.asarray(keras.ops.convert_to_numpy(maps), dtype=np.float64)
    return values.reshape(-1, values.shape[-1])
