"""Every loss against its plain formula in float64, and what must hold whatever was learnt."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray

from service.errors import InvalidParameter
from service.inference.distribution import AgeDistribution, Floats
from training.model.heads import HEADS, AgeHead, CoralHead, DldlHead, MeanVarianceHead, head_named
from training.model.label_priors import empirical_odds, log_prior
from training.model.ordered_biases import PACE, OrderedBiases

AGES = np.arange(101)
RNG = np.random.default_rng(5)
TRAINING_AGES = RNG.integers(0, 101, 4000)
EXACT = np.array([0, 17, 42, 100])
LOW, HIGH = np.array([0, 25, 60, 38]), np.array([2, 32, 100, 38])


def coral_logits(rows: int = 4) -> Floats:
    return RNG.normal(0, 3, (rows, 1)) + np.sort(RNG.normal(0, 4, (rows, 100)))[:, ::-1]


def softmax_logits(rows: int = 4) -> Floats:
    return RNG.normal(0, 2, (rows, 101))


def logits_of(head: AgeHead) -> Floats:
    return coral_logits() if head.name == "coral" else softmax_logits()


def loss_of(head: AgeHead, logits: Floats, low: NDArray[Any], high: NDArray[Any], ramp: float = 1.0) -> Floats:
    loss = head.loss(ops.convert_to_tensor(logits, dtype="float32"), low, high, ramp)
    return np.asarray(ops.convert_to_numpy(loss), dtype=np.float64)


def entropy(head: AgeHead, logits: Floats, taught: Floats) -> Floats:
    found = head.taught(ops.convert_to_tensor(logits, dtype="float32"), taught)
    return np.asarray(ops.convert_to_numpy(found), dtype=np.float64)


def pmf_of(head: AgeHead, logits: Floats) -> Floats:
    pmf = head.pmf(ops.convert_to_tensor(logits, dtype="float32"))
    return np.asarray(ops.convert_to_numpy(pmf), dtype=np.float64)


def sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def softmax(x: Floats) -> Floats:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gaussian(age: int, sigma: float) -> Floats:
    e = np.exp(-((AGES - age) ** 2) / (2 * sigma**2))
    return e / e.sum()


def test_coral_loss_is_the_published_formula() -> None:
    head, logits = CoralHead(TRAINING_AGES, TRAINING_AGES), coral_logits()
    levels = (EXACT[:, None] > np.arange(100)).astype(float)
    log_sigmoid = np.log(sigmoid(logits))
    expected = -(head.importance * (log_sigmoid * levels + (log_sigmoid - logits) * (1 - levels))).sum(1)
    np.testing.assert_allclose(loss_of(head, logits, EXACT, EXACT), expected, rtol=1e-5)


def test_coral_thresholds_inside_a_group_carry_no_weight() -> None:
    head, logits = CoralHead(TRAINING_AGES, TRAINING_AGES), coral_logits()
    expected = np.zeros(4)
    for row, (low, high) in enumerate(zip(LOW, HIGH, strict=True)):
        for k in [*range(low), *range(high, 100)]:
            probability = sigmoid(logits[row, k])
            expected[row] -= head.importance[k] * np.log(probability if low > k else 1 - probability)
    np.testing.assert_allclose(loss_of(head, logits, LOW, HIGH), expected, rtol=1e-5)


def test_a_width_divides_all_logits_so_that_ranks_stay_in_order() -> None:
    inputs = keras.Input((8,))
    model = keras.Model(inputs, CoralHead(TRAINING_AGES, TRAINING_AGES, dropout=0.0).logits(inputs))
    features = RNG.normal(size=(5, 8)).astype(np.float32)
    model.get_layer("head_score").set_weights([RNG.normal(size=(8, 1))])
    plain = np.asarray(model(features))
    model.get_layer("head_width").set_weights([RNG.normal(size=(8, 1)), np.array([0.3])])
    ratio = plain / np.asarray(model(features))
    np.testing.assert_allclose(ratio, np.repeat(ratio[:, :1], 100, axis=1), rtol=1e-3)
    assert ratio.min() > 0
    assert np.ptp(ratio[:, 0]) > 0.1
    assert (np.diff(np.asarray(model(features)), axis=1) < 0).all()


def test_a_width_changes_how_sure_a_face_is_read_and_hardly_its_age() -> None:
    head, logits = CoralHead(), coral_logits(1)
    narrow, wide = pmf_of(head, logits / 0.5)[0], pmf_of(head, logits / 2)[0]
    assert AgeDistribution.of(wide).variance > 2 * AgeDistribution.of(narrow).variance
    assert AgeDistribution.of(wide).median == pytest.approx(AgeDistribution.of(narrow).median, abs=1)


def test_coral_as_published_has_no_width() -> None:
    inputs = keras.Input((8,))
    model = keras.Model(inputs, CoralHead(per_picture=False, dropout=0.0).logits(inputs))
    assert [layer.name for layer in model.layers if layer.weights] == ["head_score", "head_biases"]


def test_corals_loss_reaches_the_features() -> None:
    import tensorflow as tf

    head = CoralHead(TRAINING_AGES, TRAINING_AGES, dropout=0.0)
    inputs = keras.Input((8,))
    model = keras.Model(inputs, head.logits(inputs))
    model.get_layer("head_score").set_weights([RNG.normal(size=(8, 1))])
    features = tf.constant(RNG.normal(size=(4, 8)), dtype=tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(features)
        loss = head.loss(model(features), EXACT, EXACT)
    assert np.abs(tape.gradient(loss, features)).min() > 0


def test_a_softmax_beside_coral_adds_its_loss_and_is_not_served() -> None:
    coral, ages = coral_logits(), softmax_logits()
    head, both = CoralHead(ages=True, weight=0.3), np.concatenate([coral, ages], axis=1)
    apart = 0.3 * loss_of(CoralHead(), coral, LOW, HIGH) + loss_of(DldlHead(), ages, LOW, HIGH)
    np.testing.assert_allclose(loss_of(head, both, LOW, HIGH), apart, rtol=1e-5)
    np.testing.assert_allclose(pmf_of(head, both), pmf_of(CoralHead(), coral))


def test_a_teachers_distribution_gives_corals_loss_its_levels() -> None:
    head, logits = CoralHead(TRAINING_AGES, TRAINING_AGES), coral_logits()
    certain = np.eye(101)[EXACT]
    np.testing.assert_allclose(entropy(head, logits, certain), loss_of(head, logits, EXACT, EXACT), rtol=1e-4)
    halves = (np.eye(101)[EXACT] + np.eye(101)[[30, 30, 30, 30]]) / 2
    other = loss_of(head, logits, np.full(4, 30), np.full(4, 30))
    expected = (loss_of(head, logits, EXACT, EXACT) + other) / 2
    np.testing.assert_allclose(entropy(head, logits, halves), expected, rtol=1e-4)


def test_the_imdb_wiki_head_is_taught_by_its_own_teacher_alone() -> None:
    coral, kept = coral_logits(), softmax_logits()
    first, second = softmax(softmax_logits()), softmax(softmax_logits())
    head = CoralHead(imdb_wiki=True, imdb_wiki_weight=0.5)
    both = entropy(head, np.concatenate([coral, kept], axis=1), np.concatenate([first, second], axis=1))
    apart = entropy(CoralHead(), coral, first) - 0.5 * (second * np.log(softmax(kept))).sum(1)
    np.testing.assert_allclose(both, apart, rtol=1e-4)
    with pytest.raises(ValueError, match="101 lessons"):
        entropy(head, np.concatenate([coral, kept], axis=1), first)


def test_smoothness_pulls_neighbouring_gaps_together() -> None:
    even, uneven = np.linspace(5, -5, 100), np.linspace(5, -5, 100) + 0.04 * (np.arange(100) % 2)
    roughness = []
    for biases in (even, uneven):
        layer = OrderedBiases(biases, smoothness=0.5)
        layer(np.zeros((1, 1), np.float32))
        roughness.append(float(ops.convert_to_numpy(layer.roughness())))
        assert float(ops.convert_to_numpy(layer.losses[0])) == pytest.approx(0.5 * roughness[-1], rel=1e-5)
    assert roughness[0] < 1e-6 < 0.1 < roughness[1]


@pytest.mark.parametrize("options", [{"per_picture": False}, {"ages": True}])
def test_coral_answers_alike_when_it_is_loaded_without_the_labels_it_started_from(options: dict[str, Any]) -> None:
    inputs = keras.Input((8,))
    heads = [CoralHead(TRAINING_AGES, TRAINING_AGES, dropout=0.0, **options), CoralHead(dropout=0.0, **options)]
    trained, loaded = (keras.Model(inputs, head.logits(inputs)) for head in heads)
    loaded.set_weights(trained.get_weights())
    features = RNG.normal(size=(4, 8)).astype(np.float32)
    np.testing.assert_allclose(loaded(features), trained(features), rtol=1e-5)


def mean_variance(logits: Floats, low: NDArray[Any], high: NDArray[Any]) -> tuple[Floats, Floats]:
    """Cross-entropy and weighted penalty, age by age."""
    entropy, penalty = np.zeros(len(low)), np.zeros(len(low))
    for row, p in enumerate(softmax(logits)):
        mean, inside = (p * AGES).sum(), (low[row] <= AGES) & (high[row] >= AGES)
        counted = ~inside if low[row] < high[row] else np.ones(101, dtype=bool)
        entropy[row] = -np.log(p[inside].sum())
        error = max(low[row] - mean, mean - high[row], 0)
        penalty[row] = 0.2 * 0.5 * error**2 + 0.05 * (p * (AGES - mean) ** 2)[counted].sum()
    return entropy, penalty


@pytest.mark.parametrize(("low", "high"), [(EXACT, EXACT), (LOW, HIGH)])
@pytest.mark.parametrize("ramp", [0.0, 0.5, 1.0])
def test_mean_variance_loss_is_the_published_formula(low: NDArray[Any], high: NDArray[Any], ramp: float) -> None:
    logits = softmax_logits()
    entropy, penalty = mean_variance(logits, low, high)
    loss = loss_of(MeanVarianceHead(), logits, low, high, ramp)
    np.testing.assert_allclose(loss, entropy + ramp * penalty, rtol=1e-4)


def test_mean_variance_does_not_narrow_a_distribution_inside_its_group() -> None:
    logits = np.where((AGES >= 60) & (AGES <= 100), 0.0, -40.0)[None]
    assert loss_of(MeanVarianceHead(), logits, np.array([60]), np.array([100])) == pytest.approx(0, abs=1e-4)


def test_mean_variance_can_soften_its_labels() -> None:
    logits = softmax_logits()
    expected = [-(gaussian(age, 2.5) * np.log(p)).sum() for age, p in zip(EXACT, softmax(logits), strict=True)]
    np.testing.assert_allclose(loss_of(MeanVarianceHead(sigma=2.5), logits, EXACT, EXACT, 0.0), expected, rtol=1e-4)


def test_dldl_loss_is_divergence_and_smooth_error_of_the_mean() -> None:
    logits, expected = softmax_logits(), []
    for age, p in zip(EXACT, softmax(logits), strict=True):
        label, error = gaussian(age, 2.0), abs((p * AGES).sum() - age)
        divergence = (label[label > 0] * np.log(label[label > 0] / p[label > 0])).sum()
        expected.append(divergence + 0.3 * (error**2 / 2 if error < 1 else error - 0.5))
    np.testing.assert_allclose(loss_of(DldlHead(), logits, EXACT, EXACT), expected, rtol=1e-4)


def test_dldl_knows_only_the_mass_of_a_group() -> None:
    logits = softmax_logits()
    expected, _ = mean_variance(logits, LOW, HIGH)
    np.testing.assert_allclose(loss_of(DldlHead(), logits, LOW, HIGH, 0.0)[:3], expected[:3], rtol=1e-4)


def test_a_gate_mixes_dldl_with_the_imdb_wiki_head() -> None:
    head = head_named("dldl", imdb_wiki=True)
    logits = np.concatenate([softmax_logits(), softmax_logits()[:, ::-1], np.array([[-9.0], [0.0], [0.0], [9.0]])], 1)
    own, other = softmax(logits[:, :101]), softmax(logits[:, 101:202])
    pmf = pmf_of(head, logits)
    np.testing.assert_allclose(pmf[0], own[0], atol=1e-3)
    np.testing.assert_allclose(pmf[1], (own[1] + other[1]) / 2, atol=1e-6)
    np.testing.assert_allclose(pmf[3], other[3], atol=1e-3)


def test_the_gate_learns_nothing_from_the_loss_and_each_head_from_its_own_teacher() -> None:
    head, alone = head_named("dldl", imdb_wiki=True, imdb_wiki_weight=0.5), head_named("dldl")
    logits = np.concatenate([softmax_logits(), softmax_logits()[:, ::-1], np.zeros((4, 1))], axis=1)
    ages = np.array([3, 20, 40, 80])
    np.testing.assert_allclose(
        loss_of(head, logits, ages, ages), loss_of(alone, logits[:, :101], ages, ages), rtol=1e-5
    )
    pair = np.concatenate([np.eye(101)[[30] * 4], np.eye(101)[[60] * 4]], axis=1)
    expected = -np.log(softmax(logits[:, :101])[:, 30]) - 0.5 * np.log(softmax(logits[:, 101:202])[:, 60])
    np.testing.assert_allclose(entropy(head, logits, pair), expected, rtol=1e-4)


def test_dldl_without_a_soft_label_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="sigma > 0"):
        DldlHead(sigma=0.0)


@pytest.mark.parametrize("name", HEADS)
def test_a_label_next_to_an_exact_one_hardly_differs_in_form(name: str) -> None:
    """A group of one age is the exact age: the loss of a batch does not depend on its company."""
    head = head_named(name)
    logits = logits_of(head)
    together = loss_of(head, logits, LOW, HIGH)
    alone = loss_of(head, logits[3:], np.array([38]), np.array([38]))
    np.testing.assert_allclose(together[3:], alone, rtol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_a_wider_group_around_an_age_never_costs_more(name: str) -> None:
    head = head_named(name)
    logits = np.repeat(logits_of(head)[:1], 3, axis=0)
    ramp = 0.0 if name != "coral" else 1.0
    exact, near, wide = loss_of(head, logits, np.array([40, 39, 20]), np.array([40, 41, 60]), ramp)
    assert exact > near > wide or name == "dldl"
    assert near > wide


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("scale", [30.0, 1e4])
def test_loss_and_gradient_at_extreme_logits_are_finite(name: str, scale: float) -> None:
    import tensorflow as tf

    head = head_named(name)
    direction = np.linspace(1, -1, head.units) if name == "coral" else RNG.normal(size=head.units)
    logits = tf.Variable(np.stack([direction, -direction, direction + 1, direction - 1])[:, : head.units] * scale)
    logits = tf.Variable(tf.cast(logits, tf.float32))
    with tf.GradientTape() as tape:
        loss = head.loss(logits, LOW, HIGH)
    gradient = tape.gradient(loss, logits)
    assert np.isfinite(loss.numpy()).all()
    assert np.isfinite(gradient.numpy()).all()
    assert np.abs(gradient.numpy()).max() > 0


@pytest.mark.parametrize("name", HEADS)
def test_pmf_sums_to_one_and_agrees_with_its_logarithm(name: str) -> None:
    head = head_named(name)
    logits = logits_of(head)
    pmf = pmf_of(head, logits)
    log_pmf = ops.convert_to_numpy(head.log_pmf(ops.convert_to_tensor(logits, dtype="float32")))
    assert pmf.shape == (4, 101)
    np.testing.assert_allclose(pmf.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(np.exp(log_pmf), pmf, atol=1e-6)


def test_mean_age_is_the_sum_of_the_coral_probabilities() -> None:
    logits = coral_logits(20)
    means = [AgeDistribution.of(p).mean for p in pmf_of(CoralHead(), logits)]
    np.testing.assert_allclose(means, sigmoid(logits).sum(1), atol=1e-3)


def test_threshold_probabilities_are_the_coral_probabilities() -> None:
    logits = coral_logits(1)
    tail = AgeDistribution.of(pmf_of(CoralHead(), logits)[0]).threshold_probabilities
    np.testing.assert_allclose(tail, sigmoid(logits[0]), atol=1e-5)


def test_coral_tail_keeps_its_relative_precision() -> None:
    logits = np.linspace(-20, -30, 100)[None]
    expected = sigmoid(logits[0, :-1]) - sigmoid(logits[0, 1:])
    np.testing.assert_allclose(pmf_of(CoralHead(), logits)[0, 1:-1], expected, rtol=1e-3)


def test_biases_stay_ordered_whatever_is_learnt() -> None:
    layer = OrderedBiases(np.linspace(2, -2, 100))
    layer(np.zeros((1, 1), dtype=np.float32))
    layer.gaps.assign(RNG.normal(0, 5, 99))
    assert np.diff(ops.convert_to_numpy(layer.biases())).max() <= 0


def test_biases_may_be_taken_from_a_file() -> None:
    layer = OrderedBiases(np.linspace(2, -2, 100))
    layer(np.zeros((1, 1), dtype=np.float32))
    wanted = np.sort(RNG.normal(0, 5, 100).astype(np.float32))[::-1]
    wanted[3] = wanted[4]
    layer.take(wanted)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.biases()), wanted, atol=1e-4)


def test_biases_move_faster_than_other_weights() -> None:
    layer = OrderedBiases([1.0, -1.0])
    layer(np.zeros((1, 1), dtype=np.float32))
    before = ops.convert_to_numpy(layer.biases())
    layer.first.assign(layer.first + 0.001)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.biases()) - before, 0.001 * PACE, rtol=1e-3)


def test_biases_that_do_not_fall_are_refused() -> None:
    with pytest.raises(ValueError, match="decrease strictly"):
        OrderedBiases([1.0, 1.0, 0.0])


def untrained(head: AgeHead) -> Floats:
    features = keras.Input((8,))
    model = keras.Model(features, head.logits(features))
    return np.asarray(model(np.zeros((1, 8), dtype=np.float32)), dtype=np.float64)[0]


def test_coral_starts_at_the_empirical_odds() -> None:
    logits = untrained(CoralHead(TRAINING_AGES, TRAINING_AGES))
    np.testing.assert_allclose(logits, empirical_odds(TRAINING_AGES, TRAINING_AGES), atol=1e-4)


@pytest.mark.parametrize("name", ["mean_variance", "dldl"])
def test_softmax_starts_at_the_prior(name: str) -> None:
    logits = untrained(head_named(name, TRAINING_AGES, TRAINING_AGES))
    np.testing.assert_allclose(np.log(softmax(logits)), log_prior(TRAINING_AGES, TRAINING_AGES), atol=1e-4)


def test_an_unknown_family_is_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidParameter, match="'sord'; there are coral, dldl, mean_variance"):
        head_named("sord")
