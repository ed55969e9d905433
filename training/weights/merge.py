"""Two networks of one kind that began from the same weights, as one: the mean of their weights.

Networks that were fine-tuned from one start often lie in one basin, and the mean of their weights knows what both know
at the cost of one (Wortsman et al. 2022, "Model soups"; Ilharco et al. 2023, "Editing models with task arithmetic").
Batch norms are folded first, since weights before two different norms have no common scale.
"""

from __future__ import annotations

import keras

from training.weights.folded import fold_batch_norm


def merge(model: keras.Model, other: keras.Model, share: float) -> list[str]:
    """Give each layer of `model` that `other` has too the mean of both's weights; return the names of its own layers.

    `share` 0..1 is the other's. Both are folded by it. Raises ValueError where a layer of one name differs in shape.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share of another network's weights lies in 0..1, got {share}")
    for each in (model, other):
        fold_batch_norm(each)
    theirs = {layer.name: layer.get_weights() for layer in other.layers if layer.weights}
    own = []
    for layer in (each for each in model.layers if each.weights):
        if layer.name not in theirs:
            own.append(layer.name)
            continue
        pairs = list(zip(layer.get_weights(), theirs[layer.name], strict=True))
        if any(mine.shape != their.shape for mine, their in pairs):
            raise ValueError(f"{layer.name} has other shapes in {other.name}")
        layer.set_weights([(1 - share) * mine + share * their for mine, their in pairs])
    return own
