"""How far a network that learns is from the IMDB-WIKI network, epoch by epoch: whether it forgets what that knows.

A network that is trained on labelled sets forgets the people and prints that those do not hold. Where no age is known,
as of portraits, and under wear, the distance between both networks' ages tells (docs/adr/0017).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidParameter
from service.inference.distribution import AGES, Floats
from training.data.store import FaceSet
from training.measures.validation import Scores, WornFaces, score
from training.model import imdb_wiki
from training.recipes.recipe import Recipe
from training.teaching.distillation import WIDE_LABEL, lessons
from training.teaching.teacher import teacher_named


def keeps_imdb_wiki(recipe: Recipe) -> bool:
    """Tell whether a recipe's network is to keep what the IMDB-WIKI network knows, which is then a teacher of it."""
    return imdb_wiki.WEIGHTS in (recipe.teacher or "").split("+")


@dataclass(frozen=True)
class Agreement:
    """Mean ages in years, float64 [n], that the IMDB-WIKI network gives the faces of `val`, unworn."""

    faces: FaceSet
    ages: Floats

    @classmethod
    def with_imdb_wiki(
        cls, faces: FaceSet, size: int, file: Path, on_progress: Callable[[int, int], None] | None = None
    ) -> Agreement:
        """Ask the IMDB-WIKI network about all faces, or read from `file` what it said, where its answers are kept.

        Raises InvalidParameter if the file has another number of faces, or FileMissing where the network is needed and
        not there.
        """
        if not file.exists():
            lessons(teacher_named(imdb_wiki.WEIGHTS, size), faces, size, file, on_progress)
        told = np.load(file)
        if told.shape != (len(faces), AGES):
            raise InvalidParameter(f"{file} holds lessons {told.shape}, not {(len(faces), AGES)}; delete it")
        return cls(faces, told @ np.arange(AGES, dtype=np.float64))

    def of(
        self, predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]], clean: Scores, size: int, batch: int
    ) -> dict[str, float]:
        """Return the mean difference to that network's ages, in years, of worn faces and of those without an age.

        `predict` maps faces uint8 [batch, size, size, 3] to distributions, `clean` are its answers for unworn ones.
        """
        worn = score(predict, WornFaces(self.faces.parts), size, batch)
        found = {"agreement/worn": float(np.abs(worn.ages - self.ages).mean())}
        unlabelled = self.faces.high - self.faces.low > WIDE_LABEL
        if unlabelled.any():
            found["agreement/unlabelled"] = float(np.abs(clean.ages - self.ages)[unlabelled].mean())
        return found
