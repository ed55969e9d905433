"""The average of weights: its formula, batch-norm statistics included, and no trace after use."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from training.fit.weight_average import EVERY, WeightAverage, assign, read


@pytest.fixture
def model() -> keras.Model:
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization()])
    assign(network.weights, [np.zeros_like(value) for value in read(network.weights)])
    return network


def steps(average: WeightAverage, count: int) -> None:
    for _ in range(count):
        average.update()


def test_an_average_follows_its_decay(model: keras.Model) -> None:
    average = WeightAverage(model.weights, decay=0.9)
    average.restore(read(model.weights), steps=1_000_000)
    model.weights[0].assign(np.ones((3, 2)))
    steps(average, 2 * EVERY)
    assert average.values[0] == pytest.approx(1 - 0.9 ** (2 * EVERY), rel=1e-5)


def test_a_young_average_forgets_its_start_sooner(model: keras.Model) -> None:
    average = WeightAverage(model.weights, decay=0.9999)
    model.weights[0].assign(np.ones((3, 2)))
    steps(average, EVERY)
    assert average.values[0] == pytest.approx(1 - ((1 + EVERY) / (10 + EVERY)) ** EVERY, rel=1e-5)


def test_moving_statistics_are_averaged_too(model: keras.Model) -> None:
    average = WeightAverage(model.weights, decay=0.5)
    model.layers[-1].moving_mean.assign([8.0, 8.0])
    steps(average, EVERY)
    place = next(i for i, variable in enumerate(model.weights) if variable is model.layers[-1].moving_mean)
    assert (average.values[place] > 1).all()


def test_the_average_is_in_the_model_inside_the_block_only(model: keras.Model) -> None:
    average = WeightAverage(model.weights, decay=0.9)
    model.weights[0].assign(np.ones((3, 2)))
    with average.applied():
        assert (read(model.weights)[0] == 0).all()
    assert (read(model.weights)[0] == 1).all()


def test_weights_return_even_after_an_error(model: keras.Model) -> None:
    average = WeightAverage(model.weights, decay=0.9)
    model.weights[0].assign(np.ones((3, 2)))
    with pytest.raises(KeyboardInterrupt), average.applied():
        raise KeyboardInterrupt
    assert (read(model.weights)[0] == 1).all()


def test_values_of_another_network_are_refused(model: keras.Model) -> None:
    with pytest.raises(ValueError, match="shorter"):
        assign(model.weights, read(model.weights)[:-1])
