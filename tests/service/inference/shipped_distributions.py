"""What the shipped models answer on faces that anybody can make again.

`python -m tests.service.inference.shipped_distributions` writes it anew after a model was replaced.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from service.inference.estimator import Estimator
from service.inference.lockfile import ModelLock, default_models_dir, verified_path
from tests.pictures import HEAD, astronaut

MODELS: Final = default_models_dir()
RECORD: Final = Path(__file__).with_suffix(".json")
ENTRIES: Final = ModelLock.read(MODELS).of_kind("model")


def faces(size: int) -> NDArray[np.uint8]:
    """The astronaut's head, darker, in grey and mirrored; soft noise; a flat grey: uint8 [6, size, size, 3]."""
    head = np.asarray(cv2.resize(astronaut()[HEAD], (size, size), interpolation=cv2.INTER_AREA))
    grey = np.repeat(np.asarray(cv2.cvtColor(head, cv2.COLOR_RGB2GRAY))[..., None], 3, axis=2)
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    noise = np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR))
    flat = np.full_like(head, 127)
    return np.stack([head, head // 2, grey, head[:, ::-1], noise, flat])


def answers(entry: Any) -> NDArray[np.float64]:
    """Distributions of one locked file on `faces`, float64 [6, 101]."""
    estimator = Estimator(verified_path(MODELS, entry), entry.sha256)
    estimator.warm_up()
    return estimator.estimate(faces(estimator.manifest.crop.size))


def main() -> None:
    """Write the record."""
    record = {entry.file: {"sha256": entry.sha256, "age_pmf": answers(entry).round(6).tolist()} for entry in ENTRIES}
    RECORD.write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
