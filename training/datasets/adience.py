"""Adience (Eidinger et al. 2014): five fold files with age groups, faces in a folder per Flickr user.

A row is `user_id, original_image, face_id, age, gender, x, y, ...`, separated by tabs; its face lies in
`<user_id>/coarse_tilt_aligned_face.<face_id>.<original_image>` (archive `faces.tar.gz`), or with
`landmark_aligned_face` for the other alignment (`aligned.tar.gz`). Folds do not share users.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from training.datasets.errors import DatasetError
from training.datasets.sample import About, Listing, Sample
from training.datasets.source import Source, open_source, pictures
from training.datasets.tables import Row, parse_ages, parse_sex, read_table

ABOUT: Final = About(
    "research, cite Eidinger, Enbar and Hassner (2014)",
    ("Adience labels eight age groups with gaps between them, not ages; an error inside a group is not seen.",),
)

GROUPS: Final = ((0, 2), (4, 6), (8, 12), (15, 20), (25, 32), (38, 43), (48, 53), (60, 100))
"""The eight age groups in years, both ends included."""

_COLUMNS: Final = ("user_id", "original_image", "face_id", "age", "gender")


def read(
    root: Path,
    alignment: Literal["coarse_tilt", "landmark"] = "coarse_tilt",
    *,
    frontal: bool = False,
    test_fold: int | None = None,
    val_fold: int | None = None,
) -> Listing:
    """List Adience with intervals as labels and the user as subject.

    With `test_fold` (0..4) that fold is `test`, `val_fold` is `val` and the others `train`; without, no split
    is set. `frontal` reads the lists of frontal faces. A label beside the eight groups (`35`, `(38, 48)`) is kept
    as it is written and noted; one that says no age (`None`) is rejected. DatasetError without fold files.
    """
    source = open_source(root)
    listing = Listing("adience", source)
    faces = {"/".join(path.split("/")[-2:]): path for path in pictures(source)}
    folds = _folds(source, frontal=frontal)
    for fold in (test_fold, val_fold):
        if fold is not None and fold not in folds:
            raise DatasetError(f"there is no fold {fold} in {root}; there are {sorted(folds)}")
    for fold, name in sorted(folds.items()):
        split = None if test_fold is None else {test_fold: "test", val_fold: "val"}.get(fold, "train")
        for row in read_table(source.read(name), name, _COLUMNS, delimiter="\t"):
            _add(listing, row, faces, alignment, split)
    return listing


def _folds(source: Source, *, frontal: bool) -> dict[int, str]:
    pattern = re.compile(rf"fold_{'frontal_' if frontal else ''}(\d)_data\.txt")
    matches = {name: pattern.fullmatch(name.rpartition("/")[2]) for name in source.names}
    folds = {int(match[1]): name for name, match in matches.items() if match}
    if not folds:
        raise DatasetError(f"{source.root} has no {'fold_frontal_N' if frontal else 'fold_N'}_data.txt (N = 0..4)")
    return folds


def _add(listing: Listing, row: Row, faces: dict[str, str], alignment: str, split: str | None) -> None:
    name = f"{row['user_id']}/{alignment}_aligned_face.{row['face_id']}.{row['original_image']}"
    ages = parse_ages(row["age"])
    if ages is None:
        listing.reject(name, f"the label {row['age'] or 'empty'} says no age")
    elif name not in faces:
        listing.reject(name, "in a fold, but there is no such picture")
    else:
        if ages not in GROUPS:
            listing.note(name, f"the label {row['age']} is none of the eight groups, kept as it is")
        sex = parse_sex(row["gender"])
        # Taking the face out of the table makes a second row for it a missing picture, so none is used twice.
        listing.samples.append(Sample(faces.pop(name), *ages, subject=row["user_id"], sex=sex, split=split))
