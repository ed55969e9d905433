"""IMDB-WIKI (Rothe et al. 2018): `imdb.mat` and `wiki.mat`, beside the crops that they name.

Each file holds one struct of row vectors: `dob` (MATLAB's serial date number), `photo_taken` (a year), `full_path`,
`gender` (0 female, 1 male, NaN), `name`, `face_location`, `face_score` (-inf where no face was found),
`second_face_score` (NaN where there is no second), and in IMDB's also `celeb_names` and `celeb_id`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from training.datasets.errors import DatasetError
from training.datasets.sample import OLDEST, About, Listing, Sample
from training.datasets.source import Source, open_source

ABOUT: Final = About(
    "academic research",
    ("IMDB-WIKI's ages are computed from dates of birth and the year of a photograph, which may show somebody else.",),
)

PARTS: Final = ("imdb", "wiki")
# MATLAB counts days from the year 0, Python from the year 1; the year 0 counts as a leap year.
_DAYS_OF_YEAR_ZERO: Final = 366
_FIELDS: Final = ("dob", "photo_taken", "full_path", "gender", "name", "face_score", "second_face_score")


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of the struct, with `path` still relative to the .mat file."""

    path: str
    datenum: float
    year: float
    gender: float
    name: str
    face_score: float
    second_face_score: float


def read(
    root: Path,
    part: Literal["imdb", "wiki"] | None = None,
    min_face_score: float = 1.0,
    max_second_face_score: float = 0.0,
) -> Listing:
    """List IMDB-WIKI, or one part of it; the person is the subject, across both parts.

    Age is counted in completed years on 1 July of the photograph's year. Rejected are faces that score below
    `min_face_score`, pictures whose second face scores above `max_second_face_score`, dates that are none, and
    ages outside 0..100. DatasetError where neither .mat file is there, or one cannot be read.
    """
    source = open_source(root)
    listing = Listing("imdb_wiki", source)
    files = {name: _mat_file(source, name, listing) for name in ((part,) if part else PARTS)}
    if not any(files.values()):
        raise DatasetError(f"{root} has no {' or '.join(f'{name}.mat' for name in files)}")
    present = set(source.names)
    for name, file in files.items():
        if file is None:
            continue
        for record in _records(source.read(file), name):
            path = f"{file.rpartition('/')[0]}/{record.path}".lstrip("/")
            verdict = _age_or_fault(record, min_face_score, max_second_face_score)
            if isinstance(verdict, str):
                listing.reject(path, verdict)
            elif path not in present:
                listing.reject(path, "in the .mat file, but there is no such picture")
            else:
                listing.samples.append(_sample(path, verdict, record))
    return listing


def birth_date(datenum: float) -> date | None:
    """Date of a MATLAB serial date number, its fraction (time of day) cut off; None where it is no date.

    Number 1 is 1 January of the year 0; dates before the year 1 or after 9999, zero, negative numbers, NaN and
    infinities are none. The earlier project's conversion gave another day for 0.38 % of the dates.
    """
    if not math.isfinite(datenum):
        return None
    ordinal = math.floor(datenum) - _DAYS_OF_YEAR_ZERO
    return date.fromordinal(ordinal) if 1 <= ordinal <= date.max.toordinal() else None


def age_in_july(born: date, year: int) -> int:
    """Completed years on 1 July of `year`: the photograph's day is unknown, so the middle stands for it."""
    return year - born.year - ((born.month, born.day) > (7, 1))


def _age_or_fault(record: Record, min_score: float, max_second: float) -> int | str:
    """Age in years, or why the record cannot be used."""
    born = birth_date(record.datenum)
    if not record.path:
        return "no path"
    if born is None:
        return "date of birth is no date"
    if not (math.isfinite(record.year) and 1 <= record.year <= date.max.year):
        return "the photograph's year is no year"
    if not math.isfinite(record.face_score):
        return "no face was found"
    if record.face_score < min_score:
        return f"face score below {min_score:g}"
    if record.second_face_score > max_second:
        return f"second face scores above {max_second:g}"
    age = age_in_july(born, int(record.year))
    return age if 0 <= age <= OLDEST else "age outside 0..100"


def _sample(path: str, age: int, record: Record) -> Sample:
    # A crop is named person_..._birth_year.jpg: that first part stands in where the name is empty.
    person = record.name.strip().casefold() or path.rpartition("/")[2].partition("_")[0]
    return Sample(path, age, age, subject=person, sex={0.0: "female", 1.0: "male"}.get(record.gender))


def _records(data: bytes, part: str) -> Iterator[Record]:
    fields = read_struct(data, part, _FIELDS)
    for values in zip(*(fields[field] for field in _FIELDS), strict=True):
        born, year, path, gender, name, score, second = values
        yield Record(str(path), float(born), float(year), float(gender), str(name), float(score), float(second))


def _mat_file(source: Source, part: str, listing: Listing) -> str | None:
    """Find the part's .mat file; of several, one whose folder is named for crops, the others being noted."""
    files = [name for name in source.names if name.rpartition("/")[2] == f"{part}.mat"]
    files.sort(key=lambda name: (f"{part}_crop" not in name, name))
    for name in files[1:]:
        listing.note(name, f"another {part}.mat, not read")
    return files[0] if files else None


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
