"""Load pretrained weights into a network, and un-fold folded batch norms."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from service.errors import FileMissing, InvalidParameter

HEAD_PREFIX: Final = "head_"
"""Layers of a head are named so, and left out where a backbone is loaded from a whole model's arrays."""

OTHER_HEADS: Final = ("feats/", "age_pred/", "gender_pred/")
"""Layers of the IMDB-WIKI network's own heads, which `training.model.imdb_wiki` reads."""


@dataclass(frozen=True, slots=True)
class WeightSource:
    """Weights of one backbone: their file (None: from keras.applications) and the input they expect."""

    backbone: str
    name: str
    file: str | None
    preprocessing: str | None
    bgr: bool = False
    folded: bool = False


SOURCES: Final = (
    WeightSource("mobilenet", "imagenet", "mobilenet_v1_imagenet.npz", "symmetric"),
    WeightSource("mobilenet", "vggface2", "mobilenet_v1_vggface2.npz", "imagenet-mean", bgr=True, folded=True),
    WeightSource("mobilenet", "imdbwiki", "mobilenet_v1_imdbwiki_age.npz", "imagenet-mean", bgr=True, folded=True),
    WeightSource("separable_resnet", "imagenet", "mobilenet_v1_imagenet.npz", "symmetric"),
    WeightSource("separable_resnet", "vggface2", "mobilenet_v1_vggface2.npz", "imagenet-mean", bgr=True, folded=True),
    WeightSource("resnet29", "dlib", "dlib_face_resnet29.npz", "dlib", folded=True),
    WeightSource("resnet50", "imagenet", None, "imagenet-mean", bgr=True),
    WeightSource("inception_v3", "imagenet", None, "symmetric"),
)


def weights_folder() -> Path:
    """Return the folder of fetched weights: AGELENS_WEIGHTS_DIR, or `weights` here."""
    return Path(os.environ.get("AGELENS_WEIGHTS_DIR", "weights"))


def source_for(backbone: str, weights: str | Path) -> WeightSource:
    """Find named weights or an .npz file for a backbone; raise InvalidParameter naming those there are."""
    path = Path(weights)
    if path.suffix == ".npz":
        known = next((s for s in SOURCES if s.file == path.name and s.backbone == backbone), None)
        if known:
            return WeightSource(backbone, known.name, str(path), known.preprocessing, known.bgr, known.folded)
        return WeightSource(backbone, path.stem, str(path), None)
    for source in SOURCES:
        if (source.backbone, source.name) == (backbone, str(weights)):
            return source
    names = ", ".join(source.name for source in SOURCES if source.backbone == backbone) or "none"
    raise InvalidParameter(
        f"{backbone} has no weights called {str(weights)!r}; named ones: {names}; or give an .onnx file that "
        "`agelens-train export` wrote, the folder of a run, or an .npz file"
    )


def load_source(model: keras.Model, source: WeightSource) -> None:
    """Put a source's weights into its backbone; raise FileMissing or InvalidParameter."""
    if source.file is None:
        _load_application(model, source)
    else:
        load_npz(model, file_of(source))
    if source.bgr:
        _swap_first_kernel(model)


def file_of(source: WeightSource) -> Path:
    """Return the file of a source's weights; raise FileMissing where it is not there."""
    path = Path(str(source.file))
    path = path if path.parent != Path() else weights_folder() / path
    if not path.is_file():
        raise FileMissing(
            f"{path.name} is not in {path.parent}; run `agelens-train weights {source.name}`, "
            "or set AGELENS_WEIGHTS_DIR to a folder that has it"
        )
    return path


def load_npz(model: keras.Model, path: Path) -> None:
    """Load `<layer>/<variable>` arrays, or dlib's, into a backbone; raise InvalidParameter naming the misfit."""
    with np.load(path) as stored:
        arrays = {key: stored[key].astype(np.float32) for key in stored.files}
    if "conv32_down/k" in arrays:
        arrays = translate_dlib(arrays)
    _assign(model, arrays, path.name)


def save_npz(model: keras.Model, path: Path) -> None:
    """Write every variable of a model as `<layer>/<variable>`, float32, for `load_npz` of a later stage."""
    np.savez(
        path,
        allow_pickle=False,
        **{key: _values(variable) for key, variable in _variables(model)},
    )


def translate_dlib(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Rename dlib's arrays to the layers of `resnet29`.

    y = w·(x + b) + c is a batch normalisation of mean −b and variance 1 whose gamma makes up for its own epsilon.
    """
    scale = np.sqrt(1 + keras.layers.BatchNormalization().epsilon)
    layers: dict[str, NDArray[Any]] = {}
    for key in arrays:
        if not key.endswith("/k"):
            continue
        block = key.removesuffix("/k")
        name = block.replace("/", "_")
        layers[f"{name}/kernel"] = arrays[key]
        layers[f"{name}_bn/gamma"] = arrays[f"{block}/weights"] * scale
        layers[f"{name}_bn/beta"] = arrays[f"{block}/biases"]
        layers[f"{name}_bn/moving_mean"] = -arrays[f"{block}/b"]
        layers[f"{name}_bn/moving_variance"] = np.ones_like(arrays[f"{block}/b"])
    return layers


def is_folded(model: keras.Model) -> bool:
    """Tell whether running statistics were folded away: every variance is 1 (or 1 − ε) though beta is not 0."""
    norms = _scaled_norms(model)
    flat = all(np.allclose(_values(norm.moving_variance), 1, atol=0.01) for norm in norms)
    trained = any(np.any(_values(norm.beta)) for norm in norms)
    return flat and trained


def unfold_batch_norm(model: keras.Model, faces: NDArray[np.uint8], batch: int = 32) -> None:
    """Give every batch norm the running statistics of its input on `faces`, leaving the function as it is.

    Faces are uint8 [n, size, size, 3], some hundred of the training set. With mean μ and variance v of the input and
    q = γ/√(old variance + ε): γ' = q·√(v + ε), β' = β + q·(μ − old mean). Without it, folded weights normalise by the
    batch as soon as they are trained, which destroys their features.
    """
    norms = _scaled_norms(model)
    moments = _input_moments(model, norms, faces, batch)
    for norm, (mean, variance) in zip(norms, moments, strict=True):
        gamma, beta, old_mean, old_variance = (
            _values(variable).astype(np.float64)
            for variable in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
        )
        slope = gamma / np.sqrt(old_variance + norm.epsilon)
        norm.gamma.assign((slope * np.sqrt(variance + norm.epsilon)).astype(np.float32))
        norm.beta.assign((beta + slope * (mean - old_mean)).astype(np.float32))
        norm.moving_mean.assign(mean.astype(np.float32))
        norm.moving_variance.assign(variance.astype(np.float32))


def _input_moments(
    model: keras.Model, norms: list[Any], faces: NDArray[np.uint8], batch: int
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Mean and variance of each batch norm's input, [C] each, batches pooled as Chan, Golub and LeVeque (1983) do."""
    if not len(faces):
        raise ValueError("batch norms are un-folded with faces; got none")
    probe = keras.Model(model.input, [norm.input for norm in norms])
    counts: list[int] = []
    means: list[list[NDArray[np.float64]]] = []
    variances: list[list[NDArray[np.float64]]] = []
    for start in range(0, len(faces), batch):
        chunk = faces[start : start + batch]
        maps = probe(np.asarray(chunk, dtype=np.float32), training=False)
        maps = maps if isinstance(maps, list | tuple) else [maps]
        pairs = [ops.moments(ops.cast(each, "float32"), axes=(0, 1, 2)) for each in maps]
        counts.append(len(chunk))
        means.append([np.asarray(ops.convert_to_numpy(mean), dtype=np.float64) for mean, _ in pairs])
        variances.append([np.asarray(ops.convert_to_numpy(variance), dtype=np.float64) for _, variance in pairs])
    share = np.asarray(counts)[:, None] / sum(counts)
    pooled = []
    for index in range(len(norms)):
        mean_rows = np.stack([row[index] for row in means])
        mean = (share * mean_rows).sum(axis=0)
        within = np.stack([row[index] for row in variances])
        pooled.append((mean, (share * (within + (mean_rows - mean) ** 2)).sum(axis=0)))
    return pooled


def _scaled_norms(model: keras.Model) -> list[Any]:
    """Batch norms with a gamma; InceptionV3's have none, and nothing to un-fold into."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return [norm for norm in norms if norm.gamma is not None]


def _variables(model: keras.Model) -> Iterator[tuple[str, Any]]:
    for layer in model.layers:
        for variable in layer.weights:
            yield f"{layer.name}/{variable.name}", variable


def _values(variable: Any) -> NDArray[Any]:
    """Copy a variable; `ops.convert_to_numpy` of one makes NumPy 2 warn on TensorFlow."""
    return np.array(variable.numpy())


def _assign(model: keras.Model, arrays: Mapping[str, NDArray[Any]], where: str) -> None:
    offered = {key: array for key, array in arrays.items() if not key.startswith((HEAD_PREFIX, *OTHER_HEADS))}
    wanted = dict(_variables(model))
    missing, surplus = sorted(wanted.keys() - offered.keys()), sorted(offered.keys() - wanted.keys())
    if missing or surplus:
        first = f"lacks {missing[0]}" if missing else f"holds {surplus[0]}, which the network has not"
        raise InvalidParameter(
            f"{where} does not fit {model.name}: it {first} ({len(missing)} missing, {len(surplus)} more)"
        )
    for key, variable in wanted.items():
        have, need = tuple(offered[key].shape), tuple(variable.shape)
        if have != need:
            raise InvalidParameter(f"{where} does not fit {model.name}: {key} has shape {have}, it needs {need}")
        variable.assign(offered[key])


def _swap_first_kernel(model: keras.Model) -> None:
    """Make a network of BGR one of RGB: exact, as its mean is subtracted before any padding."""
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    first.kernel.assign(_values(first.kernel)[:, :, ::-1, :])


def _load_application(model: keras.Model, source: WeightSource) -> None:
    """Copy the ImageNet weights that keras.applications downloads, layer by layer."""
    builders = {"resnet50": keras.applications.ResNet50, "inception_v3": keras.applications.InceptionV3}
    published = builders[source.backbone](include_top=False, weights="imagenet")
    targets = [layer for layer in model.layers if layer.weights]
    origins = [layer for layer in published.layers if layer.weights]
    for target, origin in zip(targets, origins, strict=True):
        target.set_weights(origin.get_weights())
