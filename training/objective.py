"""What a training step minimises, as Keras wants it: one output and one label tensor, packed.

Labels [b, 3 + T]: low, high, ramp, then the teacher's distribution and features where there is one. Outputs
[b, K + A + C]: the head's logits, an auxiliary head's, then the student's guess at the teacher's features. Everything
that changes from step to step travels as data, because JAX would freeze a value that the loss closed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from training.data import Batch
from training.heads import AgeHead
from training.model import AgeModel
from training.teacher import Targets, Teacher

LABELS = 3


def trained_graph(network: AgeModel, teacher: Teacher | None, auxiliary: AgeHead | None = None) -> keras.Model:
    """Return what is trained: the network, and what it learns through but does not keep.

    That is an auxiliary head on its features, and a linear map from them to the teacher's features.
    """
    features = network.get_layer("features").output
    outputs = [network.output]
    if auxiliary is not None:
        outputs.append(auxiliary.logits(features))
    if teacher is not None and teacher.features:
        outputs.append(keras.layers.Dense(teacher.features, dtype="float32", name="head_imitation")(features))
    if len(outputs) == 1:
        return network
    return keras.Model(network.input, keras.layers.Concatenate(dtype="float32")(outputs))


def packed_labels(batch: Batch, ramp: float, lessons: Targets | None) -> NDArray[np.float32]:
    """Return labels float32 [b, 3 + T] of a batch; `lessons` [n, T] are looked up by the faces' places."""
    columns = np.stack([batch.low, batch.high, np.full(len(batch.low), ramp)], axis=1).astype(np.float32)
    return columns if lessons is None else np.concatenate([columns, lessons[batch.places]], axis=1)


def packed_loss(
    network: AgeModel,
    teacher: Teacher | None,
    teacher_weight: float,
    imitation_weight: float,
    auxiliary: AgeHead | None = None,
    auxiliary_weight: float = 1.0,
) -> Callable[[Any, Any], Any]:
    """Return the loss [b] of packed labels and outputs.

    (1 - w)·head's loss + w·cross-entropy with the teacher's distribution + v·mean squared error of its features
    + u·auxiliary head's loss.
    """
    head = network.head
    ages = teacher.ages if teacher else 0
    features = teacher.features if teacher else 0
    extra = auxiliary.units if auxiliary else 0

    def loss(labels: Any, outputs: Any) -> Any:
        logits = outputs[:, : head.units]
        total = head.loss(logits, labels[:, 0], labels[:, 1], labels[:, 2])
        if ages:
            taught = -ops.sum(labels[:, LABELS : LABELS + ages] * head.log_pmf(logits), axis=-1)
            total = (1 - teacher_weight) * total + teacher_weight * taught
        if auxiliary:
            others = outputs[:, head.units : head.units + extra]
            total = total + auxiliary_weight * auxiliary.loss(others, labels[:, 0], labels[:, 1], labels[:, 2])
        if features:
            wrong = ops.square(outputs[:, head.units + extra :] - labels[:, LABELS + ages :])
            total = total + imitation_weight * ops.mean(wrong, axis=-1)
        return total

    return loss
