"""Unlabelled faces, cropped as the service does, and the mix of ages that a model estimates for them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.inference.distribution import AGES
from service.inference.lockfile import default_models_dir
from service.inference.manifest import CropSpec
from training.data.prepare import prepare
from training.data.store import FaceStore
from training.datasets import Listing, Sample
from training.datasets.source import open_source, pictures


def faces_in(photos: Path, crop: CropSpec) -> NDArray[np.uint8]:
    """Return the largest face of each photograph in a folder or archive, uint8 [n, size, size, 3].

    Photographs without a face are left out. Raises DatasetError where `photos` is neither, or holds no face.
    """
    source = open_source(photos)
    listing = Listing("unlabelled", source)
    listing.samples.extend(Sample(path, 0, AGES - 1) for path in pictures(source))
    with tempfile.TemporaryDirectory() as folder:
        prepare(listing, Path(folder), default_models_dir(), crop, bleed=0)
        store = FaceStore.open(Path(folder))
        rows = [int(row["row"]) for row in store.rows]
        return np.array(store.faces[rows])
