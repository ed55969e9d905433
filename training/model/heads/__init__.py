"""The families: what turns a backbone's features into a distribution over the ages 0..100, and its loss.

A family is a class here and a recipe; nothing else knows it. All tensors are of `keras.ops`, so every backend runs it.
Labels are `low`, `high` (int [b]): low == high is an exact age, low < high an age known only as a group.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

from service.errors import InvalidParameter
from training.model.heads.base import AgeHead
from training.model.heads.coral import CoralHead
from training.model.heads.softmax import DldlHead, MeanVarianceHead, SoftmaxHead
from training.model.label_priors import Ages

__all__ = ["HEADS", "AgeHead", "CoralHead", "DldlHead", "MeanVarianceHead", "SoftmaxHead", "head_named"]

HEADS: dict[str, type[AgeHead]] = {head.name: head for head in (CoralHead, MeanVarianceHead, DldlHead)}
"""The families by name."""


def head_named(name: str, low: Ages | None = None, high: Ages | None = None, **options: Any) -> AgeHead:
    """Make the head of a family, from the labels of a whole training set (int [n]) or none; raise InvalidParameter."""
    if name not in HEADS:
        raise InvalidParameter(f"no family is called {name!r}; there are {', '.join(sorted(HEADS))}")
    known = signature(HEADS[name]).parameters.keys() - {"low", "high"}
    if options.keys() - known:
        raise InvalidParameter(
            f"{name} has no option {', '.join(sorted(options.keys() - known))}; there are {', '.join(sorted(known))}"
        )
    return HEADS[name](low, high, **options)
