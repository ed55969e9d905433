"""The error that every reader of a dataset raises."""

from __future__ import annotations

from service.errors import AgelensError


class DatasetError(AgelensError):
    """The dataset as a whole cannot be read; the message says what would be right."""
