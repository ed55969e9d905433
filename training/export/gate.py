"""Fit the gate between several distributions, on faces that none of them has learnt.

They are a network's own softmax and the IMDB-WIKI head beside it, or those of several networks (see
`training.export.ensemble`). Which one is to be believed depends on the face: a softmax knows the labelled sets, the
IMDB-WIKI head people and prints that those do not hold. The gate is fitted on `val`, clean and worn, to the lowest CRPS
of the mixture: on `train` a softmax would be believed too much, since it knows those faces by heart. Labelled sets hold
few old prints; on faces without ages the mixture is to be near the answer of a teacher that knows such.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy.optimize import minimize
from scipy.special import softmax

from service.errors import InvalidParameter
from service.inference.distribution import AGES, Floats
from service.inference.manifest import CropSpec
from training.data.store import FaceSet, FaceStore
from training.export.convert import shared_crop
from training.export.release import Split, refuse_other_crop
from training.measures.calibration import wrong_thresholds
from training.run_folder import BEST, RUN_FILE, refuse_run_in, replace_file

if TYPE_CHECKING:
    from training.model.age_model import AgeModel
    from training.teaching.teacher import Teacher

Faces = NDArray[np.uint8]
Answer = Callable[[Faces], tuple[NDArray[np.floating], ...]]
"""Faces uint8 [n, size, size, 3] as a network sees them to its features [n, C] and K distributions [n, 101]."""

WORN_COPIES: Final = 2
"""Worn copies of each face beside the face itself."""

FOLDS: Final = 5
RESTRAINTS: Final = (0.03, 0.1, 0.3, 1.0)
"""Weights of the squared gate's weights that are tried; the one of the lowest cross-validated CRPS is taken."""

UNLABELLED_WEIGHT: Final = 1.0
"""What all faces without ages weigh together, those with ages 1 (docs/adr/0025 and 0027 have others)."""


@dataclass(frozen=True)
class Gate:
    """Weights [C, K] and biases [K] of the shares softmax(x·W + c) of K distributions.

    `loss` is the CRPS of the mixture on labelled faces left out of the fit, in years.
    """

    weights: Floats
    biases: Floats
    loss: float
    restraint: float

    def shares(self, features: NDArray[np.floating]) -> Floats:
        """Return the shares [n, K] of features [n, C]."""
        return np.asarray(softmax(features @ self.weights + self.biases, axis=1))


@dataclass(frozen=True)
class Answers:
    """Features [n, C] and how far each of K distributions is off at each threshold, [n, K, 101].

    `group` [n] joins copies of a face, `labelled` [n] tells the faces whose ages are known.
    """

    features: Floats
    wrong: Floats
    group: NDArray[np.int64]
    labelled: NDArray[np.bool_]

    @classmethod
    def of(cls, features: Floats, pmfs: Sequence[Floats], low: NDArray[np.int64], high: NDArray[np.int64]) -> Answers:
        """Compare distributions [n, 101] with ages low..high [n]; of a group label only what lies outside counts."""
        wrong = np.stack([wrong_thresholds(pmf, low, high) for pmf in pmfs], axis=1)
        return cls(features, wrong, np.arange(len(low)), np.ones(len(low), bool))

    @classmethod
    def taught(cls, features: Floats, pmfs: Sequence[Floats], teacher: Floats) -> Answers:
        """Compare distributions [n, 101] with a teacher's, [n, 101]."""
        wrong = np.stack([np.cumsum(teacher - pmf, axis=1) for pmf in pmfs], axis=1)
        return cls(features, wrong, np.arange(len(teacher)), np.zeros(len(teacher), bool))

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        """Return the faces of all parts."""
        return cls(*(np.concatenate(each) for each in zip(*(vars(part).values() for part in parts), strict=True)))

    def where(self, rows: NDArray[np.bool_]) -> Answers:
        """Return some of the faces."""
        return Answers(*(value[rows] for value in vars(self).values()))


def fit_gate(answers: Answers) -> Gate:
    """Return the gate of the lowest CRPS, its restraint chosen by five-fold cross-validation over faces."""
    folds = answers.group % FOLDS
    tries = list(product(RESTRAINTS, range(FOLDS)))
    left_out = [
        mixture_loss(answers.where(folds == fold), _fitted(answers.where(folds != fold), restraint))
        for restraint, fold in track(tries, "fitting the gate", console=Console(stderr=True))
    ]
    losses = np.reshape(left_out, (len(RESTRAINTS), FOLDS)).mean(axis=1)
    best = int(losses.argmin())
    return replace(_fitted(answers, RESTRAINTS[best]), loss=float(losses[best]))


def mixture_loss(answers: Answers, gate: Gate) -> float:
    """Mean CRPS in years of the mixture, over labelled faces."""
    known = answers.where(answers.labelled)
    # Linear in the distributions: what the mixture gets wrong is the mixture of what they get wrong.
    wrong = np.einsum("nk,nkt->nt", gate.shares(known.features), known.wrong)
    return float(np.square(wrong).sum(axis=1).mean())


def _fitted(answers: Answers, restraint: float) -> Gate:
    known = answers.labelled
    mean, deviation = answers.features[known].mean(axis=0), answers.features[known].std(axis=0) + 1e-3
    scaled = ((answers.features - mean) / deviation).astype(np.float32)
    # Σ_t (Σ_k s_k·wrong_kt)² is a square in the shares, so K × K sums a face say it all.
    products = np.einsum("nkt,njt->nkj", answers.wrong, answers.wrong)
    weight = np.where(known, 1 / known.sum(), UNLABELLED_WEIGHT / max((~known).sum(), 1))
    count, experts = scaled.shape[1], answers.wrong.shape[1]

    def loss(values: Floats) -> tuple[float, Floats]:
        weights, biases = values[:-experts].reshape(count, experts), values[-experts:]
        shares = softmax(scaled @ weights.astype(np.float32) + biases, axis=1)
        pull = np.einsum("nkj,nj->nk", products, shares)
        total = (shares * pull).sum(axis=1)
        by_logit = 2 * (weight[:, None] * shares) * (pull - total[:, None])
        by_weight = scaled.T @ by_logit.astype(np.float32) + 2 * restraint * weights
        restrained = float(weight @ total + restraint * np.square(weights).sum())
        return restrained, np.append(by_weight.ravel(), by_logit.sum(axis=0))

    start = np.zeros((count + 1) * experts)
    start[-experts] = 1.0
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 150, "ftol": 1e-7}).x
    weights = found[:-experts].reshape(count, experts) / deviation[:, None]
    return Gate(weights, found[-experts:] - mean @ weights, float("nan"), restraint)


def gated(run_dir: Path, stores: Sequence[Path], out: Path) -> Gate:
    """Make a `dldl` run of a run whose network has both heads: fit the gate on `val`, write the weights to `out`.

    Raises InvalidParameter where the run's network lacks a head or `out` holds a run, FileMissing where the run is not
    whole.
    """
    import keras

    from training.model.heads.softmax import GATE
    from training.model.initialise import trained_model, with_other_head

    refuse_run_in(out)
    model, recipe = trained_model(run_dir)
    network, lacking = with_other_head(model, "dldl", imdb_wiki=True)
    if lacking != [GATE]:
        raise InvalidParameter(
            f"{run_dir} trained a {recipe.head} head without a softmax and an IMDB-WIKI head beside it; a gate stands "
            "between both: train with head_options.imdb_wiki (and for coral head_options.ages)"
        )
    gate = fit_gate(answers_on_val(answer_of(network), stores, shared_crop(stores, recipe.size)))
    # Of two shares the second's is σ of the logits' difference.
    weights, bias = np.diff(gate.weights, axis=1), np.diff(gate.biases)
    network.get_layer(GATE).set_weights([weights.astype(np.float32), bias.astype(np.float32)])
    out.mkdir(parents=True, exist_ok=True)
    replace_file(out / BEST, keras.Model(network.inputs, network.outputs).save_weights)
    if (run_dir / RUN_FILE).is_file():
        shutil.copyfile(run_dir / RUN_FILE, out / RUN_FILE)
    replace(recipe, head="dldl", head_options={"dropout": 0.0, "imdb_wiki": True}).save(out)
    return gate


def answer_of(network: AgeModel) -> Answer:
    """Return what maps faces to the features of a network with both heads, its softmax and its IMDB-WIKI head."""
    import keras

    look: Any = keras.Model(network.input, [network.get_layer("features").output, network.output])

    def answer(faces: Faces) -> tuple[NDArray[np.floating], ...]:
        features, logits = look.predict(faces, batch_size=32, verbose=0)
        return features, *(softmax(logits[:, start : start + AGES], axis=1) for start in (0, AGES))

    return answer


def answers_on_val(answer: Answer, stores: Sequence[Path], crop: CropSpec) -> Answers:
    """Return how wrong each distribution is on `val`, clean and worn."""
    val = Split.load(stores, "val", crop)
    return Answers.joined([Answers.of(*_parted(answer(split.faces)), val.low, val.high) for split in _with_worn(val)])


def answers_beside(answer: Answer, teacher: Teacher, store: Path, crop: CropSpec) -> Answers:
    """Return how far each distribution is from a teacher's on faces without ages, clean and worn.

    The teacher, which gives distributions, sees the clean crop, and none of the split `test`, on which the agreement is
    measured. Raises InvalidParameter where there are no others, or they were cut otherwise.
    """
    every = FaceStore.open(store)
    refuse_other_crop(store, every, crop)
    faces = FaceSet.joined([every.select(split) for split in ("train", "val", "calib")])
    if not len(faces):
        raise InvalidParameter(f"{store} has no faces of the splits train, val and calib, which a gate is fitted to")
    cut = faces.faces(np.arange(len(faces)), crop.size)
    told = teacher.of_many(cut).astype(np.float64)
    clean = Split(cut, faces.low, faces.high, (), crop)
    return Answers.joined([Answers.taught(*_parted(answer(split.faces)), told) for split in _with_worn(clean)])


def _with_worn(split: Split) -> list[Split]:
    return [split, *(split.worn(100 + seed) for seed in range(WORN_COPIES))]


def _parted(answered: tuple[NDArray[np.floating], ...]) -> tuple[Floats, list[Floats]]:
    features, *pmfs = (np.asarray(part, np.float64) for part in answered)
    return features, pmfs
