"""A network that learns: one optimiser step, its average, and everything a checkpoint must hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from training.averaging import WeightAverage, assign, read
from training.checkpoint import Arrays
from training.config import Recipe, Stage
from training.data import Batch
from training.heads import AgeHead
from training.model import AgeModel
from training.optimizer import build_optimizer

Pmf = NDArray[np.float32]


class Learner:
    """Keras's own `train_on_batch` under a packed label, so that every backend runs the same loop."""

    def __init__(self, age_model: AgeModel, recipe: Recipe) -> None:
        """Take the network and start its average."""
        self.network = age_model
        self.recipe = recipe
        self.average = WeightAverage(self.network.weights, recipe.ema_decay)

    def begin(self, stage: Stage) -> None:
        """Set what is trainable and make the stage's optimiser."""
        self.network.backbone.trainable = stage.trainable == "all"
        self.optimizer = build_optimizer(stage, self.recipe.clip_norm, self.network.backbone_variables)
        self.optimizer.build(self.network.trainable_variables)
        # XLA only where the backend is XLA: it makes TensorFlow's step slower on a CPU.
        self.network.compile(
            self.optimizer, packed_loss(self.network.head), jit_compile=keras.backend.backend() == "jax"
        )

    def step(self, batch: Batch, rate: float, ramp: float) -> float:
        """Take one step at a learning rate; return the loss of the batch."""
        self.optimizer.learning_rate.assign(rate)
        loss = self.network.train_on_batch(batch.faces, packed_labels(batch, ramp))
        self.average.update()
        return float(np.asarray(loss).ravel()[0])

    def predict(self, faces: NDArray[np.uint8]) -> Pmf:
        """Return the distributions, float32 [b, 101], of faces uint8 [b, size, size, 3]."""
        logits = ops.convert_to_tensor(self.network.predict_on_batch(faces))
        return np.asarray(ops.convert_to_numpy(self.network.head.pmf(logits)), dtype=np.float32)

    def save_weights(self, path: Path) -> None:
        """Write the network's weights without the optimiser's, which Keras would add to a compiled model's."""
        keras.Model(self.network.inputs, self.network.outputs).save_weights(path)

    def state(self) -> tuple[Arrays, Arrays, Arrays]:
        """Return copies of the model's variables, of the average and of the optimiser's variables."""
        return read(self.network.variables), self.average.values, read(self.optimizer.variables)

    def restore(self, model: Arrays, average: Arrays, optimizer: Arrays, steps: int) -> None:
        """Take up what `state` returned; raise ValueError where it belongs to another network."""
        assign(self.network.variables, model)
        self.average.restore(average, steps)
        assign(self.optimizer.variables, optimizer)


def packed_labels(batch: Batch, ramp: float) -> NDArray[np.float32]:
    """Return float32 [b, 3]: low, high and the ramp, which must travel as data or JAX would freeze it."""
    ramps = np.full(len(batch.low), ramp)
    return np.stack([batch.low, batch.high, ramps], axis=1).astype(np.float32)


def packed_loss(head: AgeHead) -> Callable[[Any, Any], Any]:
    """Return the loss of `packed_labels` and logits, [b]."""

    def loss(labels: Any, logits: Any) -> Any:
        return head.loss(logits, labels[:, 0], labels[:, 1], labels[:, 2])

    return loss
