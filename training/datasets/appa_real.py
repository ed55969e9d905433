"""APPA-REAL (Agustsson et al. 2017): real age, and the age that some 38 people guessed on average.

`gt_avg_{train,valid,test}.csv` hold `file_name, num_ratings, apparent_age_avg, apparent_age_std, real_age`; beside
each picture `train/000000.jpg` lies its crop `000000.jpg_face.jpg`, turned upright with a margin of 40 %. Sex and
race come from `allcategories_{train,valid,test}.csv` (`file, gender, race, ...`), published apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from training.datasets.errors import DatasetError
from training.datasets.sample import OLDEST, About, Listing, Sample
from training.datasets.source import Source, open_source
from training.datasets.tables import Row, parse_sex, read_table

ABOUT: Final = About("research, cite Agustsson et al. (2017)")

_SPLITS: Final = {"train": "train", "valid": "val", "test": "test"}


def read(root: Path, age: Literal["real", "apparent"] = "real", picture: Literal["crop", "photo"] = "crop") -> Listing:
    """List APPA-REAL with its official splits, labelled with the real age or the rounded apparent one.

    Raises DatasetError where none of the three lists is there.
    """
    source = open_source(root)
    listing = Listing("appa_real", source)
    lists = {split: name for split in _SPLITS if (name := _find(source, f"gt_avg_{split}.csv"))}
    if not lists:
        raise DatasetError(f"{root} has no gt_avg_train.csv, gt_avg_valid.csv or gt_avg_test.csv")
    present = set(source.names)
    column = "real_age" if age == "real" else "apparent_age_avg"
    for split, name in lists.items():
        folder = f"{name.rpartition('/')[0]}/{split}/".lstrip("/")
        people = _categories(source, split)
        for row in read_table(source.read(name), name, ("file_name", column)):
            path = f"{folder}{row['file_name']}{'_face.jpg' if picture == 'crop' else ''}"
            _add(listing, path, row[column], people.get(row["file_name"], {}), _SPLITS[split], present)
    return listing


def _add(listing: Listing, path: str, text: str, person: Row, split: str, present: set[str]) -> None:
    years = _whole_years(text)
    if years is None:
        listing.reject(path, "age is not a number within 0..100")
    elif path not in present:
        listing.reject(path, "in a list, but there is no such picture")
    else:
        present.remove(path)  # A second row for the same picture is then rejected.
        sex, race = parse_sex(person.get("gender", "")), person.get("race", "").lower() or None
        listing.samples.append(Sample(path, years, years, sex=sex, race=race, split=split))


def _whole_years(text: str) -> int | None:
    """Round an average to the nearest year, halves upwards; None outside 0..100."""
    try:
        years = float(text)
    except ValueError:
        return None
    return int(years + 0.5) if 0 <= years <= OLDEST else None


def _categories(source: Source, split: str) -> dict[str, Row]:
    name = _find(source, f"allcategories_{split}.csv")
    rows = read_table(source.read(name), name, ("file", "gender", "race")) if name else []
    return {row["file"]: row for row in rows}


def _find(source: Source, file: str) -> str | None:
    return next((name for name in source.names if name.rpartition("/")[2] == file), None)
