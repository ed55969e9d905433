"""Faces of one's own: a table `labels.csv`, or a folder for each age or range of ages.

Columns of the table (UTF-8, commas, a header line; `file` and an age are needed, the rest may be left out or empty):

| column     | meaning                                                                        |
|------------|--------------------------------------------------------------------------------|
| `file`     | the picture, relative to the dataset's folder, parts joined by `/`              |
| `age`      | `35`, `25-32`, `(25, 32)` or `60+`, in years                                    |
| `low,high` | instead of `age`: lowest and highest possible age, both included                |
| `subject`  | who it is, any text: a person is never in two splits                            |
| `group`    | any text: pictures of one group are never in two splits                         |
| `sex`      | `male` or `female` (also `m`, `f`), only to report errors by it                 |
| `race`     | any text, only to report errors by it                                           |
| `split`    | `train`, `val`, `calib` or `test`; empty where the project is to choose         |

Folders: `35/anything.jpg`, `25-32/...`, `60+/...`, also within `train/`, `val/`, `calib/` and `test/`.

A folder `faces/` that everything lies in, as in an archive of it, is taken for the dataset's folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from rich.console import Console

from service.inference.decoding.formats import NOT_READ, SUFFIXES
from training.datasets.errors import DatasetError
from training.datasets.sample import SPLITS, Listing, Sample
from training.datasets.source import Folder, open_source
from training.datasets.tables import Row, parse_ages, parse_sex, read_table

_COLUMNS: Final = ("file", "age", "low", "high", "subject", "group", "sex", "race", "split")
_NO_AGE: Final = "no age within 0..100"
_NOT_READ: Final = "GIF, BMP and TIFF are not read; save it as JPEG or PNG"


def read(root: Path, labels: str = "labels.csv", name: str = "own") -> Listing:
    """List one's own faces from `labels`, a table in the dataset's folder or archive, or from its folders' names.

    `root` may be the table itself; `name` is what stores, cards and figures call the set. Raises DatasetError where
    there is neither the table nor a folder that is named for an age.
    """
    if root.suffix.lower() == ".csv":
        root, labels = root.parent, root.name
    listing = Listing(name, Folder(root) if root.is_dir() else open_source(root), by_path=True)
    top = _top(listing.source.names, labels)
    within = next((folder for folder in ("", top) if folder + labels in listing.source.names), None)
    if within is not None:
        _read_table(listing, within + labels, within)
    else:
        _read_folders(listing, top.count("/"))
    if not listing.samples and not listing.rejected:
        raise DatasetError(f"{root} has no {labels} and no pictures in folders named for an age (35, 25-32, 60+)")
    return listing


def _top(names: Sequence[str], labels: str) -> str:
    """Return the folder `faces/` that the pictures and the table all lie in and that says neither split nor age."""
    ours = (name for name in names if name.lower().endswith(tuple(SUFFIXES)) or f"/{name}".endswith(f"/{labels}"))
    top = ""
    for level in zip(*(name.split("/")[:-1] for name in ours), strict=False):
        if len(set(level)) > 1 or level[0].lower() in SPLITS or parse_ages(level[0]):
            break
        top += f"{level[0]}/"
    return top


def _read_table(listing: Listing, labels: str, within: str) -> None:
    """Take the rows of a table whose files are named from the folder `within`, "" or ending in `/`."""
    rows = [{**row, "file": within + row["file"]} for row in read_table(listing.source.read(labels), labels, ("file",))]
    if rows and "age" not in rows[0] and not {"low", "high"} <= rows[0].keys():
        raise DatasetError(f"{labels} needs a column age, or the columns low and high")
    _say_unread(labels, rows[:1])
    present, seen = set(listing.source.names), set[str]()
    for row in rows:
        file = row["file"]
        ages = parse_ages(row.get("age") or f"{row.get('low')}-{row.get('high')}")
        split = row.get("split", "").lower() or None
        if PurePosixPath(file).suffix.lower() in NOT_READ and file in present:
            continue  # `_pictures` says why it is left out
        if file not in present:
            listing.reject(file, "in the table, but there is no such picture")
        elif file in seen:
            listing.reject(file, "a second row for the same picture")
        elif ages is None:
            listing.reject(file, _NO_AGE)
        elif split not in (None, *SPLITS):
            listing.reject(file, f"split is none of {', '.join(SPLITS)}")
        else:
            listing.samples.append(_sample(listing, row, ages, split))
        seen.add(file)
    for path in _pictures(listing):
        if path not in seen:
            listing.reject(path, "no row in the table")


def _say_unread(labels: str, first: Sequence[Row]) -> None:
    """Name columns that are not read: a `person` may have been meant as the subject."""
    for column in (name for row in first for name in row if name and name not in _COLUMNS):
        told = f"{labels}: column {column} is not read; known columns are {', '.join(_COLUMNS)}"
        Console(stderr=True).print(told, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _sample(listing: Listing, row: Row, ages: tuple[int, int], split: str | None) -> Sample:
    sex = parse_sex(row.get("sex", ""))
    if row.get("sex") and sex is None:
        listing.note(row["file"], "sex is neither male nor female, taken as unknown")
    subject, group, race = (row.get(column) or None for column in ("subject", "group", "race"))
    return Sample(row["file"], *ages, subject=subject, group=group, sex=sex, race=race, split=split)


def _read_folders(listing: Listing, depth: int) -> None:
    """Take the pictures in folders named for an age; the folder below the `depth` first ones may say the split."""
    for path in _pictures(listing):
        folders = path.split("/")[:-1]
        # The nearest folder that says an age counts: `20-29/25/x.jpg` is 25.
        ages = next((ages for folder in reversed(folders) if (ages := parse_ages(folder))), None)
        if ages is None:
            listing.reject(path, f"{_NO_AGE} in its folder's name, as in 25, 25-32 or 60+")
        else:
            split = folders[depth].lower()
            listing.samples.append(Sample(path, *ages, split=split if split in SPLITS else None))


def _pictures(listing: Listing) -> Iterator[str]:
    """Yield the names of the pictures that can be read, by their endings; leave out the others with the reason."""
    for name in listing.source.names:
        ending = PurePosixPath(name).suffix.lower()
        if ending in NOT_READ:
            listing.reject(name, _NOT_READ)
        elif ending in SUFFIXES:
            yield name
