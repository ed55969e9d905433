"""One training step: the network, its optimiser, its weight average, and the state of all three."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from service.inference.distribution import AGES
from training.data.store import Batch
from training.fit.checkpoint import Variables
from training.fit.loss import blend_consensus, packed_labels, packed_loss, trained_graph
from training.fit.optimizer import build_optimizer
from training.fit.weight_average import WeightAverage, assign, read
from training.model.age_model import AgeModel
from training.recipes.recipe import Recipe, Stage
from training.run_folder import BEST, replace_file
from training.teaching.distillation import as_drawn, as_one, trust
from training.teaching.teacher import Targets, Teacher

Pmf = NDArray[np.float32]


def distributions(network: AgeModel, faces: NDArray[np.uint8]) -> Pmf:
    """Return a network's distributions, float32 [b, 101], of faces uint8 [b, size, size, 3]."""
    logits = ops.convert_to_tensor(network.predict_on_batch(faces))
    return np.asarray(ops.convert_to_numpy(network.head.pmf(logits)), dtype=np.float32)


class Learner:
    """A network and its optimiser; steps go through Keras's `train_on_batch`, so every backend runs the same loop.

    docs/adr/0016 measures why it is not `fit`.
    """

    def __init__(self, network: AgeModel, recipe: Recipe, teacher: Teacher | None = None) -> None:
        """Take the network and start its average; a teacher adds its targets to every label."""
        self.network = network
        self.recipe = recipe
        self.teacher = teacher
        self.trained = trained_graph(network, teacher)
        self.average = WeightAverage(self.network.weights, recipe.ema_decay)

    def begin(
        self,
        stage: Stage,
        lessons: Targets | None = None,
        shares: NDArray[np.float32] | None = None,
        place: int = 0,  # noqa: ARG002 - `Together` has recipes with stages of their own
    ) -> None:
        """Set what is trainable and make the stage's optimiser.

        `lessons` are the teacher's targets for the stage's clean faces; without them the teacher is run on every batch.
        `shares` [101] are `drawn_shares` of the stage's faces; without them a teacher's words are taken as they are.
        """
        self.lessons, self.shares = lessons, shares
        # Layer by layer: setting a frozen model's own `trainable` back to True leaves its layers frozen.
        still = self._still(stage.trainable)
        for layer in self.network.backbone.layers:
            layer.trainable = layer.name not in still
        self.optimizer = build_optimizer(stage, self.recipe.clip_norm, self.network.backbone_variables)
        self.optimizer.build(self.trained.trainable_variables)
        # XLA only where the backend is XLA: it makes TensorFlow's step slower on a CPU.
        loss = packed_loss(self.network, self.teacher, self.recipe.teacher_weight, self.recipe.imitation_weight)
        self.trained.compile(self.optimizer, loss, jit_compile=keras.backend.backend() == "jax")

    def _still(self, trainable: str) -> set[str]:
        """Return the names of the backbone's layers that stay as they are; raise InvalidParameter for one it lacks."""
        if trainable == "all":
            return set()
        layers = self.network.backbone.layers if trainable == "head" else self.network.layers_before(trainable)
        return {layer.name for layer in layers}

    @property
    def wants_framed(self) -> bool:
        """Whether a step needs the faces as they were before light and detail were augmented."""
        return self.teacher is not None and self.recipe.teacher_sees == "framed"

    @property
    def taught_ages(self) -> int:
        """Probabilities of a teacher's answer that the head keeps."""
        return self.network.head.taught_ages

    def step(self, batch: Batch, rate: float, ramp: float, done: float) -> float:  # noqa: ARG002 - `Together` asks how far
        """Take one step at a learning rate, `done` 0..1 of the stage before it; return the loss of the batch."""
        return self.learn(batch, rate, ramp)

    def learn(self, batch: Batch, rate: float, ramp: float, said: Targets | None = None, share: float = 0.0) -> float:
        """Learn from one batch; return its loss.

        `said` [b, 101] is what several networks say of its faces; it takes a `share` 0..1 of the lessons' place.
        """
        self.optimizer.learning_rate.assign(rate)
        labels = self._labels(batch, ramp)
        if said is not None:
            blend_consensus(labels, said, share, halves=1 if batch.partners is None else 2)
        loss = self.trained.train_on_batch(batch.faces, labels)
        self.average.update()
        return float(np.asarray(loss).ravel()[0])

    def _labels(self, batch: Batch, ramp: float) -> NDArray[np.float32]:
        if self.teacher is None:
            return packed_labels(batch, ramp, None)
        if self.lessons is None:
            seen = batch.faces if batch.framed is None else batch.framed
            told = self._as_one(self.teacher.run(seen), batch)
        else:
            told = self.lessons[batch.places]
        if self.teacher.ages and self.shares is not None:
            told = as_drawn(told, self.shares)
        return packed_labels(batch, ramp, told, of_blends=self.lessons is None)

    def _as_one(self, told: Targets, batch: Batch) -> Targets:
        """Join what two teachers say of a batch's faces; of mixed ones by the trust that both labels have."""
        if self.teacher is None or self.teacher.ages < 2 * AGES:
            return told
        share = trust(batch.low, batch.high) * (not self.teacher.is_one)
        if batch.partners is not None and batch.shares is not None:
            share = batch.shares * share + (1 - batch.shares) * share[batch.partners]
        return as_one(told, share, self.taught_ages)

    def predict(self, faces: NDArray[np.uint8]) -> Pmf:
        """Return the distributions, float32 [b, 101], of faces uint8 [b, size, size, 3]."""
        return distributions(self.network, faces)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the average as the network's weights inside the block."""
        with self.average.applied():
            yield

    def keep_best(self, run_dir: Path) -> None:
        """Write the averaged weights to the run's folder, over those of an earlier epoch."""
        with self.average.applied():
            replace_file(run_dir / BEST, self.save_weights)

    def load_best(self, run_dir: Path) -> None:
        """Load what `keep_best` wrote and restart the average from it."""
        self.load_weights(run_dir / BEST)

    def save_weights(self, path: Path) -> None:
        """Write the network's weights without the optimiser's, which Keras would add to a compiled model's."""
        self._bare().save_weights(path)

    def load_weights(self, path: Path) -> None:
        """Load what `save_weights` wrote and restart the average from it."""
        self._bare().load_weights(path)
        self.average.restore(read(self.network.weights), 0)

    def _bare(self) -> keras.Model:
        return keras.Model(self.network.inputs, self.network.outputs)

    def state(self) -> tuple[Variables, Variables, Variables]:
        """Return copies of the model's variables, of the average and of the optimiser's variables."""
        return read(self.trained.variables), self.average.values, read(self.optimizer.variables)

    def restore(self, model: Variables, average: Variables, optimizer: Variables, steps: int) -> None:
        """Restore what `state` returned; raise ValueError if it is of another network."""
        assign(self.trained.variables, model)
        self.average.restore(average, steps)
        assign(self.optimizer.variables, optimizer)
