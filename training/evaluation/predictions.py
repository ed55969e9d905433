"""A model's predictions for labelled photographs, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from service.inference.distribution import AgeDistribution, Floats, IntervalBand
from training.data.store import Integers, signed_error
from training.measures.calibration import conformity, decoded, known, negative_log_likelihood, ranked_probability_score

Flags = NDArray[np.bool_]
Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Predictions:
    """Distributions float64 [n, 101], labels low..high int64 [n] in years, decoded ages, and groups ("": unknown)."""

    pmf: Floats
    low: Integers
    high: Integers
    age: Floats
    sex: Texts
    race: Texts
    source: Texts

    @classmethod
    def of(
        cls,
        pmf: NDArray[np.floating],
        low: Sequence[int] | Integers,
        high: Sequence[int] | Integers | None = None,
        *,
        decode: str = "median",
        sex: Sequence[str] | None = None,
        race: Sequence[str] | None = None,
        source: Sequence[str] | None = None,
    ) -> Self:
        """Decode pmf [n, 101]; `high` None means exact ages, a missing group is unknown for all."""
        n = len(pmf)
        lows = np.asarray(low, dtype=np.int64)
        highs = lows if high is None else np.asarray(high, dtype=np.int64)
        groups = [np.asarray([""] * n if group is None else group, dtype=np.str_) for group in (sex, race, source)]
        return cls(np.asarray(pmf, dtype=np.float64), lows, highs, decoded(pmf, decode), *groups)

    def __len__(self) -> int:
        """Return the number of photographs."""
        return len(self.low)

    def where(self, chosen: Flags) -> Self:
        """Return the photographs marked in `chosen`, bool [n]."""
        parts: dict[str, Any] = {field.name: getattr(self, field.name)[chosen] for field in fields(self)}
        return type(self)(**parts)

    @cached_property
    def known(self) -> Self:
        """The photographs whose age is known: to the year, or as 0 or 1."""
        return self.where(known(self.low, self.high))

    @cached_property
    def bias(self) -> Floats:
        """Signed error in years, positive where too old; 0 inside a group's ages."""
        return signed_error(self.age, self.low, self.high)

    @cached_property
    def error(self) -> Floats:
        """Absolute error in years."""
        return np.abs(self.bias)

    @cached_property
    def middle(self) -> Floats:
        """Middle of the label in years: the true age where it is known."""
        return (self.low + self.high) / 2

    @cached_property
    def crps(self) -> Floats:
        """Continuous ranked probability score in years, of known ages."""
        return ranked_probability_score(self.pmf, self.low, self.high)

    @cached_property
    def nll(self) -> Floats:
        """Negative log likelihood in nats."""
        return negative_log_likelihood(self.pmf, self.low, self.high)

    @cached_property
    def conformity(self) -> Floats:
        """2·|F_mid(y) - ½|; uniform in 0..1 for a calibrated model and exact ages."""
        return conformity(self.pmf, self.low, self.high)

    def at_least(self, age: int) -> Floats:
        """P(age ≥ `age`)."""
        return np.asarray(self.pmf[:, age:].sum(axis=1), dtype=np.float64)

    def intervals(self, level: float, bands: Sequence[IntervalBand]) -> Integers:
        """Return the service's own intervals (low, high), both included, int64 [n, 2]."""
        pairs = zip(self.pmf, self.age, strict=True)
        found = [AgeDistribution.of(row).interval(level, bands, float(age)) for row, age in pairs]
        return np.array(found, dtype=np.int64).reshape(-1, 2)
