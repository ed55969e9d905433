"""The project's own protocol for a set: a CSV `file,age,...,group,split` that overrides group and split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from training.datasets.errors import DatasetError
from training.datasets.sample import OLDEST, Listing, Sample
from training.datasets.source import Source
from training.datasets.tables import Row, read_table

NOT_LISTED = "not in the index"
NO_PICTURE = "in the index, but the dataset has no such picture"
OTHER_AGE = "the index has another age"
BAD_SPLIT = "the index has a split that is none of train, val, calib, test"


def apply_index(listing: Listing, index: Path) -> Listing:
    """Keep the samples that the index names, with the index's group and split.

    Files are matched by name without folders. `index` is a file on disk, or else the name of one inside the
    dataset's own folder or archive. Pictures that the index leaves out were left out on purpose (duplicates,
    contradicting labels): they are counted as rejected, as are rows without a picture or with another age.
    Raises DatasetError where the index cannot be read.
    """
    rows = _rows(listing.source, index)
    result = listing.replaced([])
    for sample in listing.samples:
        row = rows.pop(sample.name, None)
        if row is None:
            result.reject(sample.path, NOT_LISTED)
        elif not sample.low <= min(int(row["age"]), OLDEST) <= sample.high:
            result.reject(sample.path, OTHER_AGE)
        else:
            _keep(result, sample, row)
    for name in rows:
        result.reject(name, NO_PICTURE)
    return result


def _keep(result: Listing, sample: Sample, row: Row) -> None:
    try:
        result.samples.append(replace(sample, group=row.get("group") or None, split=row["split"] or None))
    except ValueError:
        result.reject(sample.path, BAD_SPLIT)


def _rows(source: Source, index: Path) -> dict[str, Row]:
    """Rows of the index by file name; DatasetError where a needed column is missing or a row is broken."""
    rows: dict[str, Row] = {}
    for row in read_table(_data(source, index), f"the index {index}", ("file", "age", "split")):
        if not row["file"] or not row["age"].isdigit():
            raise DatasetError(f"a row of the index {index} has no file or no whole age: {row}")
        rows[row["file"]] = row
    return rows


def _data(source: Source, index: Path) -> bytes:
    try:
        return index.read_bytes() if index.is_file() else source.read(index.as_posix())
    except OSError:
        raise DatasetError(f"there is no index {index}, on disk or inside {source.root}") from None
