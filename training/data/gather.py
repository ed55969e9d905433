"""Read a dataset by name, handle near-duplicates, and assign splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from rich.console import Console

from training.datasets import DatasetError, Listing, read
from training.datasets.near_duplicates import drop_duplicates, find_duplicates, group_duplicates
from training.datasets.sample import UNLISTED
from training.datasets.splits import assign_splits
from training.datasets.summary import summary

Duplicates = Literal["keep", "group", "drop"]

MOVED: Final = "not in the split it was given: the same person, group or picture is in another"


def gather(
    name: str,
    root: Path,
    index: Path | None = None,
    options: Sequence[str] = (),
    duplicates: Duplicates = "group",
    *,
    listed: bool = False,
) -> Listing:
    """List a dataset, join or drop near-duplicates, and give a split to every sample that has none.

    With `listed` those without a split are rejected instead, as `UNLISTED`.
    With an `index` duplicates are kept: its groups and splits are final. `options` are the
    reader's own, as `key=value`. Raises DatasetError.
    """
    pairs = [_pair(option) for option in options]
    for key in {key for key, _ in pairs if [each for each, _ in pairs].count(key) > 1}:
        raise DatasetError(f"the option {key} is given twice; give it once")
    listing = read(name, root, index, **dict(pairs))
    if listed:
        every, listing = listing.samples, listing.replaced([each for each in listing.samples if each.split])
        for sample in every:
            if not sample.split:
                listing.reject(sample.path, UNLISTED)
    if index is None and duplicates != "keep":
        listing, found = find_duplicates(listing)
        listing = (group_duplicates if duplicates == "group" else drop_duplicates)(listing, found)
    result = listing.replaced(assign_splits(listing.samples, by_path=listing.by_path))
    for given, got in zip(listing.samples, result.samples, strict=True):
        if given.split not in (None, got.split):
            result.note(given.path, MOVED)
    return result


def show(listing: Listing) -> None:
    """Print counts by split, age, sex and race, and every reason for leaving a row out."""
    Console().print(summary(listing))


def _pair(option: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals:
        raise DatasetError(f"an option is key=value, got {option!r}")
    return key.replace("-", "_"), value
