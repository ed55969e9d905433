"""Networks that teach: an exported file, a run, or pretrained weights, all asked alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from service.cpu import available_cpus
from service.errors import FileMissing, InvalidParameter
from service.inference.distribution import AGES
from service.inference.imaging import exposed
from service.inference.manifest import INPUT_NAME, OUTPUT_NAME, Manifest
from service.inference.onnx_session import ort, session_options
from training.data.store import Sampling
from training.model import imdb_wiki
from training.model.age_model import AgeModel
from training.model.backbones import build_backbone

Faces = NDArray[np.uint8]
Targets = NDArray[np.float32]

ITSELF: Final = "itself"
"""A recipe's teacher that is the network as it begins, frozen: see docs/adr/0027."""

AT_ONCE: Final = 32
"""Faces that a teacher is asked about at a time where there are many: two thousand at once take 12 GB."""


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
    is_one: bool = False
    """Its two distributions, if it has two, are one network's: each teaches its own kind of head, unmixed."""
    learnt_under: Sampling = "uniform"
    """How the faces that it learnt from were drawn, where it says no mix."""

    def of_ages_alone(self) -> Teacher:
        """Return the same teacher without its features."""
        return replace(self, run=lambda faces: self.run(faces)[:, : self.ages], features=0)

    def of_many(self, faces: Faces) -> Targets:
        """Ask about many faces (one at least), `AT_ONCE` at a time, and show how far it is."""
        starts = range(0, len(faces), AT_ONCE)
        shown = track(starts, "asking the teacher", console=Console(stderr=True), transient=True)
        return np.concatenate([self.run(faces[start : start + AT_ONCE]) for start in shown])

    def of_both_sides(self, faces: Faces) -> Targets:
        """Ask about the faces and their mirror images, and take the mean; one that is asked once is not."""
        told = self.run(faces)
        return told if self.once else np.asarray((told + self.run(faces[:, :, ::-1])) / 2, dtype=np.float32)


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


def _both(first: Teacher, second: Teacher, name: str) -> Teacher:
    if (first.ages, second.ages, first.features, second.features) != (AGES, AGES, 0, 0):
        raise InvalidParameter(f"{name}: two teachers together must both give distributions and no features")
    both = (first, second)
    return Teacher(
        lambda faces: np.concatenate([each.of_both_sides(faces) for each in both], axis=1),
        2 * AGES,
        0,
        once=True,
        mix=first.mix,
        learnt_under=first.learnt_under,
    )


def _exported(path: Path) -> Teacher:
    if not path.is_file():
        raise FileMissing(f"there is no teacher {path}; name an .onnx file that `agelens-train export` wrote")
    session = ort.InferenceSession(path.read_bytes(), session_options(available_cpus()), ["CPUExecutionProvider"])
    own = session.get_inputs()[0].shape[1]
    manifest = Manifest.from_metadata(session.get_modelmeta().custom_metadata_map, path.name)

    def run(faces: Faces) -> Targets:
        seen = np.stack([exposed(face, manifest.crop) for face in _resized(faces, own)])
        return np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: seen})[0], dtype=np.float32)

    return Teacher(run, AGES, 0, manifest.flip, manifest.mix())


def _trained(run_dir: Path) -> Teacher:
    from training.model.initialise import trained_model

    model, recipe = trained_model(run_dir)
    return frozen(model, recipe.sampling)


def frozen(model: AgeModel, learnt_under: Sampling) -> Teacher:
    """Let a network teach (distributions and features) that learnt from faces drawn so; it must not be trained on."""
    pmf = keras.layers.Lambda(model.head.lesson)(model.output)
    features = model.get_layer("features").output
    network = keras.Model(model.input, keras.layers.Concatenate()([pmf, features]))
    run = _keras_run(network)
    return Teacher(
        lambda faces: run(_resized(faces, model.size)),
        pmf.shape[-1],
        features.shape[-1],
        learnt_under=learnt_under,
        is_one=True,
    )


def _resized(faces: Faces, size: int) -> Faces:
    """Resize faces to the teacher's size, uint8 [b, size, size, 3]."""
    if faces.shape[1] == size:
        return np.ascontiguousarray(faces)
    how = cv2.INTER_AREA if faces.shape[1] > size else cv2.INTER_LINEAR
    return np.stack([cv2.resize(face, (size, size), interpolation=how) for face in faces])


def _keras_run(network: Any) -> Callable[[Faces], Targets]:
    return lambda faces: np.asarray(ops.convert_to_numpy(network.predict_on_batch(faces)), dtype=np.float32)
