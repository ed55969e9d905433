"""One struct out of a MATLAB file: fields that are row vectors of numbers or cells of text."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from training.datasets.sample import DatasetError


def read_struct(data: bytes, name: str, fields: Iterable[str]) -> dict[str, list[str] | list[float]]:
    """Fields of the single struct `name`, all of one length; an empty cell is an empty text.

    Raises DatasetError where the file is no MATLAB file up to version 7.2, the struct or a field is not there,
    or their lengths differ.
    """
    stream: Any = io.BytesIO(data)  # scipy's stubs know paths alone; its documentation allows files.
    try:
        struct = loadmat(stream, variable_names=[name])[name][0, 0]
        columns = {field: _column(struct[field]) for field in fields}
    except (MatReadError, ValueError, TypeError, KeyError, IndexError, NotImplementedError, OSError) as error:
        raise DatasetError(f"{name}.mat is not the published struct {name!r}: {error}") from error
    lengths = {field: len(column) for field, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DatasetError(f"the fields of {name}.mat have different lengths: {lengths}")
    return columns


def _column(values: NDArray[np.generic]) -> list[str] | list[float]:
    if values.dtype != object:
        return [float(value) for value in values.ravel().astype(np.float64)]
    return [str(np.asarray(cell).item()) if np.asarray(cell).size == 1 else "" for cell in values.ravel()]
