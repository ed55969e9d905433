"""An auxiliary head: it adds its loss to the training and nothing to the network."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.training.tiny_run import SIZE, tiny_recipe
from training.backbones import build_backbone
from training.data import Batch, FaceStore
from training.heads import head_named
from training.model import AgeModel
from training.objective import packed_labels, packed_loss, trained_graph
from training.start import trained_model
from training.train import train

AGES = np.arange(10, 18)
FACES = np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE, 3)).astype(np.float32)
LABELS = packed_labels(Batch(FACES.astype(np.uint8), AGES, AGES, AGES), 1.0, None)


def test_its_loss_is_added_with_its_weight() -> None:
    network = AgeModel(build_backbone(tiny_recipe().backbone, SIZE), head_named("coral", AGES, AGES, dropout=0.0))
    dldl = head_named("dldl", AGES, AGES, dropout=0.0)
    both = trained_graph(network, None, dldl)
    outputs = both(FACES)
    total = packed_loss(network, None, 0, 0, dldl, 0.7)(LABELS, outputs)
    own = network.head.loss(outputs[:, :100], AGES, AGES)
    other = dldl.loss(outputs[:, 100:], AGES.astype(np.float32), AGES.astype(np.float32))
    expected = keras.ops.convert_to_numpy(own) + 0.7 * keras.ops.convert_to_numpy(other)
    assert keras.ops.convert_to_numpy(total) == pytest.approx(expected, rel=1e-5)


def test_it_is_trained_and_not_kept(store_path: Path, tmp_path: Path) -> None:
    stores = [FaceStore.open(store_path)]
    train(tiny_recipe(epochs=1, auxiliary="dldl"), stores, tmp_path / "with")
    train(tiny_recipe(epochs=1), stores, tmp_path / "without")
    model, other = (trained_model(tmp_path / name)[0] for name in ("with", "without"))
    assert model.output.shape[-1] == 100
    assert [w.shape for w in model.weights] == [w.shape for w in other.weights]
    first = [keras.ops.convert_to_numpy(each.get_layer("convolution_8").kernel) for each in (model, other)]
    assert np.abs(first[0] - first[1]).max() > 1e-5
