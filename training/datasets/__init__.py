"""Readers for age-labelled faces, by name: each turns published files into `Sample`s."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import ValidationError, validate_call

from training.datasets import adience, all_age_faces, appa_real, fgnet, imdb_wiki, own, utkface
from training.datasets.errors import DatasetError
from training.datasets.index import apply_index
from training.datasets.sample import SPLITS, About, Listing, Sample
from training.errors import faults

__all__ = ["ABOUT", "READERS", "SPLITS", "About", "DatasetError", "Listing", "Sample", "read"]

READERS: Final[dict[str, Callable[..., Listing]]] = {
    "adience": adience.read,
    "all_age_faces": all_age_faces.read,
    "appa_real": appa_real.read,
    "fgnet": fgnet.read,
    "imdb_wiki": imdb_wiki.read,
    "own": own.read,
    "utkface": utkface.read,
}
"""Every dataset that can be read, by the name that commands take."""

ABOUT: Final[dict[str, About]] = {
    "adience": adience.ABOUT,
    "all_age_faces": all_age_faces.ABOUT,
    "appa_real": appa_real.ABOUT,
    "fgnet": fgnet.ABOUT,
    "imdb_wiki": imdb_wiki.ABOUT,
    "portraits": About(
        "official portraits of members of the US Congress; works of the US government or on their sources' terms",
        ("The portraits, from the 1870s to today, many of them old prints, have no ages: all are of 25 and older.",),
    ),
    "utkface": utkface.ABOUT,
}
"""What a model card says of each published dataset, and of the portraits that the shipped models learnt from too."""


def read(name: str, root: Path, index: Path | None = None, /, **options: object) -> Listing:
    """List the dataset `name` from a folder or archive; an index overrides groups and splits.

    `options` are the reader's own, as values or as the text of a command line. Raises DatasetError for an
    unknown name, an option that the reader does not have, and a root or index that cannot be read.
    """
    if name not in READERS:
        raise DatasetError(f"no dataset is named {name!r}; there are {', '.join(READERS)}")
    try:
        listing = validate_call(READERS[name])(root, **options)
    except ValidationError as error:
        raise DatasetError(f"options of {name}: {faults(error)}") from error
    return apply_index(listing, index) if index else listing
