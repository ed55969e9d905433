"""Labelled samples of a dataset, and a record of what was left out and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from training.datasets.source import Source

OLDEST: Final = 100
"""The highest age that a label may have, in years; the models' classes are the ages 0..100."""

SPLITS: Final = ("train", "val", "calib", "test")
"""The four parts of the project's protocol, in the order in which they are used."""

UNLISTED: Final = "not in the published lists"
"""Why a picture is left out where only those of the published lists count."""

EXAMPLES: Final = 5
"""How many names are kept for each reason of rejection."""


@dataclass(frozen=True, slots=True)
class About:
    """What model cards say about a dataset: its terms of use, and the limits of models trained on it."""

    terms: str
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture: age in whole years within `low`..`high`, both included; exact where they are equal.

    `path` is the picture's name within its source, parts joined by `/`. `subject` is the person, `group` joins
    pictures that must not be separated although the person is unknown. What is not known is None.
    """

    path: str
    low: int
    high: int
    subject: str | None = None
    group: str | None = None
    sex: str | None = None
    race: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an age outside 0..100, an empty interval, or an unknown split."""
        if not 0 <= self.low <= self.high <= OLDEST:
            raise ValueError(f"ages must hold 0 <= low <= high <= {OLDEST}, got {self.low}..{self.high}")
        if self.split is not None and self.split not in SPLITS:
            raise ValueError(f"a split is one of {', '.join(SPLITS)}, got {self.split!r}")

    @property
    def name(self) -> str:
        """The picture's name without its folders."""
        return self.path.rpartition("/")[2]

    @property
    def exact(self) -> bool:
        """Whether the age is known to the year."""
        return self.low == self.high


@dataclass(slots=True)
class Listing:
    """The samples of one dataset, and what was left out (`rejected`) or changed (`noted`) by reason.

    `examples` holds the first few names for each reason. `source` opens the pictures: `open(sample.path)`. `by_path`
    says that pictures of one name in several folders have nothing in common: a published set has no such names.
    """

    dataset: str
    source: Source = field(repr=False)
    samples: list[Sample] = field(default_factory=list, repr=False)
    rejected: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict, repr=False)
    by_path: bool = False

    def reject(self, name: str, reason: str) -> None:
        """Count the row or picture `name` as left out because of `reason`."""
        self.rejected[reason] += 1
        self._remember(name, reason)

    def note(self, name: str, remark: str) -> None:
        """Count the row or picture `name` as kept, but not as it stood."""
        self.noted[remark] += 1
        self._remember(name, remark)

    def replaced(self, samples: list[Sample]) -> Listing:
        """Copy the listing with other samples and its own counts."""
        examples = {reason: list(names) for reason, names in self.examples.items()}
        return Listing(
            self.dataset, self.source, samples, self.rejected.copy(), self.noted.copy(), examples, self.by_path
        )

    def open(self, path: str) -> bytes:
        """Bytes of the picture at `path`; FileNotFoundError where the source has none."""
        return self.source.read(path)

    def _remember(self, name: str, reason: str) -> None:
        names = self.examples.setdefault(reason, [])
        if len(names) < EXAMPLES:
            names.append(name)
