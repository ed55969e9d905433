"""How a model does on faces without ages, as portraits are: beside the IMDB-WIKI network, and against what is possible.

Nobody knows the ages, but a network that learnt from half a million pictures of other people is a witness, and a label
such as 25–70 says which answers cannot be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from service.errors import InvalidParameter
from service.inference.distribution import AGES
from service.inference.manifest import Manifest
from training.data.store import FaceStore
from training.datasets import SPLITS
from training.export.graph import run
from training.export.release import Split
from training.measures.calibration import decoded
from training.measures.validation import bootstrap
from training.model import imdb_wiki
from training.onnx_manifest import manifest_of, model_in
from training.teaching.teacher import Teacher, teacher_named

BEYOND: Final = 5
"""Years above a label from which an answer counts as outside it."""


@dataclass(frozen=True)
class Answers:
    """What a model says of one split's `n` faces: `agreement` in years with its 95 % range, share `outside` labels."""

    model: str
    split: str
    n: int
    agreement: float
    low: float
    high: float
    outside: float

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.model}: {self.n} faces of {self.split}: {self.agreement:.2f} years from the IMDB-WIKI network "
            f"({self.low:.2f}–{self.high:.2f}); {self.outside:.1%} below their label or over {BEYOND} years above it"
        )


def on_unlabelled(models: Sequence[Path], stores: Sequence[Path], splits: Sequence[str] = ()) -> list[Answers]:
    """Compare models with the IMDB-WIKI network on the faces of some splits (none named: all there are) and of all.

    Raises InvalidParameter for models that take faces of other sizes than the stores' and for splits without faces, or
    FileMissing.
    """
    graphs = [model_in(path) for path in models]
    opened = [(manifest_of(model, path.name), model) for model, path in zip(graphs, models, strict=True)]
    sizes = {manifest.crop.size for manifest, _ in opened}
    if len(sizes) > 1:
        raise InvalidParameter(f"the models take faces of {sorted(sizes)} pixels; compare those of one size at a time")
    wanted = splits or SPLITS
    present = [s for s in wanted if any(len(FaceStore.open(store).select(s)) for store in stores)]
    if not present or (splits and present != list(splits)):
        missing = ", ".join(s for s in wanted if s not in present)
        raise InvalidParameter(f"{', '.join(map(str, stores))}: no faces of the splits {missing}")
    teacher = teacher_named(imdb_wiki.WEIGHTS, sizes.pop())
    told = {split: _mean_ages(teacher, Split.load(stores, split, opened[0][0].crop).cut) for split in present}
    found: list[Answers] = []
    for manifest, model in opened:
        faces = {split: Split.load(stores, split, manifest.crop) for split in present}
        ages = {split: _ages(model, manifest, faces[split].faces) for split in present}
        apart = [np.abs(ages[split] - told[split]) for split in present]
        outside = [(ages[s] < faces[s].low) | (ages[s] > faces[s].high + BEYOND) for s in present]
        parts = list(zip(present, apart, outside, strict=True))
        if len(parts) > 1:
            parts.append(("all splits", np.concatenate(apart), np.concatenate(outside)))
        found += [
            Answers(manifest.name, split, len(years), float(years.mean()), *bootstrap(years), float(wrong.mean()))
            for split, years, wrong in parts
        ]
    return found


def _ages(model: ModelProto, manifest: Manifest, faces: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return a file's ages in years, float64 [n], as the service reads them."""
    return decoded(run(model, faces), manifest.decode)


def _mean_ages(teacher: Teacher, faces: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return a teacher's mean ages in years, float64 [n]; as published, it looks at faces as they were exposed."""
    return teacher.of_many(faces) @ np.arange(AGES, dtype=np.float64)
