"""Errors that end a training run; each says what happened and what to do next."""

from __future__ import annotations

from pydantic import ValidationError

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


def faults(error: ValidationError) -> str:
    """Return what pydantic found wrong as one line, each fault after its field."""
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
