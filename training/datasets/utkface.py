"""UTKFace (Zhang et al. 2017): `age_gender_race_timestamp.jpg.chip.jpg`, all that is known is in the name.

Ages are the estimates of another network, checked by a person. No identities: people recur.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from training.datasets.errors import DatasetError
from training.datasets.sample import OLDEST, UNLISTED, About, Listing, Sample
from training.datasets.source import open_source, pictures
from training.datasets.splits import carve
from training.datasets.tables import read_table

ABOUT: Final = About(
    "non-commercial research",
    (
        "UTKFace's ages are estimates of another network that people checked; no model can be better than they are.",
        "UTKFace names no persons: somebody may be in training and in test.",
        "UTKFace has no age 0 (1 stands for the first year of life); its ages over 100 count as 100.",
    ),
)

YOUNGEST_LISTED: Final = 21
"""The age that the published lists count from."""

CARVED: Final = 0.08
"""Shares of the published `train` list that become `val` and `calib`."""

SEXES: Final = ("male", "female")
RACES: Final = ("white", "black", "asian", "indian", "other")

YOUNGEST: Final = 1
"""The lowest label, given to babies too: it stands for the ages 0 and 1."""

# A published name may lack a field, hold a blank before `.jpg`, lack that dot, or have a timestamp of 16 or 18 digits.
_NAME: Final = re.compile(
    r"(?P<age>\d{1,3})_(?P<sex>[01])(?:_(?P<race>[0-4]))?_(?P<time>\d{14,20})\s*\.?jpg(?:\.chip\.jpg)?",
    re.IGNORECASE,
)


def read(root: Path, lists: Path | None = None) -> Listing:
    """List UTKFace, the aligned chips or the photographs; ages above 100 become 100 and are noted.

    A picture that lies in two of the published folders is taken once. `lists` is a folder with `utk_train.csv` and
    `utk_test.csv` as published with CORAL (Cao, Mirjalili and Raschka 2020): only their pictures, of ages 21 to 60,
    are taken, in their splits; shares of `train` become `val` and `calib`, which the lists lack.
    """
    source = open_source(root)
    listing = Listing("utkface", source)
    seen: set[str] = set()
    for path in pictures(source):
        name = path.rpartition("/")[2]
        if name in seen:
            listing.reject(path, "the same name in another folder")
        elif sample := parse_name(path):
            listing.samples.append(sample)
            if int(name.partition("_")[0]) > OLDEST:
                listing.note(path, "age above 100 taken as 100")
        else:
            listing.reject(path, "name without age, sex and time")
        seen.add(name)
    return listing if lists is None else _listed(listing, lists)


def _listed(listing: Listing, lists: Path) -> Listing:
    """Keep the pictures that the published lists name, with the lists' split."""
    splits: dict[str, tuple[str, int]] = {}
    for split in ("train", "test"):
        file = lists / f"utk_{split}.csv"
        if not file.is_file():
            raise DatasetError(
                f"there is no {file}; `lists` is the folder of the published utk_train.csv and utk_test.csv"
            )
        rows = read_table(file.read_bytes(), file.name, ("file", "age"))
        splits |= {_bare(row["file"]): (split, int(row["age"]) + YOUNGEST_LISTED) for row in rows}
    result = listing.replaced([])
    for sample in listing.samples:
        split, age = splits.pop(_bare(sample.name), ("", sample.low))
        if not split:
            result.reject(sample.path, UNLISTED)
        elif age != sample.low:
            result.reject(sample.path, "another age in the published lists")
        else:
            result.samples.append(replace(sample, split=split))
    for name in splits:
        result.reject(name, "in the published lists, but there is no such picture")
    carved = carve(result.samples, "train", "val", CARVED)
    return result.replaced(carve(carved, "train", "calib", CARVED))


def _bare(name: str) -> str:
    """Return a picture's name without `.jpg` and `.jpg.chip.jpg`: the lists name the chips."""
    return name.partition(".")[0].strip()


def parse_name(path: str) -> Sample | None:
    """Sample of a picture's name, or None where the name does not hold an age.

    A name with two fields instead of three is read as age and sex, its race being unknown: both `61_1_…` of the
    published set show women.
    """
    match = _NAME.fullmatch(path.rpartition("/")[2])
    if match is None:
        return None
    age = min(int(match["age"]), OLDEST)
    race = RACES[int(match["race"])] if match["race"] else None
    low = 0 if age == YOUNGEST else age
    return Sample(path, low, age, sex=SEXES[int(match["sex"])], race=race)
