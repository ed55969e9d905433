"""One ONNX file as a function from faces to distributions over age."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from warnings import warn

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidModelFile
from service.inference.distribution import AGES, Floats
from service.inference.manifest import INPUT_NAME, OUTPUT_NAME, Manifest
from service.inference.onnx_session import open_session, ort, session_options

BATCH_SIZES: Final = (4, 2, 1)
"""The only batch sizes ever run: few shapes keep ONNX Runtime's memory flat, and eight faces at once are no faster."""


FAST_BYTES: Final = 12_000_000
"""Weights that a model may have to be asked about all faces of a crowd: 5 to 8 ms a face."""


PLAIN: Final = ("CPUExecutionProvider",)

FARTHEST_YEARS: Final = 0.5
"""What another provider's ages of drawn pictures may differ by on average from plain ONNX Runtime's on the processor.

float32 files differ by less than 0.001 on OpenVINO, three int8 files by 0.02 to 0.37, the fourth by 0.68: it seems to
round the means in that network's shortcuts to eight bits, and ages of faces move by up to 1.7 years.
"""


class Estimator:
    """A loaded model. Safe to share between threads: ONNX Runtime's `run` is."""

    def __init__(self, path: Path, sha256: str, threads: int = 1, providers: Sequence[str] = PLAIN) -> None:
        """Build the session; `threads` work on one call. Raise InvalidModelFile where the file is not as agreed.

        Where `providers` compute other ages than the processor does, the file is run on that, with a warning.
        """
        self.sha256 = sha256
        self._bytes = path.stat().st_size
        self._session = _session(path, threads, providers)
        self.manifest = Manifest.from_metadata(self._session.get_modelmeta().custom_metadata_map, path.name)
        self._check(path.name)
        if tuple(providers) != PLAIN:
            self._compare(_session(path, threads, PLAIN), providers)

    def estimate(self, faces: NDArray[np.uint8]) -> Floats:
        """Return P(age = k), float64 [n, 101], for crops uint8 [n, size, size, 3]; n may be 0."""
        if not len(faces):
            return np.empty((0, AGES))
        chunks = [self._session.run([OUTPUT_NAME], {INPUT_NAME: chunk})[0] for chunk in _chunks(faces)]
        return np.concatenate(chunks).astype(np.float64)

    @property
    def faces_share(self) -> float:
        """Share, above 0 to 1, of the most faces of a picture that this model may be asked about: the slower the less.

        By the size of its weights, twice where it looks at the mirror image as well: the six shipped files take 0.2
        to 0.8 s for as many faces as they answer for. By size and not by a clock, so that the same picture gets the
        same answer.
        """
        return min(1.0, FAST_BYTES / (self._bytes * (2 if self.manifest.flip else 1)))

    def warm_up(self) -> None:
        """Run once, on one face: larger batches are no slower the first time. Raise InvalidModelFile on nonsense."""
        size = self.manifest.crop.size
        total = self.estimate(np.full((1, size, size, 3), 127, dtype=np.uint8)).sum()
        if not np.isclose(total, 1.0, atol=1e-3):
            raise InvalidModelFile(f"model {self.manifest.name}: its probabilities sum to {total:.4f}, not 1")

    def _compare(self, plain: ort.InferenceSession, providers: Sequence[str]) -> None:
        pictures = _drawn_pictures(self.manifest.crop.size)
        theirs = self.estimate(pictures) @ np.arange(AGES)
        session, self._session = self._session, plain
        apart = float(np.abs(theirs - self.estimate(pictures) @ np.arange(AGES)).mean())
        if apart <= FARTHEST_YEARS:
            self._session = session
            return
        warn(
            f"{self.manifest.name} runs on the CPU: on {', '.join(providers)} its ages of drawn pictures differ by "
            f"{apart:.1f} years on average. Leave it out of AGELENS_MODELS, or load its float32 file instead",
            RuntimeWarning,
            stacklevel=3,
        )

    def _check(self, where: str) -> None:
        size = self.manifest.crop.size
        found = [(node.name, node.type, node.shape[1:]) for node in (*self._inputs(), *self._outputs())]
        agreed = [(INPUT_NAME, "tensor(uint8)", [size, size, 3]), (OUTPUT_NAME, "tensor(float)", [AGES])]
        if found != agreed:
            raise InvalidModelFile(f"{where} has tensors {found}, agreed were {agreed}; export it again")

    def _inputs(self) -> Sequence[ort.NodeArg]:
        return tuple(self._session.get_inputs())

    def _outputs(self) -> Sequence[ort.NodeArg]:
        return tuple(self._session.get_outputs())


def _drawn_pictures(size: int) -> NDArray[np.uint8]:
    """Return pictures of coloured clouds, always the same, uint8 [16, size, size, 3]: networks see ages in them too."""
    rng = np.random.default_rng(0)
    coarse = (rng.uniform(0, 255, (side, side, 3)).astype(np.float32) for side in rng.integers(3, 24, 16))
    large = (cv2.resize(each, (size, size), interpolation=cv2.INTER_CUBIC) for each in coarse)
    return np.stack([np.clip(each, 0, 255).astype(np.uint8) for each in large])


def _session(path: Path, threads: int, providers: Sequence[str]) -> ort.InferenceSession:
    return open_session(path, session_options(threads), providers)


def _chunks(faces: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    start = 0
    while start < len(faces):
        size = next(size for size in BATCH_SIZES if size <= len(faces) - start)
        yield faces[start : start + size]
        start += size
