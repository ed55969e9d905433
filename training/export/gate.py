"""Fit the gate between two distributions, on faces that neither has learnt.

They are a network's own softmax and the IMDB-WIKI head beside it, or two networks (see `training.export.ensemble`).
Which one is to be believed depends on the face: a softmax knows the labelled sets, the IMDB-WIKI head people and prints
that those do not hold. The gate is fitted on `val`, clean and worn, to the lowest CRPS of the mixture: on `train` a
softmax would be believed too much, since it knows those faces by heart.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from service.errors import InvalidParameter
from service.inference.distribution import AGES
from service.inference.manifest import CropSpec
from training.export.calibration import wrong_thresholds
from training.export.convert import shared_crop
from training.export.release import Split
from training.run_folder import BEST, RUN_FILE

if TYPE_CHECKING:
    from training.model.age_model import AgeModel

Floats = NDArray[np.float64]

WORN_COPIES: Final = 2
"""Worn copies of each face beside the face itself."""

FOLDS: Final = 5
RESTRAINTS: Final = (1e-2, 0.1, 1.0, 10.0)
"""Weights of the squared gate's weights that are tried; the one of the lowest cross-validated CRPS is taken."""


@dataclass(frozen=True)
class Gate:
    """Weights [C] and bias of g(x) = σ(u·x + c); CRPS of the mixture on faces left out of the fit, in years."""

    weights: Floats
    bias: float
    loss: float
    restraint: float

    def shares(self, features: NDArray[np.floating]) -> Floats:
        """Return g of features [n, C], [n]."""
        return np.asarray(expit(features @ self.weights + self.bias))


@dataclass(frozen=True)
class Answers:
    """Features [n, C], both heads' distributions [n, 101] and labels low..high [n]; `group` joins copies of a face."""

    features: Floats
    own: Floats
    other: Floats
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    group: NDArray[np.int64]

    def where(self, rows: NDArray[np.bool_]) -> Answers:
        """Return some of the faces."""
        return Answers(*(value[rows] for value in vars(self).values()))


def fit_gate(answers: Answers) -> Gate:
    """Return the gate of the lowest CRPS, its restraint chosen by five-fold cross-validation over faces."""
    folds = answers.group % FOLDS
    losses = {
        restraint: float(
            np.mean(
                [
                    mixture_loss(answers.where(folds == fold), _fitted(answers.where(folds != fold), restraint))
                    for fold in range(FOLDS)
                ]
            )
        )
        for restraint in RESTRAINTS
    }
    restraint = min(losses, key=lambda each: losses[each])
    weights, bias = _fitted(answers, restraint)
    return Gate(weights, bias, losses[restraint], restraint)


def mixture_loss(answers: Answers, gate: tuple[Floats, float]) -> float:
    """Mean CRPS in years of both heads' mixture; of a group label only what lies outside it counts."""
    share = expit(answers.features @ gate[0] + gate[1])[:, None]
    pmf = (1 - share) * answers.own + share * answers.other
    return float(np.square(wrong_thresholds(pmf, answers.low, answers.high)).sum(axis=1).mean())


def _fitted(answers: Answers, restraint: float) -> tuple[Floats, float]:
    mean, deviation = answers.features.mean(axis=0), answers.features.std(axis=0) + 1e-3
    scaled = ((answers.features - mean) / deviation).astype(np.float32)
    own = wrong_thresholds(answers.own, answers.low, answers.high)
    # Linear in the distribution: what the mixture gets wrong is the mixture of what both get wrong.
    step = wrong_thresholds(answers.other, answers.low, answers.high) - own
    squared, crossed, stepped = ((own**2).sum(axis=1), (own * step).sum(axis=1), (step**2).sum(axis=1))

    def loss(values: Floats) -> tuple[float, Floats]:
        share = expit(scaled @ values[:-1].astype(np.float32) + values[-1])
        # Σ (own + g·step)² is a square in g, so three sums a face say it all.
        total = (squared + share * (2 * crossed + share * stepped)).mean()
        slope = 2 * (crossed + share * stepped) * share * (1 - share) / len(scaled)
        by_weight = slope.astype(np.float32) @ scaled + 2 * restraint * values[:-1]
        return total + restraint * np.square(values[:-1]).sum(), np.append(by_weight, slope.sum())

    start = np.append(np.zeros(scaled.shape[1]), -1.0)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 100, "ftol": 1e-7}).x
    weights = found[:-1] / deviation
    return weights, float(found[-1] - mean @ weights)


def gated(run_dir: Path, stores: Sequence[Path], out: Path) -> Gate:
    """Make a `dldl` run of a run whose network has both heads: fit the gate on `val`, write the weights to `out`.

    Raises InvalidParameter where the run's network lacks a head, FileMissing where the run is not whole.
    """
    import keras

    from training.model.heads.softmax import GATE
    from training.model.initialise import trained_model, with_other_head

    model, recipe = trained_model(run_dir)
    network, lacking = with_other_head(model, "dldl", imdb_wiki=True)
    if lacking != [GATE]:
        raise InvalidParameter(
            f"{run_dir} trained a {recipe.head} head without a softmax and an IMDB-WIKI head beside it; a gate stands "
            "between both: train with head_options.imdb_wiki (and for coral head_options.ages)"
        )
    gate = fit_gate(answers_of(network, stores, shared_crop(stores, recipe.size)))
    network.get_layer(GATE).set_weights([gate.weights[:, None].astype(np.float32), np.array([gate.bias], np.float32)])
    out.mkdir(parents=True, exist_ok=True)
    if (run_dir / RUN_FILE).is_file():
        shutil.copyfile(run_dir / RUN_FILE, out / RUN_FILE)
    keras.Model(network.inputs, network.outputs).save_weights(out / BEST)
    replace(recipe, name="dldl_mobilenet", head="dldl", head_options={"dropout": 0.0, "imdb_wiki": True}).save(out)
    return gate


def answers_of(network: AgeModel, stores: Sequence[Path], crop: CropSpec) -> Answers:
    """Return what a network with both heads says of `val`, clean and worn."""
    import keras

    look: Any = keras.Model(network.input, [network.get_layer("features").output, network.output])

    def answer(faces: NDArray[np.uint8]) -> tuple[NDArray[np.floating], ...]:
        features, logits = look.predict(faces, batch_size=32, verbose=0)
        own, other = (_softmax(logits[:, start : start + AGES]) for start in (0, AGES))
        return features, own, other

    return answers_on_val(answer, stores, crop)


def answers_on_val(
    answer: Callable[[NDArray[np.uint8]], tuple[NDArray[np.floating], ...]], stores: Sequence[Path], crop: CropSpec
) -> Answers:
    """Return what `answer` (faces to features and both distributions) says of `val`, clean and worn."""
    val = Split.load(stores, "val", crop)
    every = [val, *(val.worn(100 + seed) for seed in range(WORN_COPIES))]
    parts = zip(*(answer(split.faces) for split in every), strict=True)
    features, own, other = (np.concatenate(part).astype(np.float64) for part in parts)
    low, high, group = (np.tile(each, len(every)) for each in (val.low, val.high, np.arange(len(val.low))))
    return Answers(features, own, other, low, high, group)


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
