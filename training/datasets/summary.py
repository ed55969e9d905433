"""Tables of a dataset for the terminal: counts by split, age and sex, and rejected files by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from rich.console import Group
from rich.table import Table

from training.datasets.sample import SPLITS, Listing, Sample

FEWEST_TO_CALIBRATE: Final = 19
"""Faces from which a 95 % interval has a bound: the 0.95-quantile of n conformal scores is one of them from n = 19."""
_UNKNOWN: Final = "unknown"
_UNSPLIT: Final = "no split"


def summary(listing: Listing) -> Group:
    """Tables of counts by split: all, by age band, sex and race; and of rejected and noted rows by reason."""
    parts = [_counts(listing), _reasons(listing), _few_to_calibrate(listing)]
    return Group(*(part for part in parts if part))


def age_band(sample: Sample) -> str:
    """Ten years that hold the sample's age, or the middle of its interval; `90-100` is the last."""
    start = min((sample.low + sample.high) // 2 // 10 * 10, 90)
    return f"{start:2d}-{start + 9 if start < 90 else 100}"


def _counts(listing: Listing) -> Table:
    present = {sample.split or _UNSPLIT for sample in listing.samples}
    splits: list[str] = [split for split in (*SPLITS, _UNSPLIT) if split in present]
    table = Table(title=f"{listing.dataset}: {len(listing.samples):,} samples", title_justify="left")
    table.add_column("")
    for title in (*splits, "all"):
        table.add_column(title, justify="right")
    _section(table, listing.samples, splits, lambda _: "samples")
    _section(table, listing.samples, splits, age_band)
    _section(table, listing.samples, splits, lambda sample: sample.sex or f"sex {_UNKNOWN}")
    _section(table, listing.samples, splits, lambda sample: sample.race or f"race {_UNKNOWN}")
    return table


def _section(table: Table, samples: Iterable[Sample], splits: list[str], kind: Callable[[Sample], str]) -> None:
    counts = Counter((kind(sample), sample.split or _UNSPLIT) for sample in samples)
    for name in sorted({name for name, _ in counts}):
        cells = [counts[name, split] for split in splits]
        table.add_row(name, *(f"{count:,}" for count in (*cells, sum(cells))))
    table.add_section()


def _reasons(listing: Listing) -> Table | str:
    title = f"left out: {listing.rejected.total():,}, changed: {listing.noted.total():,}"
    if not listing.rejected and not listing.noted:
        return title
    table = Table("", "reason", "rows", "for example", title=title, title_justify="left")
    for what, counts in (("left out", listing.rejected), ("changed", listing.noted)):
        for reason, count in counts.most_common():
            table.add_row(what, reason, f"{count:,}", "\n".join(listing.examples.get(reason, [])))
    return table


def _few_to_calibrate(listing: Listing) -> str:
    counts = Counter(sample.split for sample in listing.samples)
    if not counts["train"] or counts["calib"] >= FEWEST_TO_CALIBRATE:
        return ""
    return (
        f"calib has {counts['calib']}: probabilities and intervals are fitted to these, and a 95 % interval takes "
        f"{FEWEST_TO_CALIBRATE} or more; give more faces the split calib (your own: in labels.csv)"
    )
