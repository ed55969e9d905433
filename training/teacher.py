"""Networks that a student learns from: their distributions and features of the same augmented faces.

Distributions teach what labels cannot, how sure to be (Hinton et al. 2015, section 2); features teach a network that
lacks face-recognition pretraining what another learnt from millions of faces (FitNets, Romero et al. 2015, section 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from service.manifest import INPUT_NAME, OUTPUT_NAME
from service.types import AGES
from training.backbones import build_backbone

Faces = NDArray[np.uint8]
Targets = NDArray[np.float32]

LEAST_DEVIATION: Final = 1e-3
"""Features that hardly vary are not blown up to unit variance."""


@dataclass(frozen=True)
class Teacher:
    """`run` maps faces uint8 [b, size, size, 3] to targets float32 [b, ages + features].

    `ages` is 101 where the teacher gives a distribution, otherwise 0; `features` counts its standardised features.
    """

    run: Callable[[Faces], Targets]
    ages: int
    features: int


def teacher_named(name: str, size: int, faces: Faces) -> Teacher:
    """Open a teacher: an exported .onnx file (distributions), a run's folder (both), or BACKBONE:WEIGHTS (features).

    `faces` uint8 [n, size, size, 3] are what features are standardised on. Raises FileMissing or ValueError.
    """
    path = Path(name)
    if path.suffix == ".onnx":
        return Teacher(_onnx(path), AGES, 0)
    if path.is_dir():
        return _standardised(_trained(path), AGES, faces)
    backbone, _, weights = name.partition(":")
    if not weights:
        raise ValueError(f"a teacher is an .onnx file, a run's folder or BACKBONE:WEIGHTS, got {name!r}")
    return _standardised(build_backbone(backbone, size, weights), 0, faces)


def _onnx(path: Path) -> Callable[[Faces], Targets]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return lambda faces: np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: faces})[0], dtype=np.float32)


def _trained(run_dir: Path) -> keras.Model:
    from training.start import trained_model

    model, _ = trained_model(run_dir)
    pmf = keras.layers.Lambda(model.head.pmf, output_shape=(AGES,))(model.output)
    features = model.get_layer("features").output
    return keras.Model(model.inputs, keras.layers.Concatenate()([pmf, features]))


def _standardised(network: Any, ages: int, faces: Faces) -> Teacher:
    """Scale features to mean 0 and variance 1 over some faces, so that none outweighs the others."""
    seen = np.concatenate([_predict(network, faces[start : start + 64]) for start in range(0, len(faces), 64)])
    center, scale = seen.mean(axis=0), np.maximum(seen.std(axis=0), LEAST_DEVIATION)
    center[:ages], scale[:ages] = 0, 1
    return Teacher(lambda batch: (_predict(network, batch) - center) / scale, ages, seen.shape[1] - ages)


def _predict(network: Any, faces: Faces) -> Targets:
    return np.asarray(ops.convert_to_numpy(network.predict_on_batch(faces)), dtype=np.float32)
