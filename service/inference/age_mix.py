"""Mixes of ages (priors): convert probabilities from one to another, and estimate the mix of an archive.

P(age | picture) depends on how common each age is where the picture comes from. A model's probabilities hold for the
mix of ages that its file states. Where only that mix differs, and people of one age look the same in both places
(no shift of light, prints or poses), Bayes' rule turns one into the other: p'(a) ∝ p(a)·π'(a)/π(a) (Saerens, Latinne
and Decaestecker 2002, equation 2.4).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidParameter, InvalidSetting
from service.inference.distribution import AGES, Floats

RANGE: Final = "(100|[1-9]?[0-9])-(100|[1-9]?[0-9])"
"""Regular expression of a range of ages such as 12-30."""

FLOOR: Final = 1e-6
"""Smallest share of an age in a mix, so that no age is impossible and nothing is divided by zero.

Only a range such as 12-30 says that nobody is of another age.
"""

LEAST: Final = 1e-300
"""Smallest probability of an age before it is stated for a mix: a range that a face says nothing of is uniform."""

SMOOTH_YEARS: Final = 0.5
"""Width of the Gaussian that an estimated mix is smoothed by in each round.

Of 4,000 faces seen to five years, mixes were found to 0.5 years or better (earth mover's distance; narrow, flat,
broad). Without it the rounds never settle and flat mixes end in spikes; with 2 years a school's come out 1.8 years off.
"""

ROUNDS: Final = 200
SETTLED: Final = 1e-4
"""Sum of the changes in one round below which a mix counts as settled."""

_AT_ONCE: Final = 4096  # faces that are restated at once

FEWEST: Final = 200
"""Fewest faces to estimate a mix from: with less, chance decides more than the population."""


def mix_of(shares: NDArray[np.floating]) -> Floats:
    """Return shares [101] as a mix, float64 [101], floored and of sum 1; raise InvalidParameter if they are invalid."""
    values = np.asarray(shares, dtype=np.float64)
    if values.shape != (AGES,):
        raise InvalidParameter(f"a mix of ages has {AGES} shares, one for each age 0..100, got {values.shape}")
    if not np.isfinite(values).all() or (values < 0).any() or values.max() <= 0:
        raise InvalidParameter("the shares of a mix must be finite and 0 or more, and some must be above 0")
    values = values / values.max()  # their sum could be infinite, and every share of it zero
    floored = np.maximum(values / values.sum(), FLOOR)
    return np.asarray(floored / floored.sum(), dtype=np.float64)


def named_mix(name: str, known: Mapping[str, Floats] | None = None) -> Floats:
    """Return the mix of a name, float64 [101]: `uniform`, a range such as `12-30`, or one of `known`.

    Ages outside a range have a share of 0, so it is a mix to convert to, not from. Raises InvalidParameter
    listing the valid names.
    """
    if known and name in known:
        return known[name]
    if name == "uniform":
        return mix_of(np.ones(AGES))
    if found := re.fullmatch(RANGE, name):
        # Either end may come first: no pattern in the API's document could ask for the younger.
        low, high = sorted((int(found[1]), int(found[2])))
        ages = np.arange(AGES)
        return np.asarray(((ages >= low) & (ages <= high)) / (high - low + 1), dtype=np.float64)
    others = f"one of {', '.join(known)}" if known else "a table, but none is given (in the service: AGELENS_PRIORS)"
    raise InvalidParameter(
        f"prior: a mix of ages is uniform, a range such as 12-30 within 0..100, or {others}, not {name!r}"
    )


def mixes_in(pairs: Sequence[str]) -> dict[str, Floats]:
    """Read the mixes of the setting AGELENS_PRIORS, each `name=file.csv`; raise InvalidSetting."""
    mixes = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise InvalidSetting(f"AGELENS_PRIORS: write a mix of ages as name=file.csv, not {pair!r}")
        try:
            mixes[name] = mix_in(Path(path))
        except InvalidParameter as error:
            raise InvalidSetting(f"AGELENS_PRIORS: {error}") from error
    return mixes


def mix_in(path: Path) -> Floats:
    """Read a mix from a CSV file with the columns age and share; raise InvalidParameter."""
    shares = np.zeros(AGES)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            for row in csv.DictReader(stream):
                shares[_age(row["age"])] += float(row["share"])
    except OSError as error:
        raise InvalidParameter(f"{path} cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InvalidParameter(
            f"{path}: a mix of ages has the columns age, whole years 0..100, and share, a number ({error})"
        ) from error
    return mix_of(shares)


def _age(text: str) -> int:
    age = int(text)
    if not 0 <= age < AGES:
        raise ValueError(f"age {age}")
    return age


def stated_for(pmf: NDArray[np.floating], own: Floats, other: Floats) -> Floats:
    """Convert distributions [..., 101] from the mix `own` [101], all above 0, to the mix `other` [101]; float64."""
    weighted = np.maximum(np.asarray(pmf, dtype=np.float64), LEAST) * (other / own)
    return np.asarray(weighted / weighted.sum(axis=-1, keepdims=True), dtype=np.float64)


def excluded_share(pmf: NDArray[np.floating], mix: Floats) -> float:
    """Return how much of a distribution [101] lies at ages of which the mix [101] has no share, or as good as none."""
    return float(pmf[mix <= FLOOR].sum())


@dataclass(frozen=True, slots=True)
class FittedMix:
    """An estimated mix of ages, float64 [101], the number of faces and rounds, and whether it settled."""

    mix: Floats
    faces: int
    rounds: int
    settled: bool


def fit_mix(pmf: NDArray[np.floating], own: Floats) -> FittedMix:
    """Estimate the mix of ages behind unlabelled faces from their distributions [n, 101] for the mix `own`.

    Expectation-maximisation (Saerens et al. 2002, equation 2.10): convert all distributions to the current mix,
    take their mean as the next one. Neighbouring ages look alike, so the mix is smoothed by a Gaussian in each round
    (Silverman, Jones, Wilson and Nychka 1990). Raises InvalidParameter below `FEWEST` faces.
    """
    if len(pmf) < FEWEST:
        raise InvalidParameter(
            f"a mix of ages needs at least {FEWEST} faces, there are {len(pmf)}; give more photographs"
        )
    smoother = _smoother()
    # A range has ages of share 0, of which nothing is known: their distributions are 0 there.
    likelihood: NDArray[np.float32] = np.divide(pmf, np.maximum(own, FLOOR), dtype=np.float32)
    mix, change, rounds = own, np.inf, 0
    while rounds < ROUNDS and change > SETTLED:
        found = mix_of(_mean_restated(likelihood, mix) @ smoother)
        change, mix, rounds = float(np.abs(found - mix).sum()), found, rounds + 1
    return FittedMix(mix, len(pmf), rounds, change <= SETTLED)


def _mean_restated(likelihood: NDArray[np.float32], mix: Floats) -> Floats:
    """Return the mean [101] of the distributions of likelihoods [n, 101] for a mix, without a copy of them all."""
    total = np.zeros(AGES)
    for start in range(0, len(likelihood), _AT_ONCE):
        joint = likelihood[start : start + _AT_ONCE] * mix
        total += (joint / joint.sum(axis=1, keepdims=True)).sum(axis=0)
    return total / len(likelihood)


def described(found: FittedMix) -> str:
    """Describe the estimated mix in one line."""
    low, middle, high = (int(np.searchsorted(np.cumsum(found.mix), share)) for share in (0.1, 0.5, 0.9))
    settled = f"settled after {found.rounds} rounds" if found.settled else f"NOT settled after {found.rounds} rounds"
    return (
        f"mix of ages of {found.faces:,} faces: half are at most {middle}, eight in ten {low} to {high}, "
        f"{found.mix[:18].sum():.1%} under 18; {settled}"
    )


def _smoother() -> Floats:
    """Return the matrix [101, 101] that spreads each age's share over its neighbours; rows sum to 1."""
    ages = np.arange(AGES)
    weights = np.exp(-((ages[:, None] - ages) ** 2) / (2 * SMOOTH_YEARS**2))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)
