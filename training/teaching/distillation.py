"""Knowledge distillation: a teacher network's distributions and features as targets for a student.

Distributions carry uncertainty that labels lack (Hinton et al. 2015, section 2); features carry what a network learnt
from millions of faces (FitNets, Romero et al. 2015, section 2). The teacher is run once on every clean face and its
mirror image, so that a training step costs one network; the student sees augmented faces. Or both see the same
augmented and mixed face in every step, which neither has memorised (Beyer et al. 2022, "A good teacher is patient and
consistent", section 3).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from service.errors import InvalidParameter
from service.inference.distribution import AGES
from training.data.store import FaceSet, Sampling
from training.run_folder import replace_file
from training.teaching.teacher import AT_ONCE, Targets, Teacher

LEAST_DEVIATION: Final = 1e-3
"""Smallest deviation that features are divided by."""


def lessons(
    teacher: Teacher,
    faces: FaceSet,
    size: int,
    file: Path,
    on_progress: Callable[[int, int], None] | None = None,
    ages: int = 2 * AGES,
) -> Targets:
    """Return a teacher's targets for each face of a set, float32 [n, ages + features], in the set's order.

    Each row is the mean over the exact centre crop and its mirror image; features are standardised over the set, so
    that all weigh the same. What the teacher said is kept in `file`. `on_progress` is called with the number of faces
    done and the total. `ages` is how many of a pair's 202 probabilities a head keeps: all, or 101, those of both as
    `as_one` joins them. Raises InvalidParameter if the file has another number of faces or of targets.
    """
    told = _told(teacher, faces, size, file, on_progress)
    if teacher.ages < 2 * AGES:
        return told
    joined = as_one(told[:, : 2 * AGES], trust(faces.low, faces.high) * (not teacher.is_one), ages)
    return np.concatenate([joined, told[:, 2 * AGES :]], axis=1)


def _told(
    teacher: Teacher, faces: FaceSet, size: int, file: Path, on_progress: Callable[[int, int], None] | None
) -> Targets:
    shape = (len(faces), teacher.ages + teacher.features)
    if file.exists():
        kept: Targets = np.load(file)
        if kept.shape != shape:
            raise InvalidParameter(f"{file} holds lessons {kept.shape}, this run needs {shape}; delete it")
        return kept
    told = np.empty(shape, dtype=np.float32)
    for start in range(0, len(faces), AT_ONCE):
        # The last batch is padded: one shape means one compilation.
        index = np.arange(start, start + AT_ONCE).clip(max=len(faces) - 1)
        seen = faces.faces(index, size)
        mean = teacher.of_both_sides(seen)
        told[start : start + AT_ONCE] = mean[: len(faces) - start]
        if on_progress:
            on_progress(min(start + AT_ONCE, len(faces)), len(faces))
    features = told[:, teacher.ages :]
    features -= features.mean(axis=0)
    features /= np.maximum(features.std(axis=0), LEAST_DEVIATION)
    replace_file(file, lambda path: np.save(path, told))
    return told


TRUST_UNLABELLED: Final = 0.5
"""Share of the second teacher in what is taught of a face whose age is not known to some years."""

TRUST_YOUNG: Final = 0.15
"""Its share for a face labelled under 18: there the first teacher reads too old."""


def trust(low: NDArray[np.integer], high: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return the second teacher's share 0..1 in what is taught of each face, float32 [n], from the labels [n].

    It has seen other people and prints than the first, which knows the labelled sets: where there is no label it has
    half the say. It is not asked where it is known to be wrong: about grown-ups of the labelled sets, whom it makes 6
    to 12 years too young beyond 55 and among Asian adults.
    """
    young = np.where(high < GROWN_UP, TRUST_YOUNG, 0.0)
    return np.where(high - low > WIDE_LABEL, TRUST_UNLABELLED, young).astype(np.float32)


def as_one(told: Targets, share: NDArray[np.float32], ages: int) -> Targets:
    """Return what to teach, float32 [n, ages], from two teachers' answers [n, 202]; the second has a `share` [n].

    The first 101 are both together, and a head that keeps both (`ages` 202) gets the second's own after them.
    """
    both = (1 - share[:, None]) * told[:, :AGES] + share[:, None] * told[:, AGES:]
    return np.concatenate([both, told[:, AGES:]], axis=1)[:, :ages]


def drawn_shares(
    low: NDArray[np.integer],
    high: NDArray[np.integer],
    sampling: Sampling,
    expected: NDArray[np.float64] | None = None,
    learnt_under: Sampling = "uniform",
) -> NDArray[np.float32]:
    """How much oftener each age is seen in training than the teacher expects, up to a factor, float32 [101].

    A teacher that learnt from faces as they come expects the ages as they come, and would hand on that most are 22 to
    40; a run expects them as its own recipe drew them (`learnt_under`), one that says its mix of ages expects that,
    `expected` [101]. Its distribution times these shares is what it would say of faces as they are drawn (Bayes' rule).
    Ages are counted over faces whose age is known, smoothed over two years.
    """
    known = high - low <= 1
    counts = np.bincount(np.clip((low + high)[known] // 2, 0, AGES - 1), minlength=AGES).astype(np.float64)
    smooth = gaussian_filter1d(counts, 2.0, mode="nearest") + 1
    drawn, learnt = (smooth if each == "uniform" else np.sqrt(smooth) for each in (sampling, learnt_under))
    return np.asarray(drawn / (learnt if expected is None else expected * smooth.sum()), np.float32)


def as_drawn(told: Targets, shares: NDArray[np.float32]) -> Targets:
    """Return targets [b, 101 + T] whose first distribution is times `shares` [101] and sums to 1 again."""
    tilted = told[:, :AGES] * shares
    return np.concatenate([tilted / tilted.sum(axis=1, keepdims=True), told[:, AGES:]], axis=1)


WIDE_LABEL: Final = 10
"""Years between the ends of a label beyond which it hardly says an age."""

GROWN_UP: Final = 18
