"""Statistics of a training set's labels: task importance, odds and the prior over ages.

Labels are whole ages `low`, `high` (int [n]); an age known exactly has low == high, a group such as Adience's
(25, 32) is known only at the thresholds outside it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from service.inference.distribution import AGES, THRESHOLDS, Floats

Ages = NDArray[np.integer]

SMALLEST_GAP = 1e-3
"""Floor between neighbouring CORAL biases: empty ages leave a gap of 0, which softplus cannot reach."""


def task_importance(low: Ages, high: Ages) -> Floats:
    """Weight each threshold of CORAL, float64 [100], largest 1.

    λ_t = √max(N_{>t}, N_t − N_{>t}) / max λ (Cao, Mirjalili and Raschka 2020, section 3.4), over all thresholds of the
    whole training set, where N_t counts the samples whose side of t is known.
    """
    older, known = _counts(low, high)
    weights = np.sqrt(np.maximum(older, known - older))
    return weights / weights.max()


def empirical_odds(low: Ages, high: Ages, smooth_years: float = 0.0) -> Floats:
    """Log odds of being older than each threshold, float64 [100], strictly decreasing by at least 1e-3.

    b_k = logit((N_{>k} + ½) / (N_k + 1)). With `smooth_years` the odds are averaged under a Gaussian of that width
    first: people round ages, and no face is likelier to be 30 than 29 or 31.
    """
    older, known = _counts(low, high)
    odds = np.log((older + 0.5) / (known - older + 0.5))
    if smooth_years:
        odds = gaussian_filter1d(odds, smooth_years, mode="nearest")
    gaps = np.maximum(-np.diff(np.minimum.accumulate(odds)), SMALLEST_GAP)
    return odds[0] - np.concatenate([[0.0], np.cumsum(gaps)])


def log_prior(low: Ages, high: Ages) -> Floats:
    """Log share of each age, float64 [101], half a sample added to each; a group counts evenly over its ages."""
    low, high = _checked(low, high)
    share = 1.0 / (high - low + 1)
    steps = np.zeros(AGES + 1)
    np.add.at(steps, low, share)
    np.add.at(steps, high + 1, -share)
    counts = np.maximum(np.cumsum(steps)[:AGES], 0.0) + 0.5
    return np.log(counts / counts.sum())


def _counts(low: Ages, high: Ages) -> tuple[Floats, Floats]:
    """N_{>t} and N_t, the samples known to be older than t and those whose side of t is known."""
    low, high = _checked(low, high)
    thresholds = np.arange(THRESHOLDS)
    older = len(low) - np.searchsorted(np.sort(low), thresholds, side="right")
    younger = np.searchsorted(np.sort(high), thresholds, side="right")
    return older.astype(np.float64), (older + younger).astype(np.float64)


def _checked(low: Ages, high: Ages) -> tuple[Ages, Ages]:
    low, high = np.asarray(low), np.asarray(high)
    if low.shape != high.shape or low.ndim != 1 or not low.size:
        raise ValueError(f"labels need two equally long, non-empty rows, got shapes {low.shape} and {high.shape}")
    if (low > high).any() or low.min() < 0 or high.max() >= AGES:
        raise ValueError(f"labels need 0 <= low <= high <= {AGES - 1}")
    return low, high
