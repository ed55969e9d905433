"""Names of the files in a run's folder."""

from __future__ import annotations

from typing import Final

CHECKPOINT: Final = "checkpoint.npz"
PREVIOUS: Final = "checkpoint.previous.npz"
BEST: Final = "best.weights.h5"
