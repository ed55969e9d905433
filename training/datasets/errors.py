"""The error that every reader of a dataset raises."""

from __future__ import annotations


class DatasetError(Exception):
    """The dataset as a whole cannot be read; the message says what would be right."""
