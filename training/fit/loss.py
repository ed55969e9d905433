"""The training loss as Keras expects it: one output tensor and one label tensor, packed.

Labels [b, 3 + T]: low, high, ramp, then the teacher's distribution and features where there is one. Outputs
[b, K + C]: the head's logits, then the student's guess at the teacher's features. Everything that changes from step to
step is passed as data, because JAX would compile a value that the loss closed over as a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from service.inference.distribution import AGES
from training.data.store import Batch
from training.model.age_model import AgeModel
from training.teaching.distillation import WIDE_LABEL
from training.teaching.teacher import Targets, Teacher

LABELS = 3
RAMP = 2


def trained_graph(network: AgeModel, teacher: Teacher | None) -> keras.Model:
    """Return the graph to train: the network, and a linear map to a teacher's features that is dropped afterwards."""
    if teacher is None or not teacher.features:
        return network
    imitation = keras.layers.Dense(teacher.features, dtype="float32", name="head_imitation")
    guess = imitation(network.get_layer("features").output)
    return keras.Model(network.input, keras.layers.Concatenate(dtype="float32")([network.output, guess]))


def packed_labels(batch: Batch, ramp: float, lessons: Targets | None, of_blends: bool = False) -> NDArray[np.float32]:
    """Return labels float32 [b, 3 + T] of a batch; `lessons` [b, T] are a teacher's targets.

    A mixed batch has twice as many columns and one more: its faces' labels, their partners', the faces' shares. Its
    ramp falls to 0 at equal shares, since the mean age of a child mixed with an old face means nothing. Lessons are of
    the faces before mixing, or with `of_blends` of the mixed ones, and then hold for both halves.
    """
    columns = np.stack([batch.low, batch.high, np.full(len(batch.low), ramp)], axis=1).astype(np.float32)
    labels = columns if lessons is None else np.concatenate([columns, lessons], axis=1)
    if batch.partners is None or batch.shares is None:
        return labels
    both = np.stack([labels, labels[batch.partners]])
    if of_blends:
        both[1, :, LABELS:] = labels[:, LABELS:]
    both[:, :, RAMP] *= 2 * batch.shares - 1
    return np.concatenate([*both, batch.shares[:, None]], axis=1)


def blend_consensus(labels: NDArray[np.float32], consensus: Targets, share: float, halves: int) -> None:
    """Replace a share 0..1 of the teacher's distribution in packed labels by the networks' mean prediction, [b, 101].

    Of mixed faces (2 `halves`) it holds for both. A face whose label is wider than ten years keeps half of its lesson:
    it says no age, and where the IMDB-WIKI network is the second teacher, that lesson is half its word.
    """
    width = labels.shape[1] // halves
    for start in range(0, halves * width, width):
        low, high = labels[:, start], labels[:, start + 1]
        part = share * np.where(high - low > WIDE_LABEL, 0.5, 1.0).astype(np.float32)[:, None]
        lesson = labels[:, start + LABELS : start + LABELS + AGES]
        lesson += part * (consensus - lesson)


def packed_loss(
    network: AgeModel, teacher: Teacher | None, teacher_weight: float, imitation_weight: float
) -> Callable[[Any, Any], Any]:
    """Return the loss [b] of packed labels and outputs.

    (1 - w)·head's loss + w·cross-entropy with the teacher's distribution + v·mean squared error of its features; of
    mixed faces the sum over both labels by their shares.
    """
    head = network.head
    ages = min(teacher.ages, head.taught_ages) if teacher else 0
    features = teacher.features if teacher else 0
    width = LABELS + ages + features

    def loss(labels: Any, outputs: Any) -> Any:
        own = of_one(labels[:, :width], outputs)
        if labels.shape[-1] == width:
            return own
        share = labels[:, -1]
        return share * own + (1 - share) * of_one(labels[:, width:-1], outputs)

    def of_one(labels: Any, outputs: Any) -> Any:
        logits = outputs[:, : head.units]
        total = head.loss(logits, labels[:, 0], labels[:, 1], labels[:, 2])
        if ages:
            taught = head.taught(logits, labels[:, LABELS : LABELS + ages])
            total = (1 - teacher_weight) * total + teacher_weight * taught
        if features:
            wrong = ops.square(outputs[:, head.units :] - labels[:, LABELS + ages :])
            total = total + imitation_weight * ops.mean(wrong, axis=-1)
        return total

    return loss
