"""Names of the files in a run's folder."""

from __future__ import annotations

from typing import Final

CHECKPOINT: Final = "checkpoint.npz"
PREVIOUS: Final = "checkpoint.previous.npz"
BEST: Final = "best.weights.h5"

METRICS: Final = "metrics.csv"
TENSORBOARD: Final = "tensorboard"
"""A file of figures by step, and a folder."""

RUN_FILE: Final = "run.json"
"""Stores and time of a run, which resuming needs besides the recipe."""
