"""Figures of merit from distributions alone, the same for every family; all errors in years."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.inference.distribution import Floats
from training.data.store import signed_error
from training.evaluation.predictions import Predictions
from training.measures.validation import bootstrap

Row = dict[str, Any]

CURVE: Final = tuple(range(16))
"""Errors in years at which the cumulative score is measured."""

DIP: Final = 0.9
"""Share of its height that a hump must fall to before another is counted."""

GATE: Final = 18
CHALLENGE: Final = 25
YOUTH: Final = ((10, 18), (18, 26))
"""Ages around the gates at 13, 16, 18, 21 and 25, where too high an estimate lets a child pass."""

FIVE_YEARS: Final = tuple((low, low + 5) for low in range(5, 30, 5))
"""Ages of children and the young, where a decade hides that too old at its start and too young at its end cancel."""

DECADES: Final = (*((low, low + 10) for low in range(0, 90, 10)), (90, 101))


def cumulative_score(error: Floats, years: float) -> float:
    """Share of errors of at most `years`, 0..1; errors are not rounded first."""
    return float((error <= years).mean())


def accuracy(predictions: Predictions) -> Row:
    """Count, MAE with its bootstrap interval, CS@5 and bias of some photographs."""
    if not len(predictions):
        return {"n": 0}
    low, high = bootstrap(predictions.error)
    return {
        "n": len(predictions),
        "mae": float(predictions.error.mean()),
        "mae_low": low,
        "mae_high": high,
        "cs5": cumulative_score(predictions.error, 5),
        "bias": float(predictions.bias.mean()),
    }


def by_decade(predictions: Predictions, years: Floats, spans: Iterable[tuple[int, int]] = DECADES) -> list[Row]:
    """Accuracy by decade, or other `spans`, of `years` [n], the true or predicted ages; empty ones are left out."""
    rows = []
    for low, high in spans:
        chosen = (years >= low) & (years < high)
        if chosen.any():
            rows.append({"group": f"{low}–{high - 1}", **accuracy(predictions.where(chosen))})
    return rows


def by_group(predictions: Predictions, groups: NDArray[np.str_]) -> list[Row]:
    """Accuracy by named group; photographs whose group is not known are left out."""
    return [{"group": str(name), **accuracy(predictions.where(groups == name))} for name in np.unique(groups) if name]


def challenge_25(predictions: Predictions) -> Row:
    """Share of people under 18 whose estimated age is 25 or over (NIST IR 8525's Challenge 25 false positives)."""
    minors = predictions.where(predictions.high < GATE)
    if not len(minors):
        return {"n": 0}
    passed = (minors.age >= CHALLENGE).astype(np.float64)
    low, high = bootstrap(passed)
    return {"n": len(minors), "rate": float(passed.mean()), "rate_low": low, "rate_high": high}


def probability_integral_transform(predictions: Predictions) -> Floats:
    """Randomised PIT, F(y - 1) + u·p(y) with u uniform (Czado, Gneiting and Held 2009, section 2); known ages only."""
    known = predictions.known
    rows = np.arange(len(known))
    cumulative = np.pad(np.cumsum(known.pmf, axis=1), ((0, 0), (1, 0)))
    below, upper = cumulative[rows, known.low], cumulative[rows, known.high + 1]
    share = np.random.default_rng(0).random(len(known))
    return np.asarray(np.clip(below + share * (upper - below), 0, 1), dtype=np.float64)


def humps(pmf: NDArray[np.floating]) -> NDArray[np.int64]:
    """Count the humps of each distribution [n, 101]: rises and falls of at least a tenth, int64 [n].

    A person has one age, so the distribution of a good picture has one hump. What is lower than a thousandth of the
    peak does not count.
    """
    return np.array([_humps(np.maximum(row, row.max() / 1000)) for row in pmf], dtype=np.int64)


def _humps(row: Floats) -> int:
    count, rising, turn = 0, True, float(row[0])
    for p in map(float, row):
        if rising and p < DIP * turn:
            count, rising, turn = count + 1, False, p
        elif not rising and DIP * p > turn:
            rising, turn = True, p
        else:
            turn = max(turn, p) if rising else min(turn, p)
    return count + rising


def constant_row(predictions: Predictions, age: float) -> Row:
    """Error of answering `age` for every photograph, which any model must beat."""
    error = np.abs(signed_error(age, predictions.low, predictions.high))
    return {"age": age, "mae": float(error.mean()), "cs5": cumulative_score(error, 5)}


def error_with_missed(predictions: Predictions, missed: Iterable[tuple[int, int]], age: float) -> float:
    """MAE over all photographs; those without a face, `missed` by their labels (low, high), count as `age`."""
    errors = [max(low - age, age - high, 0.0) for low, high in missed]
    return float(np.concatenate([predictions.error, errors]).mean())


def proper_scores(predictions: Predictions) -> Row:
    """Return the negative log likelihood and, of known ages, CRPS with its 95 % range and the PIT's histogram."""
    nll = {"nll": float(predictions.nll.mean())}
    if not len(predictions.known):
        return nll
    crps = predictions.known.crps
    low, high = bootstrap(crps)
    transform = probability_integral_transform(predictions)
    histogram = np.histogram(transform, bins=10, range=(0, 1))[0] / len(transform)
    return {
        **nll,
        "crps": float(crps.mean()),
        "crps_low": low,
        "crps_high": high,
        "pit": [float(share) for share in histogram],
    }


def curve(predictions: Predictions) -> list[float]:
    """Cumulative score at 0..15 years."""
    return [cumulative_score(predictions.error, years) for years in CURVE]
