"""Several networks that are trained at once, each taught by what all of them say of a face.

What networks that began differently agree on is truer than what any of them says, and than many a label (deep mutual
learning; Zhang, Xiang, Hospedales and Lu 2018, section 3.1). It is the averages of their weights that are asked, since
those err less and change slowly (Tarvainen and Valpola 2017, "Mean teachers are better role models", section 2). They
see the face as it is framed, before light and detail are augmented; the networks learn from it as it is after.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidParameter
from training.data.store import Batch, FaceSet
from training.fit.checkpoint import Variables
from training.fit.learner import Learner, Pmf, distributions
from training.fit.weight_average import EVERY, assign
from training.measures.validation import Scores, score
from training.model.age_model import AgeModel
from training.recipes.recipe import Recipe, Stage
from training.teaching.teacher import ITSELF, Targets

HEARD_FROM: Final = 0.1
HEARD_BY: Final = 0.35
"""Shares of the first stage between which what all networks say takes the place of the recipe's own teacher."""


class Together(Learner):
    """The learner of the first recipe, and others that take every step on its batches.

    They are scored, and the best epoch is chosen, by the mean of all their distributions. The first one's files are the
    run's; each other one has a folder in the run's, called as its recipe is.
    """

    def __init__(self, first: Learner, others: Sequence[Learner]) -> None:
        """Take learners of the same teacher, batches and faces; raise InvalidParameter naming what differs."""
        refuse_unlike(first.recipe, [other.recipe for other in others])
        if first.teacher is not None and first.teacher.features:
            raise InvalidParameter(
                f"{first.recipe.teacher} teaches features, which networks trained together cannot all have: name an "
                ".onnx file that `agelens-train export` wrote"
            )
        super().__init__(first.network, first.recipe, first.teacher)
        self.others = tuple(others)
        self.twins = [_Twin(learner) for learner in self._all]
        self.in_first_stage = True

    @property
    def _all(self) -> tuple[Learner, ...]:
        return (self, *self.others)

    @property
    def wants_framed(self) -> bool:
        """Faces before light and detail are augmented are what the averages are asked about."""
        return True

    def begin(
        self,
        stage: Stage,  # noqa: ARG002 - each has its own at the same place
        lessons: Targets | None = None,
        shares: NDArray[np.float32] | None = None,
        place: int = 0,
    ) -> None:
        """Begin stage `place` for all, each with its recipe's optimiser, and the lessons that its head keeps."""
        self.in_first_stage = place == 0
        for learner in self._all:
            kept = None if lessons is None else lessons[:, : learner.network.head.taught_ages]
            Learner.begin(learner, learner.recipe.stages[place], kept, shares)

    @property
    def taught_ages(self) -> int:
        """The most that any of the heads keeps."""
        return max(learner.network.head.taught_ages for learner in self._all)

    def step(self, batch: Batch, rate: float, ramp: float, done: float) -> float:
        """Let every network take one step on the same batch; return the mean loss."""
        so_far = min(1.0, max(0.0, (done - HEARD_FROM) / (HEARD_BY - HEARD_FROM)))
        share = so_far if self.in_first_stage else 1.0
        said = self._said(batch) if share else None
        losses = [learner.learn(batch, rate, ramp, said, share) for learner in self._all]
        for twin in self.twins:
            twin.follow()
        return float(np.mean(losses))

    def _said(self, batch: Batch) -> Pmf:
        faces = batch.faces if batch.framed is None else batch.framed
        return np.asarray(np.mean([twin.predict(faces) for twin in self.twins], axis=0), dtype=np.float32)

    def predict(self, faces: NDArray[np.uint8]) -> Pmf:
        """Return the mean of all networks' distributions, float32 [b, 101]."""
        told = [super().predict(faces), *(other.predict(faces) for other in self.others)]
        return np.asarray(np.mean(told, axis=0), dtype=np.float32)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the averages as the networks' weights inside the block."""
        with ExitStack() as stack:
            stack.enter_context(super().averaged())
            for other in self.others:
                stack.enter_context(other.averaged())
            yield

    def keep_best(self, run_dir: Path) -> None:
        """Write the averaged weights of each network to its folder."""
        super().keep_best(run_dir)
        for other in self.others:
            other.keep_best(run_dir / other.recipe.name)

    def load_best(self, run_dir: Path) -> None:
        """Load what `keep_best` wrote and restart the averages from it."""
        super().load_best(run_dir)
        for other in self.others:
            other.load_best(run_dir / other.recipe.name)
        for twin in self.twins:
            twin.take()

    def state(self) -> tuple[Variables, Variables, Variables]:
        """Return copies of all networks' variables, averages and optimisers' variables, one after another."""
        states = [Learner.state(learner) for learner in self._all]
        model, average, optimizer = (list(chain.from_iterable(part)) for part in zip(*states, strict=True))
        return model, average, optimizer

    def restore(self, model: Variables, average: Variables, optimizer: Variables, steps: int) -> None:
        """Restore what `state` returned; raise ValueError if it is of other networks."""
        models, averages, optimizers = iter(model), iter(average), iter(optimizer)
        for learner in self._all:
            Learner.restore(
                learner,
                list(islice(models, len(learner.trained.variables))),
                list(islice(averages, len(learner.average.values))),
                list(islice(optimizers, len(learner.optimizer.variables))),
                steps,
            )
        if any(list(rest) for rest in (models, averages, optimizers)):
            raise ValueError("it holds the variables of more networks")
        for twin in self.twins:
            twin.take()

    def each(self, faces: FaceSet) -> Iterator[tuple[str, Scores]]:
        """Score each network by itself, with the weights that it has, by its recipe's name."""
        for learner in self._all:
            answer = partial(Learner.predict, learner)
            yield learner.recipe.name, score(answer, faces, self.recipe.size, self.recipe.batch_size)


class _Twin:
    """A network with the averaged weights of a learner's, to be asked while that one learns."""

    def __init__(self, learner: Learner) -> None:
        self.average = learner.average
        backbone = keras.models.clone_model(learner.network.backbone)
        self.network = AgeModel(backbone, learner.network.head)
        self.take()

    def follow(self) -> None:
        """Take the average where the last step has moved it."""
        if self.average.steps % EVERY == 0:
            self.take()

    def take(self) -> None:
        assign(self.network.weights, self.average.values)

    def predict(self, faces: NDArray[np.uint8]) -> Pmf:
        return distributions(self.network, faces)


def refuse_unlike(first: Recipe, others: Sequence[Recipe]) -> None:
    """Raise InvalidParameter where recipes cannot be trained together, saying what to change."""
    names = [recipe.name for recipe in (first, *others)]
    if len(set(names)) < len(names):
        raise InvalidParameter(f"each recipe is trained once: {', '.join(names)} names one twice")
    for recipe in (first, *others):
        if recipe.teacher in (None, ITSELF) or recipe.teacher_sees != "clean":
            raise InvalidParameter(
                "recipes that are trained together need one teacher to begin with, asked about clean faces; "
                f"{recipe.name} has teacher {recipe.teacher}, teacher_sees {recipe.teacher_sees}: name one with "
                "--set teacher=FILE"
            )
        if recipe.start_share:
            raise InvalidParameter(
                f"{recipe.name} keeps a share of its initial weights, which training together cannot: "
                "--set start_share=0"
            )
        if len(recipe.stages) != len(first.stages):
            raise InvalidParameter(
                f"{recipe.name} has {len(recipe.stages)} stages, {first.name} has {len(first.stages)}: recipes that "
                "are trained together need as many"
            )
        for field in ("teacher", "size", "batch_size"):
            if getattr(recipe, field) != getattr(first, field):
                raise InvalidParameter(
                    f"{recipe.name} has {field} {getattr(recipe, field)}, {first.name} has {getattr(first, field)}; "
                    f"recipes that are trained together share it: --set {field}=… sets it for all of them"
                )
