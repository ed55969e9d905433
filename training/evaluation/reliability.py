"""Calibration error of P(age ≥ t) and coverage of intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from service.inference.distribution import AGES, Floats, IntervalBand
from training.data.store import Integers
from training.evaluation.metrics import DECADES
from training.evaluation.predictions import Predictions

Flags = NDArray[np.bool_]
Row = dict[str, Any]

LEGAL_AGES: Final = (13, 16, 18, 21, 25)
UNSURE: Final = (0.05, 0.95)
"""Probabilities between which a face is a case of doubt."""

GATE_PROBABILITIES: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99)
BINS: Final = 10
LEVELS: Final = (0.5, 0.8, 0.9, 0.95)
SIMULATIONS: Final = 400
TINY: Final = 1e-12


def equal_mass_bins(probability: Floats, bins: int = BINS) -> list[NDArray[np.intp]]:
    """Return the indices of `probability` [n] in rising order, cut into bins of equal count."""
    return np.array_split(np.argsort(probability, kind="stable"), min(bins, len(probability)))


@dataclass(frozen=True)
class Claims:
    """Probabilities [n] that people are at least so old, whether they are, and how much each counts.

    Where ages count as in another mix, `weights` [2, n] are what a face counts if younger and if old enough, and
    `drawn` its probability in the photographs' own mix: what its outcome is drawn with.
    """

    probability: Floats
    happened: Flags
    weights: Floats
    drawn: Floats

    @property
    def weight(self) -> Floats:
        """How much each counts."""
        return np.where(self.happened, self.weights[1], self.weights[0])

    def where(self, chosen: Flags) -> Claims:
        """Return those marked in `chosen`, bool [n]."""
        return Claims(self.probability[chosen], self.happened[chosen], self.weights[:, chosen], self.drawn[chosen])

    def bins(self) -> list[Row]:
        """Return the bins of the reliability diagram: as many in each, and both means."""
        return [
            {
                "n": len(part),
                "predicted": float(np.average(self.probability[part], weights=self.weight[part])),
                "observed": float(np.average(self.happened[part], weights=self.weight[part])),
            }
            for part in equal_mass_bins(self.probability)
        ]

    def error(self, bins: int = BINS) -> float:
        """Return the expected calibration error Σ_b w_b · |mean probability - observed share|, bins of equal count."""
        weight, parts = self.weight, equal_mass_bins(self.probability, bins)
        gaps = weight * (self.probability - self.happened)
        starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
        return float(np.abs(np.add.reduceat(gaps[np.concatenate(parts)], starts)).sum() / weight.sum())

    def error_by_chance(self) -> tuple[float, float]:
        """Median and 95th percentile of the error of a model whose probabilities are all true."""
        rng = np.random.default_rng(0)
        draws = (replace(self, happened=rng.random(len(self.drawn)) < self.drawn) for _ in range(SIMULATIONS))
        middle, high = np.percentile([draw.error() for draw in draws], [50, 95])
        return float(middle), float(high)

    def errors(self) -> Row:
        """Return the error and that by chance alone, for a report."""
        middle, high = self.error_by_chance()
        return {"ece": self.error(), "ece_by_chance": middle, "ece_by_chance_95": high}


def claims(predictions: Predictions, age: int, mix: Floats | None = None) -> Claims:
    """Take P(age ≥ `age`) of those who are known to be on one side of it.

    With `mix` [101] each face counts so that ages are as common as there: that is what a model's P holds for. In the
    photographs' own mix a face of the distribution p has p_a / w_a (Bayes' rule), w_a what the age a counts.
    """
    sided = (predictions.low >= age) | (predictions.high < age)
    counts = np.ones(AGES) if mix is None else standing_for(predictions.low, predictions.high, mix)
    own = predictions.pmf / counts
    old, young = own[:, age:].sum(axis=1), own[:, :age].sum(axis=1)
    probability, happened = predictions.at_least(age), predictions.low >= age
    # What a face counts is known of itself, and of what might have been only on average.
    weights = np.stack([(1 - probability) / np.maximum(young, TINY), probability / np.maximum(old, TINY)])
    weights[happened.astype(int), np.arange(len(happened))] = counts[(predictions.low + predictions.high) // 2]
    return Claims(probability, happened, weights, old / (old + young)).where(sided)


def reliability(predictions: Predictions, age: int, mix: Floats | None = None) -> Row:
    """Calibration error of P(age ≥ `age`), the error by chance alone, and the bins of the reliability diagram.

    For the mix of ages `mix` [101], and `as_they_come` for that of the photographs. `mix_without_faces` is the share of
    the mix in windows of ages that no photograph is of: they count nothing.
    """
    stated, plain = claims(predictions, age, mix), claims(predictions, age)
    return {
        "threshold": age,
        **stated.errors(),
        "unsure": unsure_part(stated),
        "bins": stated.bins(),
        "mix_without_faces": 0.0 if mix is None else mix_without_faces(predictions.low, predictions.high, mix),
        "as_they_come": {**plain.errors(), "unsure": unsure_part(plain)},
    }


WINDOWS: Final = (0, 5, 10, *LEGAL_AGES, 30, 40, 50, 60, 70, 80, AGES)
"""Ages between which faces are counted together: nobody's age is rounded across a gate's."""


def standing_for(low: Integers, high: Integers, mix: Floats) -> Floats:
    """Return how much each age counts, float64 [101], for labels [n] to stand for a mix of ages [101]; their mean is 1.

    Labels heap at round ages and a mix is smooth, so the shares are made alike in windows between gates
    (post-stratification).
    """
    window, found, wanted = _in_windows(low, high, mix)
    middle = (low + high) // 2
    counts = np.where(found > 0, wanted / np.maximum(found, TINY), 1.0)[window]
    return np.asarray(counts / counts[middle].mean())


def mix_without_faces(low: Integers, high: Integers, mix: Floats) -> float:
    """Return the share of a mix of ages [101] in windows that none of the labels [n] reaches into."""
    window, _, wanted = _in_windows(low, high, mix)
    reached = {reached for ends in set(zip(low, high, strict=True)) for reached in window[ends[0] : ends[1] + 1]}
    return float(sum(share for number, share in enumerate(wanted) if number not in reached))


def _in_windows(low: Integers, high: Integers, mix: Floats) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Return the window of each age [101], and of each window the share of the labels and that of the mix."""
    window = np.digitize(np.arange(AGES), WINDOWS[1:-1])
    found = np.bincount(window[(low + high) // 2], minlength=window[-1] + 1) / len(low)
    return window, found, np.asarray(np.bincount(window, weights=mix), np.float64)


def unsure_part(all_claims: Claims) -> Row:
    """Count and calibration error of the cases of doubt, which the many faces far from the age would hide."""
    unsure = all_claims.where((all_claims.probability >= UNSURE[0]) & (all_claims.probability <= UNSURE[1]))
    n = len(unsure.probability)
    return {"n": n} if n < BINS else {"n": n, **unsure.errors()}


def gate(predictions: Predictions, age: int) -> list[Row]:
    """Return who passes and who is refused wrongly by a gate at `age`, for each of `GATE_PROBABILITIES`.

    A person passes where P(age ≥ `age`) reaches the probability: `false_accept` is the share of the younger who pass,
    `false_reject` that of the old enough who do not. Empty where there is nobody on one side.
    """
    young = predictions.where(predictions.high < age).at_least(age)
    old = predictions.where(predictions.low >= age).at_least(age)
    if not (len(young) and len(old)):
        return []
    return [
        {"probability": p, "false_accept": float((young >= p).mean()), "false_reject": float((old < p).mean())}
        for p in GATE_PROBABILITIES
    ]


def binomial_interval(hits: int, n: int) -> tuple[float, float]:
    """Exact 95 % interval of a share (Clopper and Pearson 1934)."""
    low = float(beta.ppf(0.025, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


def coverage(predictions: Predictions, level: float, bands: Sequence[IntervalBand]) -> Row:
    """Share of true ages inside the service's intervals and their mean width in ages; by decade predicted, sex, race.

    Where no age is known the result says n = 0. An age known as 0 or 1 is inside with either. Faces whose sex or race
    is not known are left out of those rows.
    """
    exact = predictions.known
    intervals = exact.intervals(level, bands)
    inside = (exact.high >= intervals[:, 0]) & (exact.low <= intervals[:, 1])
    width = intervals[:, 1] - intervals[:, 0] + 1
    decades = {f"{low}–{high - 1}": (exact.age >= low) & (exact.age < high) for low, high in DECADES}
    parts = {
        "bands": decades,
        **{f"by_{name}": _members(getattr(exact, name)) for name in ("sex", "race")},
    }
    rows = {
        key: [{"group": name, **_covered(inside[who], width[who])} for name, who in groups.items() if who.any()]
        for key, groups in parts.items()
    }
    return {"level": level, **_covered(inside, width), **rows}


def _members(groups: NDArray[np.str_]) -> dict[str, Flags]:
    return {str(name): groups == name for name in np.unique(groups) if name}


def _covered(inside: Flags, width: NDArray[np.integer]) -> Row:
    n, hits = len(inside), int(inside.sum())
    if not n:
        return {"n": 0}
    low, high = binomial_interval(hits, n)
    return {"n": n, "coverage": hits / n, "coverage_low": low, "coverage_high": high, "width": float(width.mean())}
