"""FG-NET (Panis et al. 2016): `001A02.JPG` is person 001 at the age of 2; 1,002 pictures of 82 people.

Its protocol leaves one person out at a time: train on 81 people, test on the one, and average over all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from training.datasets.errors import DatasetError
from training.datasets.sample import OLDEST, About, Listing, Sample
from training.datasets.source import open_source, pictures
from training.datasets.splits import deal

ABOUT: Final = About(
    "research",
    ("FG-NET shows 82 people, mostly in scanned photographs, and few above 40.",),
)

OTHERS: Final = {"train": 0.86, "val": 0.08, "calib": 0.06}
"""Shares of the people who are not left out; the protocol has no `val`, by which training chooses its weights."""

_NAME: Final = re.compile(r"(?P<subject>\d{3})a(?P<age>\d{2,3})[a-z]?\.jpe?g", re.IGNORECASE)


def read(root: Path, leave_out: str | None = None) -> Listing:
    """List FG-NET; with `leave_out`, that person is `test`, and the others are split as `leave_one_out` does."""
    source = open_source(root)
    listing = Listing("fgnet", source)
    for path in pictures(source):
        match = _NAME.fullmatch(path.rpartition("/")[2])
        if match is None:
            listing.reject(path, "name is not a person, A and an age")
        elif (age := int(match["age"])) > OLDEST:
            listing.reject(path, "age above 100")
        else:
            listing.samples.append(Sample(path, age, age, subject=match["subject"]))
    if leave_out is not None:
        listing.samples = leave_one_out(listing.samples, leave_out)
    return listing


def leave_one_out(samples: Sequence[Sample], subject: str) -> list[Sample]:
    """Put `subject` into `test`, and every other person into `train`, `val` or `calib`, as `OTHERS` says.

    Raises DatasetError if nobody is `subject`.
    """
    if all(sample.subject != subject for sample in samples):
        raise DatasetError(f"nobody here is person {subject!r}; FG-NET's are written 001 to 082")
    others = iter(deal([sample for sample in samples if sample.subject != subject], OTHERS))
    return [replace(sample, split="test") if sample.subject == subject else next(others) for sample in samples]
