"""Errors that end a training run; each says what happened and what to do next.

TrainingError
├── LossNotFinite           the loss became NaN or infinite
├── CheckpointCorrupt       a checkpoint cannot be read back
├── CheckpointNotWritten    the disk is full or the folder cannot be written
└── NothingToTrain          no faces in a split that the recipe needs
"""

from __future__ import annotations

from service.errors import AgelensError


class TrainingError(AgelensError):
    """A training run cannot go on; the last good checkpoint is intact."""


class LossNotFinite(TrainingError):
    """The loss became NaN or infinite."""


class CheckpointCorrupt(TrainingError):
    """A checkpoint cannot be read back, or belongs to another recipe."""


class CheckpointNotWritten(TrainingError):
    """The disk is full or the folder cannot be written."""


class NothingToTrain(TrainingError):
    """A split that the recipe needs has no faces."""
