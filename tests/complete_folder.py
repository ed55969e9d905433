"""What a whole run needs: a models folder with the real detector and tiny models, and a photograph with a face."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image
from skimage.data import astronaut

from service.inference.lockfile import LockEntry, ModelLock, default_models_dir
from tests.tiny_model import write_models_folder


def write_complete_folder(folder: Path, *names: str) -> Path:
    """Write brightness models of these names beside the detector's files; the first is loaded by default."""
    detectors = detector_entries()
    for entry in detectors:
        shutil.copy(default_models_dir() / entry.file, folder)
    models = ModelLock.read(write_models_folder(folder, *names)).files
    ModelLock(files=(*models, *detectors)).write(folder)
    return folder


def detector_entries() -> tuple[LockEntry, ...]:
    """Return the shipped files that finding faces takes: BlazeFace's, and the proposals of small ones."""
    shipped = ModelLock.read(default_models_dir())
    return (*shipped.of_kind("detector"), *shipped.of_kind("proposals"))


def write_astronaut(path: Path) -> Path:
    """Write the photograph of one person that scikit-image carries, 512 x 512 pixels."""
    Image.fromarray(astronaut()).save(path)
    return path
