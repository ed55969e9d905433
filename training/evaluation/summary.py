"""All metrics of a set of predictions as a JSON-ready tree, from which reports and cards are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.inference.distribution import Floats, IntervalBand
from training.evaluation.metrics import (
    FIVE_YEARS,
    YOUTH,
    accuracy,
    by_decade,
    by_group,
    challenge_25,
    constant_row,
    curve,
    humps,
    proper_scores,
)
from training.evaluation.predictions import Predictions
from training.evaluation.reliability import LEGAL_AGES, LEVELS, coverage, gate, reliability


def summarise(
    predictions: Predictions, bands: Sequence[IntervalBand], constant_age: float, mix: Floats | None = None
) -> dict[str, Any]:
    """Measure all that distributions and labels allow, overall and by group; raise ValueError if there are none.

    `mix` [101] are the shares of the ages that the model's probabilities hold for.
    """
    if not len(predictions):
        raise ValueError("no face was found in any photograph; check the dataset's root and the detector")
    tree: dict[str, Any] = {
        **accuracy(predictions),
        **proper_scores(predictions),
        "cumulative_score": curve(predictions),
        "constant": constant_row(predictions, constant_age),
        "one_hump": float((humps(predictions.pmf) == 1).mean()),
        "challenge_25": challenge_25(predictions),
        "by_true_age": by_decade(predictions, predictions.middle),
        "by_youth": by_decade(predictions, predictions.middle, YOUTH),
        "by_five_years": by_decade(predictions, predictions.middle, FIVE_YEARS),
        "by_predicted_age": by_decade(predictions, predictions.age),
    }
    for name in ("sex", "race", "source"):
        tree[f"by_{name}"] = by_group(predictions, getattr(predictions, name))
    if len(predictions.known):
        tree["gates"] = [{"threshold": age, "curve": gate(predictions, age)} for age in LEGAL_AGES]
        tree["reliability"] = [reliability(predictions, age, mix) for age in LEGAL_AGES]
        tree["coverage"] = [coverage(predictions, level, bands) for level in LEVELS]
    return tree


def summarise_sources(
    predictions: Predictions, bands: Sequence[IntervalBand], constant_age: float, mix: Floats | None = None
) -> dict[str, dict[str, Any]]:
    """Return the summary of each source by its name, and of all together as `pooled`."""
    parts = {"pooled": predictions}
    names = [str(name) for name in np.unique(predictions.source) if name]
    if len(names) > 1:
        parts |= {name: predictions.where(predictions.source == name) for name in names}
    return {name: summarise(part, bands, constant_age, mix) for name, part in parts.items()}
