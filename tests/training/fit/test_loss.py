"""What the loss makes of labels and of a teacher's lessons."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.tiny_run import AGES, FACES, corner, tiny_network
from training.data.store import Batch
from training.fit.loss import RAMP, packed_labels, packed_loss, trained_graph
from training.fit.weight_average import read
from training.model.age_model import AgeModel
from training.teaching.teacher import Targets, Teacher


@pytest.fixture
def network() -> AgeModel:
    return tiny_network()


def loss_of(network: AgeModel, told: Targets | None, ages: int, weight: float, imitation: float) -> NDArray[np.float32]:
    teacher = None if told is None else Teacher(corner, ages, told.shape[1] - ages)
    labels = packed_labels(Batch(FACES[:8], AGES[:8], AGES[:8], np.arange(8)), 1.0, told)
    graph = trained_graph(network, teacher)
    loss = packed_loss(network, teacher, weight, imitation)(labels, graph(FACES[:8].astype(np.float32)))
    return np.asarray(keras.ops.convert_to_numpy(loss))


def test_without_a_teacher_the_loss_is_the_heads(network: AgeModel) -> None:
    logits = network(FACES[:8].astype(np.float32))
    expected = network.head.loss(logits, AGES[:8], AGES[:8], 1.0)
    assert loss_of(network, None, 0, 0.5, 1.0) == pytest.approx(read([expected])[0], rel=1e-5)


def test_a_mixed_faces_loss_is_that_of_both_labels_by_their_shares(network: AgeModel) -> None:
    # The penalties on the mean fade out as the two faces show alike.
    told = np.random.default_rng(1).normal(size=(8, 5)).astype(np.float32)
    partners, shares = np.roll(np.arange(8), 3), np.linspace(0.5, 1, 8, dtype=np.float32)
    batch = Batch(FACES[:8], AGES[:8], AGES[:8], np.arange(8))
    teacher = Teacher(corner, 0, 5)
    outputs = trained_graph(network, teacher)(FACES[:8].astype(np.float32))
    loss = packed_loss(network, teacher, 0.0, 1.0)

    def of(labels: NDArray[np.float32]) -> NDArray[np.float32]:
        return read([loss(labels, outputs)])[0]

    def alone(batch: Batch) -> NDArray[np.float32]:
        labels = packed_labels(batch, 1.0, told[batch.places])
        labels[:, RAMP] = 0.8 * (2 * shares - 1)
        return of(labels)

    turned = batch._replace(low=AGES[partners], high=AGES[partners], places=partners)
    expected = shares * alone(batch) + (1 - shares) * alone(turned)
    blended = packed_labels(batch._replace(partners=partners, shares=shares), 0.8, told)
    assert of(blended) == pytest.approx(expected, rel=1e-4)
    assert (alone(turned) != alone(batch)).all()


def test_a_distribution_is_mixed_in_by_its_weight(network: AgeModel) -> None:
    pmf = np.random.default_rng(1).dirichlet(np.ones(101), 8).astype(np.float32)
    logits = network(FACES[:8].astype(np.float32))
    cross_entropy = -(pmf * read([network.head.log_pmf(logits)])[0]).sum(axis=1)
    expected = 0.75 * loss_of(network, None, 0, 0.0, 0.0) + 0.25 * cross_entropy
    assert loss_of(network, pmf, 101, 0.25, 0.0) == pytest.approx(expected, rel=1e-4)


def test_a_teachers_features_add_their_squared_error(network: AgeModel) -> None:
    features = np.random.default_rng(1).normal(size=(8, 5)).astype(np.float32)
    without, with_it = (loss_of(network, features, 0, 0.0, weight) for weight in (0.0, 2.0))
    assert without == pytest.approx(loss_of(network, None, 0, 0.0, 0.0), rel=1e-5)
    assert (with_it > without).all()
