"""AdamW with another learning rate for the backbone, and without weight decay of biases and norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from training.recipes.recipe import Stage

UNDECAYED = ("bias", "gamma", "beta")
"""Names of variables that weight decay leaves alone."""


class GroupedAdamW(keras.optimizers.AdamW):
    """AdamW that multiplies the rate of the variables in `slow` by `slow_rate`.

    Scaling gradients would not work: Adam normalises their scale. Weight decay keeps the full rate.
    """

    def __init__(self, slow: Sequence[Any], slow_rate: float, **options: Any) -> None:
        """Take the variables (by identity) that learn at another rate."""
        super().__init__(**options)
        self.slow = {id(variable) for variable in slow} if slow_rate != 1.0 else set()
        self.slow_rate = slow_rate

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        """Update both groups; the step of every backend calls this method."""
        pairs = list(zip(grads, trainable_variables, strict=True))
        for slow in (False, True):
            group = [pair for pair in pairs if (id(pair[1]) in self.slow) is slow]
            if group:
                rate = learning_rate * self.slow_rate if slow else learning_rate
                super()._backend_update_step([g for g, _ in group], [v for _, v in group], rate)


def build_optimizer(stage: Stage, clip_norm: float, backbone: Sequence[Any]) -> GroupedAdamW:
    """Return the optimiser of a stage; `backbone` holds the variables that learn at `stage.backbone_rate`."""
    optimizer = GroupedAdamW(
        backbone,
        stage.backbone_rate,
        learning_rate=stage.learning_rate,
        weight_decay=stage.weight_decay,
        global_clipnorm=clip_norm or None,
    )
    optimizer.exclude_from_weight_decay(var_names=list(UNDECAYED))
    return optimizer
