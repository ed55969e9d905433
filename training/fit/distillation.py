"""Knowledge distillation: a teacher network's distributions and features as targets for a student.

Distributions carry uncertainty that labels lack (Hinton et al. 2015, section 2); features carry what a network learnt
from millions of faces (FitNets, Romero et al. 2015, section 2). The teacher is run once on every clean face and its
mirror image, so that a training step costs one network; the student sees augmented faces. Or both see the same
augmented and mixed face in every step, which neither has memorised (Beyer et al. 2022, "A good teacher is patient and
consistent", section 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from service.cpu import available_cpus
from service.errors import FileMissing, InvalidParameter
from service.inference.age_mix import mix_of
from service.inference.distribution import AGES
from service.inference.imaging import exposed
from service.inference.manifest import INPUT_NAME, OUTPUT_NAME, Manifest
from service.inference.onnx_session import ort, session_options
from training.data.store import FaceSet, Sampling
from training.fit.checkpoint import replace
from training.model import imdb_wiki
from training.model.backbones import build_backbone

Faces = NDArray[np.uint8]
Targets = NDArray[np.float32]

LEAST_DEVIATION: Final = 1e-3
"""Smallest deviation that features are divided by."""

AT_ONCE: Final = 32
"""Batch size of the teacher."""


@dataclass(frozen=True)
class Teacher:
    """`run` maps faces uint8 [b, size, size, 3] to targets, float32 [b, ages + features].

    `ages` is 101 where the teacher gives a distribution, otherwise 0; `features` counts its features. `mix` [101] is
    the mix of ages that the (first) distribution holds for, if it says one.
    """

    run: Callable[[Faces], Targets]
    ages: int
    features: int
    once: bool = False
    """It is not asked about the mirror image as well: it looks at that itself, or would cost too much."""
    mix: NDArray[np.float64] | None = None


def teacher_named(name: str, size: int) -> Teacher:
    """Open a teacher: an exported .onnx file (distributions), a run's folder (both), or BACKBONE:WEIGHTS (features).

    `imdbwiki` is the network that learnt ages from IMDB-WIKI, and FIRST+SECOND two that give distributions: the
    second's follow the first's, [b, 202], for a head that keeps both. `size` is the pixels a side of the student's
    faces; a trained teacher sees them at its own size. Raises FileMissing or InvalidParameter.
    """
    first, joined, second = name.partition("+")
    if joined:
        return _both(teacher_named(first, size), teacher_named(second, size), name)
    if name == imdb_wiki.WEIGHTS:
        return Teacher(_keras_run(imdb_wiki.imdb_wiki_network(size)), AGES, 0, once=True)
    path = Path(name)
    if path.suffix == ".onnx":
        return _exported(path)
    if path.is_dir():
        return _trained(path)
    backbone, _, weights = name.partition(":")
    if not weights:
        raise InvalidParameter(
            f"a teacher is an .onnx file, a run's folder or BACKBONE:WEIGHTS, and {name!r} is none that is there"
        )
    network = build_backbone(backbone, size, weights)
    return Teacher(_keras_run(network), 0, network.output.shape[-1])


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
    `trusting` joins them. Raises InvalidParameter if the file has another number of faces or of targets.
    """
    told = _told(teacher, faces, size, file, on_progress)
    return as_one(told, trust(faces.low, faces.high), ages) if teacher.ages == 2 * AGES else told


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
        mean = _of_both_sides(teacher, seen)
        told[start : start + AT_ONCE] = mean[: len(faces) - start]
        if on_progress:
            on_progress(min(start + AT_ONCE, len(faces)), len(faces))
    features = told[:, teacher.ages :]
    features -= features.mean(axis=0)
    features /= np.maximum(features.std(axis=0), LEAST_DEVIATION)
    replace(file, lambda path: np.save(path, told))
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
    low: NDArray[np.integer], high: NDArray[np.integer], sampling: Sampling, expected: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """How much oftener each age is seen in training than the teacher expects, up to a factor, float32 [101].

    A teacher that learnt from faces as they come expects the ages as they come, and would hand on that most are 22 to
    40; one that says its mix of ages expects that, `expected` [101]. Its distribution times these shares is what it
    would say of faces as they are drawn (Bayes' rule). Ages are counted over faces whose age is known, smoothed over
    two years.
    """
    known = high - low <= 1
    counts = np.bincount(np.clip((low + high)[known] // 2, 0, AGES - 1), minlength=AGES).astype(np.float64)
    smooth = gaussian_filter1d(counts, 2.0, mode="nearest") + 1
    drawn = smooth if sampling == "uniform" else np.sqrt(smooth)
    return np.asarray(drawn / (smooth if expected is None else expected * smooth.sum()), np.float32)


def as_drawn(told: Targets, shares: NDArray[np.float32]) -> Targets:
    """Return targets [b, 101 + T] whose first distribution is times `shares` [101] and sums to 1 again."""
    tilted = told[:, :AGES] * shares
    return np.concatenate([tilted / tilted.sum(axis=1, keepdims=True), told[:, AGES:]], axis=1)


WIDE_LABEL: Final = 10
"""Years between the ends of a label beyond which it hardly says an age."""

GROWN_UP: Final = 18


def _both(first: Teacher, second: Teacher, name: str) -> Teacher:
    if (first.ages, second.ages, first.features, second.features) != (AGES, AGES, 0, 0):
        raise InvalidParameter(f"{name}: two teachers together must both give distributions and no features")
    both = (first, second)
    return Teacher(
        lambda faces: np.concatenate([_of_both_sides(each, faces) for each in both], axis=1),
        2 * AGES,
        0,
        once=True,
        mix=first.mix,
    )


def _of_both_sides(teacher: Teacher, faces: Faces) -> Targets:
    """Ask about the faces and their mirror images, and take the mean; one that is asked once is not."""
    told = teacher.run(faces)
    return told if teacher.once else np.asarray((told + teacher.run(faces[:, :, ::-1])) / 2, dtype=np.float32)


def _exported(path: Path) -> Teacher:
    if not path.is_file():
        raise FileMissing(f"there is no teacher {path}; name an .onnx file that `agelens-train export` wrote")
    session = ort.InferenceSession(path.read_bytes(), session_options(available_cpus()), ["CPUExecutionProvider"])
    own = session.get_inputs()[0].shape[1]
    manifest = Manifest.from_metadata(session.get_modelmeta().custom_metadata_map, path.name)

    def run(faces: Faces) -> Targets:
        seen = np.stack([exposed(face, manifest.crop) for face in _resized(faces, own)])
        return np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: seen})[0], dtype=np.float32)

    mix = mix_of(np.array(manifest.age_mix)) if manifest.age_mix else None
    return Teacher(run, AGES, 0, manifest.flip, mix)


def _trained(run_dir: Path) -> Teacher:
    from training.model.initialise import trained_model

    model, _ = trained_model(run_dir)
    pmf = keras.layers.Lambda(model.head.pmf, output_shape=(AGES,))(model.output)
    features = model.get_layer("features").output
    network = keras.Model(model.input, keras.layers.Concatenate()([pmf, features]))
    run = _keras_run(network)
    return Teacher(lambda faces: run(_resized(faces, model.size)), AGES, features.shape[-1])


def _resized(faces: Faces, size: int) -> Faces:
    """Resize faces to the teacher's size, uint8 [b, size, size, 3]."""
    if faces.shape[1] == size:
        return np.ascontiguousarray(faces)
    how = cv2.INTER_AREA if faces.shape[1] > size else cv2.INTER_LINEAR
    return np.stack([cv2.resize(face, (size, size), interpolation=how) for face in faces])


def _keras_run(network: Any) -> Callable[[Faces], Targets]:
    return lambda faces: np.asarray(ops.convert_to_numpy(network.predict_on_batch(faces)), dtype=np.float32)
