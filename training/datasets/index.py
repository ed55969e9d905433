"""The project's own protocol for a set: a CSV `file,age,...,group,split` that overrides group and split."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

from training.datasets.sample import OLDEST, DatasetError, Listing, Sample
from training.datasets.source import Source

NOT_LISTED = "not in the index"
NO_PICTURE = "in the index, but the dataset has no such picture"
OTHER_AGE = "the index has another age"
BAD_ROW = "index row without file, age or a known split"


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


def _keep(result: Listing, sample: Sample, row: dict[str, str]) -> None:
    try:
        result.samples.append(replace(sample, group=row.get("group") or None, split=row["split"] or None))
    except ValueError:
        result.reject(sample.path, BAD_ROW)


def _rows(source: Source, index: Path) -> dict[str, dict[str, str]]:
    """Rows of the index by file name; DatasetError where a needed column is missing or a row is broken."""
    reader = csv.DictReader(io.StringIO(_text(source, index)))
    missing = {"file", "age", "split"} - set(reader.fieldnames or ())
    if missing:
        raise DatasetError(f"the index {index} lacks the columns {sorted(missing)}; it needs file, age, split")
    rows: dict[str, dict[str, str]] = {}
    for row in reader:
        if not row["file"] or not (row["age"] or "").isdigit():
            raise DatasetError(f"line {reader.line_num} of the index {index} has no file or no whole age: {row}")
        rows[row["file"]] = row
    return rows


def _text(source: Source, index: Path) -> str:
    try:
        data = index.read_bytes() if index.is_file() else source.read(index.as_posix())
    except OSError:
        raise DatasetError(f"there is no index {index}, on disk or inside {source.root}") from None
    return data.decode("utf-8-sig")
