"""Train the network of face proposals, export it to ONNX and lock it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper

from service.atomic_write import atomic_write
from service.inference.detection.face_proposals import ANSWERS, FILE, INPUT, OUTPUT, STRIDE
from service.inference.faces import Pixels
from service.inference.lockfile import LockEntry, ModelLock, sha256_of
from service.inference.manifest import METADATA_KEY, Provenance
from service.inference.onnx_session import ort
from training.data.store import FaceStore
from training.export.convert import LICENCE, require_tensorflow
from training.export.graph import OPSET, ExportRefused, folded, refuse_stray_transposes, rename
from training.face_proposals.backgrounds import LEARNT
from training.face_proposals.fewer_nodes import in_fewer_nodes
from training.face_proposals.network import SIDES, Maps, Pool, train_proposer
from training.face_proposals.scenes import Scenes
from training.revision import revision

PARITY: Final = 1e-4
"""Largest difference of a probability between the file and Keras."""

PARITY_PIXELS: Final = 0.05

LEAST_SPAN: Final = 0.5
"""Least range of the probabilities in a sample before parity means anything."""

_TRANSPOSES: Final = 2  # the picture's and the answer's


def answered(model: Any, pixels: Any) -> Any:
    """Return the `ANSWERS` of the service's face proposals, [b, h/8, w/8, 6], for uint8 [b, h, w, 3] in pixels."""
    from keras import ops

    raw = model(ops.cast(pixels, "float32"), training=False)
    width = ops.exp(ops.clip(raw[..., 3:4], -3.0, 5.0))
    parts = [ops.sigmoid(raw[..., :1]), raw[..., 1:3] * STRIDE, width * STRIDE, raw[..., 4:6]]
    return ops.concatenate(parts, -1)


def graph_of(model: Any) -> onnx.ModelProto:
    """Turn the network into the graph that the service runs."""
    graph = in_fewer_nodes(converted(model))
    refuse_stray_transposes(graph, _TRANSPOSES)
    return graph


def converted(model: Any) -> onnx.ModelProto:
    """Turn the network into a graph as tf2onnx writes it, with the service's names."""
    require_tensorflow()
    import tensorflow as tf
    import tf2onnx

    signature = (tf.TensorSpec((None, None, None, 3), tf.uint8, name=INPUT),)
    function = tf.function(lambda pixels: answered(model, pixels), input_signature=signature)
    graph, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    axes = ("batch", "height", "width"), ("batch", "rows", "columns")
    for value, name, names in zip((graph.graph.input[0], graph.graph.output[0]), (INPUT, OUTPUT), axes, strict=True):
        rename(graph, value.name, name)
        for dimension, axis in zip(value.type.tensor_type.shape.dim, names, strict=False):
            dimension.dim_param = axis
    graph.graph.output[0].type.tensor_type.shape.dim[3].dim_value = len(ANSWERS)
    return folded(graph)


def check_proposals(graph: onnx.ModelProto, sample: Pixels, expected: Maps) -> None:
    """Raise ExportRefused where the graph answers otherwise than `expected`, or that is much the same everywhere."""
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    off = np.abs(np.asarray(session.run([OUTPUT], {INPUT: sample})[0]) - expected)
    chance, pixels, spread = (float(value) for value in (off[..., 0].max(), off.max(), np.ptp(expected[..., 0])))
    if chance > PARITY or pixels > PARITY_PIXELS or spread < LEAST_SPAN:
        raise ExportRefused(
            f"the file differs from Keras by {chance:.1e} in probability and {pixels:.1e} pixels where probabilities "
            f"span {spread:.2f}; at most {PARITY:.0e} and {PARITY_PIXELS}, and at least {LEAST_SPAN} are required: "
            "train longer"
        )


def publish(graph: onnx.ModelProto, folder: Path, made: Provenance) -> Path:
    """Write the file with its provenance inside, and its entry in the folder's lock; return its path."""
    helper.set_model_props(graph, {METADATA_KEY: made.model_dump_json()})
    path = folder / FILE
    with atomic_write(path) as partial:
        partial.write_bytes(graph.SerializeToString(deterministic=True))
    entry = LockEntry(
        file=FILE,
        kind="proposals",
        size=path.stat().st_size,
        sha256=sha256_of(path),
        source=f"agelens-train {made.recipe}",
        default=True,
        licence=LICENCE,
    )
    others = [other for other in ModelLock.read(folder).files if other.file != FILE]
    ModelLock(files=(*others, entry)).write(folder)
    return path


def make_proposals(
    stores: Sequence[Path],
    photos: Sequence[Path],
    out: Path,
    run_dir: Path,
    minutes: float,
    count: int,
    seed: int = 0,
    start_from: Path | None = None,
) -> Path:
    """Compose scenes of the `train` split, train for so many minutes, and write the file into `out`.

    There are `count` small scenes and a quarter as many large ones; they and the weights stay in `run_dir`. Training
    may start from the weights of an earlier run.
    Raises ExportRefused where the file is not as the network.
    """
    scenes = Scenes.of(stores, photos, "train", LEARNT)
    pools = [Pool.composed(scenes, count * SIDES[0] ** 2 // side**2, run_dir, seed, side) for side in SIDES]
    model = train_proposer(pools, minutes, run_dir / "proposer.weights.h5", seed, start_from)
    sample = np.stack([scenes.scene(np.random.default_rng((seed, 1, n)), SIDES[0], SIDES[0])[0] for n in range(8)])
    graph = graph_of(model)
    check_proposals(graph, sample, np.asarray(answered(model, sample)))
    made = Provenance(
        recipe="face-proposals",
        data=tuple(FaceStore.open(path).source for path in stores),
        initial_weights=f"an earlier run's, sha256 {sha256_of(start_from)}" if start_from else "none",
        commit=revision(),
        created=datetime.now(UTC).date().isoformat(),
    )
    return publish(graph, out, made)
