"""Estimate the mix of ages of a whole archive from its rows, for scoring it again with the right prior."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.atomic_write import atomic_write
from service.errors import InvalidParameter
from service.inference.age_mix import FittedMix, fit_mix
from service.inference.distribution import AGES, Floats
from service.inference.options import PredictOptions
from service.scoring.job import Format
from service.scoring.parts import columns_in, finished_parts, writing

FILE: Final = "prior.csv"
"""Name of the table beside the parts: the setting AGELENS_PRIORS takes it as name=DIR/prior.csv."""


def refuse_unfit(options: PredictOptions, fmt: Format) -> None:
    """Raise InvalidParameter if the rows will not hold the distributions that a mix is estimated from."""
    if options.fields != "all":
        raise InvalidParameter("--fit-prior needs the threshold probabilities: leave --fields at all")
    if fmt == "csv":
        raise InvalidParameter("--fit-prior reads the rows again: take --format parquet or jsonl")


def write_prior(folder: Path, fmt: Format, own: Floats) -> tuple[Path, FittedMix]:
    """Estimate the mix of the faces in an archive whose rows are stated for the mix `own` [101]; write `prior.csv`.

    Raises InvalidParameter if there are too few faces.
    """
    found = fit_mix(_distributions(folder, fmt), own)
    path = folder / FILE
    with writing(folder), atomic_write(path) as partial, partial.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("age", "share"))
        writer.writerows((age, f"{share:.6g}") for age, share in enumerate(found.mix))
    return path, found


def _distributions(folder: Path, fmt: Format) -> NDArray[np.float32]:
    """Return the pmf of each face [n, 101], differences of its threshold probabilities: 400 MB for a million faces."""
    found = [np.empty((0, AGES), np.float32)]
    for part in finished_parts(folder, fmt):
        column = columns_in(part, fmt, "threshold_probabilities")["threshold_probabilities"]
        older = pc.list_flatten(column).to_numpy().reshape(-1, AGES - 1)
        found.append(np.clip(-np.diff(older, axis=1, prepend=1.0, append=0.0), 0.0, None).astype(np.float32))
    return np.concatenate(found)
