"""The network that proposes faces: targets, layers, loss and training."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections import abc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final, Self

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, track

from service.inference.detection.face_proposals import STRIDE
from service.inference.faces import Pixels
from training.face_proposals.scenes import SceneFace, Scenes

SIDES: Final = (256, 512)
"""Pixels a side of the scenes to learn from: large ones hold faces up to the whole of what the network is shown."""

LARGE_EVERY: Final = 3
"""Every so many steps learn from large scenes; others from small ones, of which a batch holds four times as many."""

BATCH_PIXELS: Final = 32 * 256**2
RATE: Final = 3e-3
CHANNELS: Final = ("heat", "near", "x", "y", "width", "cosine", "sine")
"""What the loss is told of each cell, see `targets`."""

_KEPT_EVERY: Final = 500  # steps
_TURNED: Final = 0.5  # share of the scenes that are shown on their side or their head

Maps = NDArray[np.float32]


def targets(faces: Sequence[SceneFace], height: int, width: int) -> Maps:
    """Return the training targets of a scene, float32 [height / 8, width / 8, 7], see `CHANNELS`.

    `heat` is 1 in the cell of a face's centre and falls off around it as a Gaussian (Zhou et al. 2019, Objects as
    Points, section 3), `near` weighs the cells that must know the face, whose place from the cell's middle in cells,
    log width in cells, and direction from right to left eye follow.
    """
    wanted = np.zeros((height // STRIDE, width // STRIDE, len(CHANNELS)), np.float32)
    rows, columns = np.mgrid[: wanted.shape[0], : wanted.shape[1]].astype(np.float32) + 0.5
    for face in sorted(faces, key=lambda face: -face.width):
        x, y, size = face.x / STRIDE - columns, face.y / STRIDE - rows, face.width / STRIDE
        bell = np.exp(-(x**2 + y**2) / (2 * float(np.clip(size / 8, 0.6, 3.0)) ** 2))
        middle = (np.abs(x) <= 0.5) & (np.abs(y) <= 0.5)
        bell = np.where(middle, 1.0, np.minimum(bell, 0.95))
        wanted[..., 0] = np.maximum(wanted[..., 0], bell)
        near = bell > 0.3
        about = (math.log(size), math.cos(face.turn), math.sin(face.turn))
        wanted[near, 1] = bell[near]
        wanted[near, 2:4] = np.stack([x, y], -1)[near]
        wanted[near, 4:7] = about
    return wanted


def build_proposer() -> Any:
    """Build the network: float [b, h, w, 3], 0..255, sides multiples of 32 → raw answers [b, h/8, w/8, 6].

    The answers are a logit, x and y in cells from the cell's middle, log width in cells, cosine and sine.
    """
    import keras
    from keras import layers

    from training.model.fast_layers import FusedBatchNormalization

    def block(x: Any, units: int, strides: int = 1, kernel: int = 3) -> Any:
        x = layers.SeparableConv2D(units, kernel, strides, "same", use_bias=False)(x)
        return layers.ReLU()(FusedBatchNormalization(momentum=0.97)(x))

    def enlarged(x: Any, units: int) -> Any:
        return layers.UpSampling2D(2)(layers.Conv2D(units, 1)(x))

    pixels = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 64, offset=-2.0)(pixels)
    # No batch norm at half the picture's size: it would take a third of the training's time.
    x = layers.Conv2D(16, 3, 2, "same", activation="relu")(x)
    x = block(block(x, 24, 2), 24)
    fine = block(block(x, 40, 2), 48)
    middle = block(block(fine, 64, 2), 64)
    coarse = block(middle, 64, 2)
    for _ in range(3):  # 5 × 5 cells of a 32nd of the picture each: at the end each sees a face that fills the picture
        coarse = block(coarse, 64, kernel=5)
    middle = block(layers.Add()([middle, enlarged(coarse, 64)]), 64)
    x = block(block(layers.Add()([fine, enlarged(middle, 48)]), 48), 48)
    unlikely = keras.initializers.Constant(-4.0)
    heat = layers.Conv2D(1, 1, bias_initializer=unlikely, name="heat")(x)
    return keras.Model(pixels, layers.Concatenate()([heat, layers.Conv2D(5, 1, name="about")(x)]), name="proposer")


def proposal_loss(truth: Any, answer: Any) -> Any:
    """Return one number for truths [b, h, w, 7] and raw answers [b, h, w, 6].

    The penalty-reduced focal loss of Zhou et al. (2019), equation 1, per face, plus the errors of what is said
    about faces, mean over the cells that know one.
    """
    from keras import ops

    heat, near = truth[..., 0], truth[..., 1]
    logit = answer[..., 0]
    chance = ops.sigmoid(logit)
    found = ops.cast(heat == 1, "float32")
    hit = found * (1 - chance) ** 2 * ops.softplus(-logit)
    false = (1 - found) * (1 - heat) ** 4 * chance**2 * ops.softplus(logit)
    said = ops.abs(answer[..., 1:] - truth[..., 2:7])
    # A cell's width of error in the place matters less the wider the face is.
    size = ops.exp(truth[..., 4:5])
    # Squared errors of the turn: absolute ones are least where every face is called upright, as most are.
    turn = 2 * said[..., 3:] ** 2
    said = ops.concatenate([said[..., :2] / ops.maximum(size, 1.0) * 3, 2 * said[..., 2:3], turn], -1)
    about = ops.sum(ops.sum(said, -1) * near) / (ops.sum(near) + 1)
    return ops.sum(hit + false) / (ops.sum(found) + 1) + about / 2


@dataclass(frozen=True, slots=True)
class Pool:
    """Composed scenes, uint8 [n, side, side, 3], and the faces of each."""

    pictures: Pixels
    faces: list[list[SceneFace]]

    @classmethod
    def composed(cls, scenes: Scenes, count: int, folder: Path, seed: int, side: int = SIDES[0]) -> Self:
        """Compose `count` scenes into `folder`, or take those that lie there since an earlier run."""
        name = f"scenes-{count}-{side}-{seed}"
        drawn, named = folder / f"{name}.npy", folder / f"{name}.json"
        if not named.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            pictures = np.lib.format.open_memmap(drawn, "w+", np.uint8, (count, side, side, 3))
            faces: list[list[SceneFace]] = []
            with ThreadPoolExecutor() as threads:
                made = threads.map(lambda number: scenes.scene(_generator(seed, number), side, side), range(count))
                for number, (picture, held) in enumerate(track(made, "composing scenes", count)):
                    pictures[number] = picture
                    faces.append(held)
            pictures.flush()
            named.write_text(json.dumps([[astuple(face) for face in held] for held in faces]))
        rows = json.loads(named.read_text())
        return cls(np.load(drawn, mmap_mode="r"), [[SceneFace(*face) for face in held] for held in rows])

    def batches(self, seed: int) -> abc.Generator[tuple[Maps, Maps], None, None]:
        """Yield batches without end, each scene once before any again: pictures [b, s, s, 3] and truths."""
        rng, size = np.random.default_rng(seed), BATCH_PIXELS // self.pictures[0, ..., 0].size
        rounds = (rng.permutation(len(self.faces)) for _ in itertools.count())
        order = itertools.chain.from_iterable(rounds)
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(self._batch, rng, list(itertools.islice(order, size)))
            while True:
                ready = coming.result()
                coming = thread.submit(self._batch, rng, list(itertools.islice(order, size)))
                yield ready

    def _batch(self, rng: Generator, numbers: Sequence[int]) -> tuple[Maps, Maps]:
        pairs = [varied(rng, self.pictures[number], self.faces[number]) for number in numbers]
        truths = np.stack([targets(faces, *picture.shape[:2]) for picture, faces in pairs])
        return np.stack([picture for picture, _ in pairs]).astype(np.float32), truths


def varied(rng: Generator, picture: Pixels, faces: Sequence[SceneFace]) -> tuple[Pixels, list[SceneFace]]:
    """Augment a scene: turn it by quarters, mirror it, change light and colours."""
    shown, held = picture, list(faces)
    for _ in range(int(rng.integers(1, 4)) if rng.random() < _TURNED else 0):
        held = [face.quarter_turned(shown.shape[1]) for face in held]
        shown = np.rot90(shown)
    if rng.random() < 0.5:
        shown, held = shown[:, ::-1], [face.mirrored(shown.shape[1]) for face in held]
    if rng.random() < 0.7:
        bent = (np.arange(256)[:, None] / 255) ** np.exp(rng.uniform(-0.35, 0.35, 3)) * rng.uniform(0.8, 1.2, 3)
        shown = cv2.LUT(np.ascontiguousarray(shown), np.clip(255 * bent, 0, 255).astype(np.uint8)[None])
    return np.asarray(shown, np.uint8), held


def train_proposer(
    pools: Sequence[Pool], minutes: float, weights: Path, seed: int = 0, start_from: Path | None = None
) -> Any:
    """Train for so many minutes and return the Keras model; the rate falls to nothing as the time runs out.

    `pools` are small and large scenes. The weights are kept in `weights`, now and then and at the end; those of an
    earlier run may be started from.
    """
    import keras

    keras.utils.set_random_seed(seed)
    model = build_proposer()
    if start_from:
        model.load_weights(start_from)
    model.compile(keras.optimizers.AdamW(RATE, weight_decay=1e-4, clipnorm=10.0), proposal_loss)
    columns = TextColumn("step {task.fields[steps]}  loss {task.fields[loss]:.4f}"), BarColumn(), TimeRemainingColumn()
    start, mean, streams = time.monotonic(), 0.0, [pool.batches(seed) for pool in pools]
    with Progress(*columns) as bar:
        task = bar.add_task("proposer", total=1.0, loss=float("nan"), steps=0)
        for step in itertools.count(1):
            share = (time.monotonic() - start) / (60 * minutes)
            if share >= 1:
                break
            model.optimizer.learning_rate = RATE * min(1.0, step / 100) * (1 + math.cos(math.pi * share)) / 2
            model.reset_metrics()  # the loss of this step alone
            loss = float(np.asarray(model.train_on_batch(*next(streams[step % LARGE_EVERY == 0]))).ravel()[0])
            mean += (loss - mean) / min(step, 100)
            bar.update(task, completed=share, loss=mean, steps=step)
            if step % _KEPT_EVERY == 0:
                model.save_weights(weights)
    for stream in streams:
        stream.close()
    model.save_weights(weights)
    return model


def _generator(seed: int, number: int) -> Generator:
    return np.random.default_rng((seed, number))
