"""All-Age-Faces (Cheng et al. 2019): `00000A02.jpg`, a serial and an age; the lower serials are women.

The published tree holds `original images`, `aglined faces` (so spelt), `key points` and `image sets` with the
official `train.txt` and `val.txt`, whose lines are a name and a digit for the sex.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from training.datasets.sample import OLDEST, About, Listing, Sample
from training.datasets.source import Source, open_source, pictures
from training.datasets.splits import carve

ABOUT: Final = About(
    "research, cite Cheng et al. (2019)",
    (
        "Where All-Age-Faces has its ages from is not documented.",
        "All-Age-Faces names no persons: somebody may be in training and in test.",
        "All-Age-Faces shows almost only people from Asia, of ages 2 to 80.",
    ),
)

LAST_WOMAN: Final = 7380
"""The highest serial of a woman's picture."""

CALIB: Final = 0.08
"""Share of the official `train` list that becomes `calib`."""

_NAME: Final = re.compile(r"(?P<serial>\d{5})A(?P<age>\d{2,3})\.jpg", re.IGNORECASE)
_FOLDERS: Final = {"original": "original images", "aligned": "aglined faces"}


def read(root: Path, faces: Literal["original", "aligned"] = "original") -> Listing:
    """List All-Age-Faces with the official lists' split, where the lists are there.

    The lists have `train` and `val`; a share of `CALIB` of `train` becomes `calib`, which export needs.
    `faces` chooses between the photographs and the authors' crops; a folder that holds neither of the
    published folders is taken as it is.
    """
    source = open_source(root)
    listing = Listing("all_age_faces", source)
    splits = _official_splits(source, listing)
    for path in _chosen(pictures(source), _FOLDERS[faces]):
        name = path.rpartition("/")[2]
        match = _NAME.fullmatch(name)
        if match is None:
            listing.reject(path, "name is not a serial, A and an age")
        elif int(match["age"]) > OLDEST:
            listing.reject(path, "age above 100")
        else:
            listing.samples.append(_sample(path, match, splits.pop(name, None)))
    for name in splits:
        listing.reject(name, "in the official lists, but there is no such picture")
    listing.samples = carve(listing.samples, "train", "calib", CALIB)
    return listing


def _sample(path: str, match: re.Match[str], split: str | None) -> Sample:
    age = int(match["age"])
    sex = "female" if int(match["serial"]) <= LAST_WOMAN else "male"
    return Sample(path, age, age, sex=sex, split=split)


def _chosen(paths: list[str], folder: str) -> list[str]:
    """Paths within `folder`; all of them where no published folder is there."""
    if not any(f"/{known}/" in f"/{path}" for path in paths for known in _FOLDERS.values()):
        return paths
    return [path for path in paths if f"/{folder}/" in f"/{path}"]


def _official_splits(source: Source, listing: Listing) -> dict[str, str]:
    """Split by picture name, from `image sets/train.txt` and `val.txt`; a name in both lists counts as val's."""
    splits: dict[str, str] = {}
    for split in ("train", "val"):
        for path in (name for name in source.names if f"/{name}".endswith(f"/image sets/{split}.txt")):
            for line in source.read(path).decode().splitlines():
                name = line.split(" ")[0].strip()
                if name in splits:
                    listing.note(name, "in both official lists, taken as val")
                if name:
                    splits[name] = split
    return splits
